"""The four places that OSC numbers, which may be empty, and the server's prompts, which have no
gaps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from promptmatte.frame import MAX_CHANNELS
from promptmatte.prompts import Prompt

NOTHING = Prompt(text="everything", negative=("everything",))
"""Stands in an empty place before a used one: an empty matte, for which no model is asked."""


class Places:
    """The prompts by their number, and the negatives that were set beside them.

    A prompt's own text may say what to leave out ("person - hair"), and /N/negative says more.
    A new text goes with the old /N/negative; so that is remembered here, as long as nobody
    else changes that prompt's negatives.
    """

    def __init__(self) -> None:
        self._negatives: list[tuple[str, ...]] = [()] * MAX_CHANNELS

    def shown(self, entries: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
        """Prompt and negative of the four places as texts; sent back, they change nothing.

        entries: `prompts` of the server's status.
        """
        return [
            (_line(prompt, own), ", ".join(own))
            for prompt, own in zip(_padded(entries), self._own(entries), strict=True)
        ]

    def changed(
        self, entries: Sequence[Mapping[str, Any]], place: int, name: str, text: str
    ) -> list[dict[str, Any]]:
        """The server's prompts with the prompt or negative of a place (1 to 4) changed, as the
        command `prompt` takes them. PromptError, with nothing changed, for a text that cannot
        be used."""
        prompts, negatives = _padded(entries), self._own(entries)
        index = place - 1
        if name == "negative":
            things = [thing.strip() for thing in text.split(",") if thing.strip()]
            line = _line(prompts[index], negatives[index])
            negatives[index] = Prompt(text="checked", negative=tuple(things)).negative
        else:
            line = text.strip()
        if line:
            prompts[index] = Prompt.parse(line, negative=negatives[index])
        else:
            prompts[index] = None
        self._negatives = negatives
        while prompts and prompts[-1] is None:
            prompts.pop()
        return [(prompt or NOTHING).entry for prompt in prompts]

    def _own(self, entries: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
        return [
            own if prompt is None or set(own) <= set(prompt.negative) else ()
            for prompt, own in zip(_padded(entries), self._negatives, strict=True)
        ]


def _padded(entries: Iterable[Mapping[str, Any]]) -> list[Prompt | None]:
    """The prompt of each place, None for an empty one."""
    prompts = map(Prompt.of_entry, entries)
    places = [None if prompt == NOTHING else prompt for prompt in prompts]
    return places + [None] * (MAX_CHANNELS - len(places))


def _line(prompt: Prompt | None, own: tuple[str, ...]) -> str:
    """The prompt as one types it, without the negatives that were set beside it."""
    if prompt is None:
        return ""
    rest = list(prompt.negative)
    for thing in own:
        if thing in rest:
            rest.remove(thing)
    return replace(prompt, negative=tuple(rest)).typed
