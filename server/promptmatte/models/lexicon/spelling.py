"""Which word a misspelt one is meant to be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from string import ascii_lowercase

SHORTEST = 5
"""Letters of a word that is looked at."""

LONG = 8
"""Letters from which on two edits are forgiven in place of one, the first letter being right."""


def edits_for(word: str) -> int:
    """How many edits are forgiven in a word at most."""
    return 0 if len(word) < SHORTEST else 1 if len(word) < LONG else 2


def edits_between(first: str, second: str, most: int) -> int:
    """Edits from one word to the other: a letter more, less or another, or two letters swapped
    that are neighbours or have one between them. More than most: most + 1.

    The optimal string alignment of Damerau (1964), with the wider swap for slips such as
    "bycicle"; searched from the first difference on, which is quick for a few edits.
    """
    start = 0
    while start < min(len(first), len(second)) and first[start] == second[start]:
        start += 1
    first, second = first[start:], second[start:]
    while first and second and first[-1] == second[-1]:
        first, second = first[:-1], second[:-1]
    if not first or not second:
        return min(len(first) + len(second), most + 1)
    if most == 0 or abs(len(first) - len(second)) > most:
        return most + 1
    rests = [(first[1:], second[1:]), (first[1:], second), (first, second[1:])]
    if first[:2] == second[1::-1]:
        rests.append((first[2:], second[2:]))
    if len(first) > 2 and first[:3] == second[2::-1]:
        rests.append((first[3:], second[3:]))
    return 1 + min(edits_between(*rest, most - 1) for rest in rests)


class Speller:
    """Finds the words nearest to a misspelt one among those that there are."""

    def __init__(self, words: Iterable[str]) -> None:
        self._words = {word for word in words if len(word) >= SHORTEST and word.isalpha()}
        self._alike: dict[tuple[str, int], list[tuple[str, int]]] = {}
        for word in sorted(self._words):
            self._alike.setdefault((word[0], len(word)), []).append((word, _letters(word)))

    def nearest(self, word: str) -> tuple[str, ...]:
        """All words that are fewest edits away, as many as are forgiven at most.

        The first letter is rarely wrong: only when no word begins with it, those are looked at
        that are one edit of it away.
        """
        most = edits_for(word)
        if not most or not word.isalpha():
            return ()
        letters = _letters(word)
        found: dict[int, list[str]] = {}
        for length in range(len(word) - most, len(word) + most + 1):
            for other, others in self._alike.get((word[0], length), ()):
                if (letters ^ others).bit_count() <= 2 * most:
                    found.setdefault(edits_between(word, other, most), []).append(other)
        best = next((found[edits] for edits in range(most + 1) if edits in found), None)
        return tuple(best or sorted(self._words.intersection(_with_another_start(word))))


def _with_another_start(word: str) -> Iterator[str]:
    """All that one edit of its first letter makes of a word."""
    yield word[1:]
    yield word[1] + word[0] + word[2:]
    yield word[2] + word[1] + word[0] + word[3:]
    for letter in ascii_lowercase:
        yield letter + word
        yield letter + word[1:]


def _letters(word: str) -> int:
    """A bit for each letter that occurs."""
    bits = 0
    for letter in word:
        bits |= 1 << (ord(letter) % 64)
    return bits
