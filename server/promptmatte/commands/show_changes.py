"""From one state of a show to the next: the commands that a running server needs for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from promptmatte.controls import Controls
from promptmatte.prompts import Prompt


def control_commands(before: Controls, after: Controls) -> list[dict[str, Any]]:
    """`set` for each value that differs, so that the others stay as they were set elsewhere."""
    old, new = before.values(), after.values()
    changed: list[tuple[int | None, dict[str, Any]]] = [
        (None, _differing(old["stream"], new["stream"]))
    ]
    pairs = zip(old["channels"], new["channels"], strict=True)
    changed += [(number, _differing(*pair)) for number, pair in enumerate(pairs, start=1)]
    return [
        {"command": "set", "controls": values, "prompt": number}
        for number, values in changed
        if values
    ]


def merged_prompts(
    before: Sequence[Prompt], after: Sequence[Prompt], live: Sequence[Prompt]
) -> list[Prompt]:
    """The live prompts with those replaced that a show changed from `before` to `after`.

    Prompts have no gaps: one that was taken away elsewhere comes back from the show when a
    later one needs its place, and those after one that the show took away move up.
    """
    result: list[Prompt | None] = [
        new if new != was else now for was, new, now in zip_longest(before, after, live)
    ]
    for index, new in enumerate(after):
        if result[index] is None and any(result[index:]):
            result[index] = new
    return [prompt for prompt in result if prompt is not None]


def prompt_command(prompts: Sequence[Prompt]) -> dict[str, Any]:
    """The command that makes these the prompts."""
    return {"command": "prompt", "prompts": [prompt.entry for prompt in prompts]}


def live_prompts(status: Mapping[str, Any]) -> list[Prompt]:
    """The prompts in a server's status."""
    return [Prompt.of_entry(entry) for entry in status["prompts"]]


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in new.items() if value != old[name]}
