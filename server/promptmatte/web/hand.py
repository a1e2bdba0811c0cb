"""What one open page shows: changes made elsewhere come in without a fight with the hand."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

HOLD_S = 1.0
"""So long after a touch nothing from elsewhere moves what was touched."""

TYPING_HOLD_S = 5.0
"""The same for a text: people stop to think."""


class Hand:
    """One page's memory; its events may come from several threads.

    channel: the prompt that is edited, 0 to 3. asking: suggestions were asked for; found: texts
    and how sure they are. storing: the next pad that is tapped takes the prompts. message: what
    went wrong with the last thing this page did.
    """

    def __init__(self, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.channel = 0
        self.asking = False
        self.storing = False
        self.found: list[tuple[str, float]] = []
        self.message: list[str] = []
        self._clock_s = clock_s
        self._shown: dict[str, Any] = {}
        self._held_until_s: dict[str, float] = {}

    def touched(self, name: str, value: Any, *, hold_s: float = HOLD_S) -> None:
        """The hand gave this its value."""
        self._shown[name] = value
        self._held_until_s[name] = self._clock_s() + hold_s

    def hold(self, name: str, *, hold_s: float = TYPING_HOLD_S) -> None:
        """The hand is at work on this."""
        self._held_until_s[name] = self._clock_s() + hold_s

    def release(self, *names: str) -> None:
        """The hand is off these, or all: the next news holds whatever the server has."""
        for name in names or (*self._shown, *self._held_until_s):
            self._held_until_s.pop(name, None)
            self._shown.pop(name, None)

    def news(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Those that the page does not show yet and the hand is not on; from now on it does."""
        now_s = self._clock_s()
        fresh = {
            name: value
            for name, value in values.items()
            if (name not in self._shown or self._shown[name] != value)
            and now_s >= self._held_until_s.get(name, now_s)
        }
        self._shown.update(fresh)
        return fresh
