"""English and Chinese as people write prompts: which words are the thing, which only tell of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from promptmatte.models.lexicon.items import Item
from promptmatte.models.lexicon.words import Word


@dataclass(frozen=True, kw_only=True)
class Thing:
    """What a word stands for among the concepts there are.

    concepts: any of them; whole: the whole picture without those in `without`. name: in words.
    loose: the word says more than that.
    """

    concepts: tuple[str, ...] = ()
    whole: bool = False
    without: tuple[str, ...] = ()
    name: str = ""
    loose: bool = False


@dataclass(frozen=True, kw_only=True)
class Part:
    """One of the things that a text joins with "and", or what is left of one.

    thing: None when nothing is known of it. colours: all that it is said to have. unknown:
    words that could not be placed.
    """

    thing: Thing | None = None
    colours: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Reading:
    """All that a text names: the parts that are meant and those that are left out."""

    meant: tuple[Part, ...] = ()
    left_out: tuple[Part, ...] = ()


EVERYTHING = Thing(whole=True, name="everything")


BEING = frozenset({"is", "are", "thatis", "thatare", "whichis", "whichare"})
"""Keys of what stands before the colour of a thing: "the car that is red"."""


class Reader:
    """Reads items; resolve: what a word stands for, None when that is not known."""

    def __init__(self, resolve: Callable[[Word], Thing | None]) -> None:
        self._resolve = resolve

    def read(self, items: Sequence[Item]) -> Reading:
        """The parts of a text."""
        meant, left_out = _divided(items)
        parts = self._parts(meant)
        if left_out is None:
            return Reading(meant=parts)
        return Reading(meant=parts or (Part(thing=EVERYTHING),), left_out=self._parts(left_out))

    def _parts(self, items: Sequence[Item]) -> tuple[Part, ...]:
        parts = [self._part(chunk) for chunk in _chunks(items)]
        return tuple(part for part in parts if part != Part())

    def _part(self, chunk: Sequence[Item]) -> Part:
        """The thing at the head of one chunk: its last noun."""
        items = _after_of(_after_possessive(chunk))
        for index in range(len(items) - 1, -1, -1):
            item = items[index]
            if "everything" in item and not item.word.sense:
                return Part(thing=EVERYTHING, colours=_colours(items))
            if item.names:
                if self._only_tells(item, items[:index]):
                    continue
                return self._headed(items, index)
            if "thing" in item and _colours(items) and not _is_named(items[:index]):
                break  # "red things"
            if "thing" in item or "before" in item:
                return Part(unknown=_typed(items[index : index + 1]))
        if _colours(items):
            return Part(thing=EVERYTHING, colours=_colours(items))
        return Part(unknown=_typed([i for i in items if i.describes and "determiner" not in i]))

    def _only_tells(self, item: Item, before: Sequence[Item]) -> bool:
        """True for the last word of "a car photo" and of "jacket orange", and for "orange" where
        the fruit is not known."""
        if "view" in item:
            return any(other.names for other in before)
        if item.word.colour and not item.word.other and self._resolve(item.word) is None:
            return True
        nearest = before[-1] if before else None
        if not item.word.colour or nearest is None or "before" in nearest:
            return False
        return "everything" in nearest or self._resolve(nearest.word) is not None

    def _headed(self, items: Sequence[Item], index: int) -> Part:
        """The part whose head is items[index]."""
        head = items[index]
        thing = self._resolve(head.word)
        if thing is None:
            return Part(unknown=_typed(self._strange_run(items, index)))
        before = list(items[:index])
        own = before[_last_index(before, lambda item: item.possessive) + 1 :]
        if "person" in thing.concepts:
            own = own[_last_index(own, lambda item: item.names and not item.word.colour) + 1 :]
        if "person" in thing.concepts:
            own = [item for item in own if not _is_complexion(item)]
        colours = _colours([*own, *items[index + 1 :]])
        strange = [item for item in before if self._is_strange(item)]
        return Part(thing=thing, colours=colours, unknown=_typed(strange))

    def _strange_run(self, items: Sequence[Item], index: int) -> Sequence[Item]:
        """The head at index with the words right before it that are not known either."""
        start = index
        while start > 0 and self._is_strange(items[start - 1]):
            start -= 1
        return items[start : index + 1]

    def _is_strange(self, item: Item) -> bool:
        """True for a noun that is not known and no mere addition to another."""
        if not item.names or item.possessive or item.describes or item.word.colour:
            return False
        if {"before", "view", "amount", "thing"} & item.word.roles:
            return False
        return self._resolve(item.word) is None


def _divided(items: Sequence[Item]) -> tuple[Sequence[Item], Sequence[Item] | None]:
    """What is meant, and what is left out of it, if there is such a thing."""
    place = _exception(items)
    if place is None:
        last = _last_index(items, lambda item: "excepted" in item)
        return ([], items[:last]) if last > 0 else (items, None)
    if any(_says_something(item) for item in items[:place]):
        return items[:place], items[place + 1 :]
    return _divided_after(items[place + 1 :])


def _exception(items: Sequence[Item]) -> int | None:
    """Where an exception begins, in the middle or, as "remove the sky", at the start."""
    first = next((i for i, item in enumerate(items) if _says_something(item)), None)
    if first is not None and "leave out" in items[first]:
        return first
    return next((i for i, item in enumerate(items) if "except" in item), None)


def _divided_after(items: Sequence[Item]) -> tuple[Sequence[Item], Sequence[Item]]:
    """What is meant and what is left out of a text that begins with its exception: as in
    "除了天空以外的一切" and "except the sky, everything"; it need not say what is meant."""
    for index, item in enumerate(items):
        if "covered" in item:
            return items[index + 1 :], items[:index]
    last = _last_index(items, lambda item: "possessive" in item)
    if _splits(items, last):
        return items[last + 1 :], items[:last]
    last = _last_index(items, lambda item: "comma" in item)
    if _splits(items, last) and any("everything" in item for item in items[last:]):
        return items[last + 1 :], items[:last]
    return [], items


def _splits(items: Sequence[Item], place: int) -> bool:
    """True when there is a thing to each side of a place."""
    before, after = items[: max(0, place)], items[place + 1 :]
    return any(item.names for item in before) and any(_is_meant(item) for item in after)


def _says_something(item: Item) -> bool:
    """False for a word that a text may begin with and that adds nothing to it."""
    return _is_meant(item) or "leave out" in item or "except" in item


def _is_meant(item: Item) -> bool:
    return item.names or "everything" in item or "thing" in item or bool(item.word.colour)


def _chunks(items: Sequence[Item]) -> list[list[Item]]:
    """The things of a list, each without the phrase that only tells of it."""
    chunks: list[list[Item]] = [[]]
    telling = False
    for index, item in enumerate(items):
        if "comma" in item or "except" in item or ("join" in item and not telling):
            chunks.append([])
            telling = False
        elif telling:
            if _tells_colour(items, index):
                chunks[-1].append(item)
        elif "join" in item or "covered" in item:
            continue
        elif _begins_phrase(item, chunks[-1]) and not _possessive_follows(items, index):
            telling = True
        elif item.word.roles != {"about"}:
            chunks[-1].append(item)
    return [chunk for chunk in chunks if chunk]


def _begins_phrase(item: Item, chunk: Sequence[Item]) -> bool:
    """True for "with" and for verbs in -ing after a noun: what follows tells of that."""
    verb = item.describes and item.key.endswith("ing")
    if "about" not in item and not verb:
        return False
    return any((i.names or "everything" in i or "thing" in i) and not i.possessive for i in chunk)


def _tells_colour(items: Sequence[Item], index: int) -> bool:
    """True for the colour in "the car that is red": right after a form of "be"."""
    before = items[index - 1].key if index else ""
    follows = any(item.names for item in items[index + 1 : index + 2])
    return bool(items[index].word.colour) and not follows and before in BEING


def _possessive_follows(items: Sequence[Item], index: int) -> bool:
    """True when a Chinese possessive follows before the next comma: all before it tells."""
    for item in items[index + 1 :]:
        if "comma" in item:
            return False
        if "possessive" in item:
            return True
    return False


def _after_possessive(chunk: Sequence[Item]) -> list[Item]:
    """What the last Chinese possessive belongs to, with the colours right before it."""
    last = _last_index(chunk, lambda item: "possessive" in item)
    if last < 0:
        return list(chunk)
    after = list(chunk[last + 1 :])
    if not any(_is_meant(item) for item in after):
        return _after_possessive([*chunk[:last], *after])
    before = chunk[:last]
    before = before[_last_index(before, lambda item: "possessive" in item) + 1 :]
    told = [] if any(item.names for item in before) else [i for i in before if i.word.colour]
    return [*told, *after]


def _after_of(items: Sequence[Item]) -> list[Item]:
    """The noun before "of", or the one after it when the first is a view or an amount of it."""
    place = next((i for i, item in enumerate(items) if "of" in item), None)
    if place is None:
        return list(items)
    before, after = list(items[:place]), items[place + 1 :]
    head = next((i for i in reversed(before) if i.names or i.word.roles - {"determiner"}), None)
    if head is None or {"view", "amount", "thing"} & head.word.roles:
        colours = [item for item in before if item.word.colour and item is not head]
        return _after_of([*colours, *after])
    return before


def _colours(items: Sequence[Item]) -> tuple[str, ...]:
    """The colours among these words, less those of another thing ("red-haired")."""
    found = []
    for index, item in enumerate(items):
        of_another = any("elsewhere" in after for after in items[index + 1 : index + 2])
        if item.word.colour and not of_another:
            found.append(item.word.colour)
    return tuple(dict.fromkeys(found))


def _is_complexion(item: Item) -> bool:
    return "complexion" in item or "hair colour" in item


def _is_named(items: Sequence[Item]) -> bool:
    return any(item.names and not item.word.colour for item in items)


def _typed(items: Sequence[Item]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(item.text for item in items))


def _last_index(items: Sequence[Item], is_it: Callable[[Item], bool]) -> int:
    return max((i for i, item in enumerate(items) if is_it(item)), default=-1)
