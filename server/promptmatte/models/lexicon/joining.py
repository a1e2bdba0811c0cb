"""The parts of a text as one Meaning."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from promptmatte.models.lexicon.meaning import Meaning
from promptmatte.models.lexicon.reading import EVERYTHING, Part, Reading, Thing


def joined(reading: Reading, *, respelt: bool = False) -> Meaning:
    """What all parts come to; respelt: a word was misspelt, so that taken_as says which.

    One Meaning has one colour: parts of several colours are meant without any. A kind of a
    thing cannot be taken off it: "all people but the singer" are all people.
    """
    things = [part.thing for part in reading.meant if part.thing and not _is_colour_alone(part)]
    colour, clear = _colour(reading.meant)
    if not things and colour:
        things = [EVERYTHING]
    everything = any(thing.whole for thing in things)
    concepts = _unique(c for thing in things for c in thing.concepts)
    named = [part.thing for part in reading.left_out if part.thing]
    less = [t for t in named if everything or not (t.loose and set(concepts) <= set(t.concepts))]
    without = _unique(
        concept
        for thing in (*(t for t in things if t.whole), *less)
        for concept in (thing.without if thing in things else thing.concepts)
    )
    background = [thing for thing in less if thing.whole and thing.without]
    if everything and background:  # all but the background
        everything, concepts = False, background[0].without
    colours_left_out = any(part.colours for part in reading.left_out)
    loose = any(thing.loose for thing in (*things, *named))
    meant = bool(things) and (everything or bool(concepts))
    unknown = _unique(w for p in (*reading.meant, *reading.left_out) for w in p.unknown)
    says = respelt or loose or not clear or colours_left_out or bool(unknown)
    return Meaning(
        any_of=() if everything else concepts,
        colour=colour if meant else None,
        without=without if meant else (),
        everything=everything,
        unknown=unknown,
        taken_as=_described(things, colour, less) if meant and says else None,
    )


def _colour(parts: Sequence[Part]) -> tuple[str | None, bool]:
    """The one colour of all parts, if there is one, and whether that is all that was said."""
    named = [part for part in parts if part.thing and not _is_colour_alone(part)]
    alone = [c for part in parts if _is_colour_alone(part) for c in part.colours]
    if not named:
        return (alone[0], len(set(alone)) == 1) if alone else (None, True)
    each = {part.colours for part in named}
    said = {colour for part in named for colour in part.colours}
    if not said and len(set(alone)) == 1:
        return alone[0], True
    if len(each) == 1 and len(said) == 1 and not set(alone) - said:
        return next(iter(said)), True
    return None, not (said or alone)


def _is_colour_alone(part: Part) -> bool:
    return part.thing is EVERYTHING and bool(part.colours)


def _described(things: Sequence[Thing], colour: str | None, less: Sequence[Thing]) -> str:
    """What was understood, such as one could type it."""
    names = " + ".join(_unique(thing.name for thing in things))
    out = "".join(f" - {name}" for name in _unique(thing.name for thing in less))
    return (
        f"{colour} {names}{out}"
        if colour and names != EVERYTHING.name
        else (f"{colour or names}{out}")
    )


def _unique(items: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))
