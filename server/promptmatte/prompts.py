"""Prompts as people type them, checked once, and the immutable set the engine works from."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from promptmatte.errors import PromptError
from promptmatte.frame import MAX_CHANNELS

MAX_PROMPT_CHARS = 200
MAX_NEGATIVES = 4


def clean_text(text: str) -> str:
    """The text with control characters and doubled spaces removed; PromptError if unusable."""
    printable = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text)
    cleaned = " ".join(printable.split())
    if not cleaned:
        raise PromptError(
            f"expected a prompt such as 'person' or 'red car'; got {text[:40]!r}: "
            "type the name of the thing to key"
        )
    if len(cleaned) > MAX_PROMPT_CHARS:
        raise PromptError(
            f"expected a prompt of at most {MAX_PROMPT_CHARS} characters; "
            f"got {len(cleaned)}: shorten it to the name of the thing"
        )
    return cleaned


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """One thing to key: its name, and names of things to leave out of its matte."""

    text: str
    negative: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", clean_text(self.text))
        if len(self.negative) > MAX_NEGATIVES:
            raise PromptError(
                f"expected at most {MAX_NEGATIVES} negatives a prompt; got {len(self.negative)}"
            )
        object.__setattr__(self, "negative", tuple(clean_text(n) for n in self.negative))


@dataclass(frozen=True, kw_only=True)
class PromptSet:
    """Up to four prompts, a matte channel each; version counts up with every change."""

    version: int = 0
    prompts: tuple[Prompt, ...] = ()

    def __post_init__(self) -> None:
        if len(self.prompts) > MAX_CHANNELS:
            raise PromptError(
                f"expected at most {MAX_CHANNELS} prompts, a matte channel each; "
                f"got {len(self.prompts)}"
            )

    def replaced(self, prompts: tuple[Prompt, ...]) -> PromptSet:
        """A set of these prompts, one version on."""
        return PromptSet(version=self.version + 1, prompts=prompts)
