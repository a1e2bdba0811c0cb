"""The words that suggestions are ranked from."""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def vocabulary() -> tuple[str, ...]:
    """The shipped words: everyday things of stages, homes and streets, about 260."""
    text = resources.files("promptmatte.models").joinpath("vocabulary.txt")
    return tuple(text.read_text(encoding="utf-8").splitlines())
