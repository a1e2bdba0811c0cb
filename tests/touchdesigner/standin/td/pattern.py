"""Pattern Matching: names with * ? and [], several after each other, ^ to leave some out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

_NUMBERED = re.compile(r"(\d+)")


def matches(name: str, pattern: str) -> bool:
    """Whether a name matches any of the patterns, which spaces part; the last word counts."""
    found = False
    for part in pattern.split():
        if part.startswith("^"):
            found = found and not fnmatchcase(name, part[1:])
        else:
            found = found or fnmatchcase(name, part)
    return found


def is_pattern(text: str) -> bool:
    """Whether the text has wildcards."""
    return any(sign in text for sign in "*?[^ ")


def numbered_order(name: str) -> tuple[object, ...]:
    """Sort key of numbered-alphanumeric order: in2 before in10."""
    return tuple(int(part) if part.isdigit() else part for part in _NUMBERED.split(name))


def next_name(wanted: str, taken: Iterable[str]) -> str:
    """The wanted name, or the next numbered one. COMP Class, create()."""
    names = set(taken)
    if wanted not in names:
        return wanted
    base = wanted.rstrip("0123456789")
    number = int(wanted[len(base) :] or 0) + 1
    while f"{base}{number}" in names:
        number += 1
    return f"{base}{number}"
