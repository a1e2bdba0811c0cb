"""The words every prompt competes with, and which of them are the prompt itself in other words."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

LEAST_STEM = 4
"""Letters from which on a word at the start or end of another counts as its part (doorway,
backdoor); shorter ones are in too many others (car in carpet)."""


@cache
def background() -> dict[str, frozenset[str]]:
    """The background words, each with the words of prompts that it does not compete with."""
    text = resources.files("promptmatte.models.prompters").joinpath("words/background.txt")
    groups: dict[str, list[str]] = {}
    found: dict[str, frozenset[str]] = {}
    for line in text.read_text(encoding="utf-8").splitlines():
        name, _, rest = line.partition(":")
        if not rest or name.startswith("#"):
            continue
        words = [word for part in rest.split() for word in groups.get(part, [part])]
        if name.startswith("@"):
            groups[name] = words
        else:
            found[name] = frozenset(stem(word) for word in words)
    return found


def is_related(phrase: str, word: str) -> bool:
    """True when a background word is the thing of a phrase, a kind, a part or a whole of it, so
    that it must not compete: "dogs" and "animal", "red jacket" and "person"."""
    own = stems(phrase)
    relatives = background().get(word, frozenset())
    return any(
        _is_same(mine, theirs) for mine in own for theirs in stems(word)
    ) or not relatives.isdisjoint(own)


def stems(phrase: str) -> frozenset[str]:
    """The words of a phrase, each without case and plural; parts between hyphens also alone."""
    words = re.findall(r"[\w-]+", phrase.lower())
    return frozenset(stem(part) for word in words for part in (word, *word.split("-")) if part)


def stem(word: str) -> str:
    """A word without its English plural."""
    for ending, instead in (("ies", "y"), ("ches", "ch"), ("shes", "sh"), ("sses", "ss")):
        if word.endswith(ending) and len(word) > len(ending) + 1:
            return word.removesuffix(ending) + instead
    if word.endswith("s") and not word.endswith(("ss", "us")) and len(word) > 3:
        return word.removesuffix("s")
    return word


def _is_same(one: str, other: str) -> bool:
    short, long = sorted((one, other), key=len)
    if len(short) < LEAST_STEM:
        return short == long
    return long.startswith(short) or long.endswith(short)
