"""The data files of the lexicon, read line by line and checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources

from promptmatte.errors import DataError

WHOLE = "everything"


@dataclass(frozen=True, kw_only=True)
class Line:
    """One entry of a file: what is left of the colon, the words right of it, those after ~."""

    place: str
    head: str
    words: tuple[str, ...]
    narrower: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Sense:
    """What a line's words mean: concepts to choose from, the first choice first.

    whole: the whole picture, less the concepts in without. name: its first word, if any means
    just that.
    """

    choices: tuple[tuple[str, ...], ...]
    whole: bool = False
    without: tuple[str, ...] = ()
    name: str = ""


def read_text(name: str) -> str:
    """The text of a shipped file."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def lines_of(text: str, name: str) -> Iterator[Line]:
    """The entries of a file's text; DataError for one without a colon or words."""
    for place, entry in _entries(text, name):
        head, colon, rest = entry.partition(":")
        equal, _, narrower = rest.partition("~")
        words, less = _listed(equal, ","), _listed(narrower, ",")
        if not colon or not head.strip() or not words + less or entry.count("~") > 1:
            raise DataError(f"expected a line such as 'person: people, man' in {place}: {entry!r}")
        yield Line(place=place, head=head.strip(), words=words, narrower=less)


def groups_of(text: str, name: str) -> dict[str, tuple[str, ...]]:
    """@name -> concepts of a file's text; DataError for what is no such line."""
    groups: dict[str, tuple[str, ...]] = {}
    for place, entry in _entries(text, name):
        group, equals, rest = entry.partition("=")
        if not equals or not group.startswith("@") or group.strip() in groups:
            raise DataError(
                f"expected a new group '@name = concept + concept' in {place}: {entry!r}"
            )
        groups[group.strip()] = _concepts(rest, groups, place)
    return groups


def sense_of(line: Line, groups: Mapping[str, tuple[str, ...]]) -> Sense:
    """What the head of a line says: "a + b > c" or "everything - a"; DataError."""
    name = next(iter(line.words), "")
    whole, minus, without = line.head.partition(" - ")
    if minus and whole.strip() == WHOLE:
        concepts = _concepts(without, groups, line.place)
        return Sense(choices=(), whole=True, without=concepts, name=name)
    choices = tuple(_concepts(c, groups, line.place) for c in line.head.split(">"))
    return Sense(choices=choices, name=name)


def _entries(text: str, name: str) -> Iterator[tuple[str, str]]:
    """(file and line, entry) of a text: lines that begin with a space go on the one before."""
    entry, start = "", 0
    for number, line in enumerate([*text.splitlines(), "#"], 1):
        if line.startswith(" "):
            entry += line
            continue
        if entry:
            yield f"{name}, line {start}", entry
        entry, start = ("" if line.startswith("#") else line.strip()), number


def _concepts(text: str, groups: Mapping[str, tuple[str, ...]], place: str) -> tuple[str, ...]:
    found: list[str] = []
    for part in _listed(text, "+"):
        if part.startswith("@") and part not in groups:
            raise DataError(f"expected a group of groups.txt in {place}; got {part}")
        found += groups[part] if part.startswith("@") else [part]
    if not found:
        raise DataError(f"expected concepts in {place}; got {text!r}")
    return tuple(dict.fromkeys(found))


def _listed(text: str, sign: str) -> tuple[str, ...]:
    return tuple(word for word in map(str.strip, text.split(sign)) if word)
