"""English plurals."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_ENGLISH = re.compile(r"[a-z'. -]*[a-z]", re.IGNORECASE)
_SIBILANT = ("s", "x", "z", "ch", "sh")


def plurals(phrase: str, irregular: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """The plurals of an English word or of the last word of a phrase; none of what is one
    already ("jeans") or is not English. irregular: singular -> plurals."""
    if not _ENGLISH.fullmatch(phrase):
        return
    first, _, last = phrase.rpartition(" ")
    before = f"{first} " if first else ""
    known = irregular.get(last.lower()) or irregular.get(phrase.lower())
    if known:
        yield from (before + plural for plural in known)
    elif last.endswith("man"):
        yield f"{before}{last[:-3]}men"
    elif last.endswith(_SIBILANT):
        if not last.endswith("s") or last.endswith(("ss", "us", "is")):
            yield f"{before}{last}es"
    elif last.endswith("y") and last[-2:-1] not in ("a", "e", "o", "u", ""):
        yield f"{before}{last[:-1]}ies"
    else:
        yield f"{before}{last}s"
        if last.endswith("o"):
            yield f"{before}{last}es"
