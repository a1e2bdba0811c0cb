"""The running server as the page sees it: asked at a low rate, once for all open pages."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from promptmatte.controls import CONTROLS, Value
from promptmatte.errors import CommandError, LinkError, PromptMatteError
from promptmatte.frame import MAX_CHANNELS
from promptmatte.links.protocol import ClientLink
from promptmatte.prompts import Prompt
from promptmatte.web.panels import Panels

FRESH_S = 0.2
"""A snapshot so young is not asked for again, however many pages are open."""

TIMEOUT_S = 3.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Snapshot:
    """status: the server's, {} when it does not answer; then trouble says why. panels: the
    newest pictures; None before the first."""

    status: Mapping[str, Any] = field(default_factory=dict)
    panels: Panels | None = None
    trouble: str = ""

    @property
    def prompts(self) -> list[dict[str, Any]]:
        """The prompts as the command `prompt` takes them."""
        return [Prompt.of_entry(entry).entry for entry in self.status.get("prompts", ())]

    def values(self, channel: int) -> dict[str, Value]:
        """Every control's value, those of scope channel in this one (0 to 3)."""
        changed = self.status.get("controls", {})
        channels = changed.get("channels", [{}] * MAX_CHANNELS)
        return {
            **{name: row.default for name, row in CONTROLS.items()},
            **changed.get("stream", {}),
            **channels[channel],
        }


class Show:
    """Commands to one server, from any thread, one at a time."""

    def __init__(self, link: ClientLink, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._link = link
        self._clock_s = clock_s
        self._asking = threading.Lock()
        self._looking = threading.Lock()
        self._snapshot = Snapshot(trouble="not asked yet")
        self._taken_s = -FRESH_S

    def ask(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """The server's reply; LinkError without a server, CommandError when it refuses."""
        with self._asking:
            reply = self._link.request(command, timeout_s=TIMEOUT_S)
        if not reply.get("ok"):
            raise CommandError(str(reply.get("error", "the server refused without a reason")))
        return reply

    def set_prompts(self, prompts: list[dict[str, Any]]) -> list[str]:
        """Makes these the prompts; what the server has to say about them."""
        return list(self.ask({"command": "prompt", "prompts": prompts}).get("notes", ()))

    def set_control(self, name: str, value: Value, channel: int) -> None:
        """Sets one control, of this channel (0 to 3) if it is a channel's."""
        scope = {"prompt": channel + 1} if CONTROLS[name].scope == "channel" else {}
        self.ask({"command": "set", "controls": {name: value}, **scope})

    def snapshot(self) -> Snapshot:
        """How things are, at most FRESH_S old; never raises for a server that is away."""
        with self._looking:
            if self._clock_s() - self._taken_s >= FRESH_S:
                self._snapshot = self._taken()
                self._taken_s = self._clock_s()
            return self._snapshot

    def now(self) -> Snapshot:
        """How things are after all that was asked for before; LinkError without a server."""
        with self._looking:
            self._taken_s = -FRESH_S
        snapshot = self.snapshot()
        if snapshot.trouble:
            raise LinkError(snapshot.trouble)
        return snapshot

    def _taken(self) -> Snapshot:
        try:
            status = self.ask({"command": "status"})["status"]
        except PromptMatteError as error:
            return Snapshot(trouble=str(error))
        try:
            panels = Panels.of(self.ask({"command": "preview"})["preview"])
        except PromptMatteError:
            panels = None
        return Snapshot(status=status, panels=panels)
