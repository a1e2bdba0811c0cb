"""What a text asks for, in the words of a model that knows a fixed list of concepts."""

from __future__ import annotations

from dataclasses import dataclass

COLOURS = (
    "black", "white", "grey", "red", "orange", "brown", "yellow", "green", "blue", "purple", "pink",
)  # fmt: skip
"""The colours that there are; their order is that of a model's colour vectors."""


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """The union of the concepts any_of in a colour of COLOURS, if any, less those in without.

    everything: the whole picture in place of any_of; with a colour, all that has it. unknown:
    the words that could not be placed; when nothing could be, any_of is empty and everything
    False. taken_as: what the text was taken for, in the concepts' names, where that is not
    obvious: a misspelling, a kind or a part of what is meant ("guitarist": person), a text of
    which some words are unknown. None when nothing is known of it.
    """

    any_of: tuple[str, ...] = ()
    colour: str | None = None
    without: tuple[str, ...] = ()
    everything: bool = False
    unknown: tuple[str, ...] = ()
    taken_as: str | None = None
