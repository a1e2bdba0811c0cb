"""The thread that talks to the server: says what is wanted, again after every restart."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from promptmatte import COMMANDS_VERSION, __version__
from promptmatte_shm import LayoutError, ShmError

from promptmatte_td.links import Link
from promptmatte_td.mixing import NO_PROMPTS, Mix, Mixes, Places, fade_steps

logger = logging.getLogger(__name__)

REQUEST_S = 2.0
STATUS_EVERY_S = 0.25
GREET_EVERY_S = 0.5
SUGGEST_S = 60.0
_IDLE_S = 0.05

Values = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Wish:
    """All that the server is to do. channels: the controls of each place; stream: the rest."""

    prompts: Places = NO_PROMPTS
    fade_s: float = 0.0
    channels: tuple[Values, ...] = ()
    stream: Values = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Report:
    """What is known of the server; empty where nothing is.

    refusal: why this server cannot be used at all. complaint: what it said to the last
    command that it refused. suggestions: words, the surest first, numbered by asking.
    """

    connected: bool = False
    hello: Values = field(default_factory=dict)
    status: Values = field(default_factory=dict)
    refusal: str = ""
    complaint: str = ""
    suggestions: tuple[str, ...] = ()
    asked: int = 0


class Conversation:
    """Sees to it that the server does what `wish` says. Attributes may be read at any time."""

    def __init__(self, link: Link, mixes: Mixes) -> None:
        self._link = link
        self._mixes = mixes
        self.report = Report()
        self._wish = Wish()
        self._commands: deque[Mapping[str, Any]] = deque(maxlen=16)
        self._run = ""
        self._tried: Places | None = None
        self._placed: Places = NO_PROMPTS
        self._steps: list[Mix] = []
        self._mix = Mix([])
        self._said: list[dict[str, Any]] = []
        self._said_stream: dict[str, Any] = {}
        self._status_at_s = 0.0
        self._suggest_until_s = 0.0
        self._news = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._converse, name="promptmatte-td-conversation", daemon=True
        )
        self._thread.start()

    def wish(self, wish: Wish) -> None:
        """What is wanted from now on."""
        self._wish = wish
        self._news.set()

    def command(self, command: Mapping[str, Any]) -> None:
        """Says something once, such as another model; lost when there is no server."""
        self._commands.append(command)
        self._news.set()

    def close(self) -> None:
        """Ends the thread; a request under way ends first, after REQUEST_S at most."""
        self._stop.set()
        self._news.set()
        self._thread.join()

    def _converse(self) -> None:
        try:
            while not self._stop.is_set():
                wait_s = GREET_EVERY_S
                try:
                    wait_s = self._turn()
                except LayoutError as error:
                    self._lose(refusal=str(error))
                except (ShmError, OSError) as error:  # no server, or no answer in time
                    logger.debug("no answer: %s", error)
                    self._lose()
                if self._news.wait(wait_s):
                    self._news.clear()
        except Exception as error:
            logger.exception("the conversation failed")
            self._lose(refusal=f"the conversation failed: {type(error).__name__}: {error}")

    def _turn(self) -> float:
        """One look at all there is to do; seconds until the next."""
        if not self._run and not self._greet():
            return GREET_EVERY_S
        if time.monotonic() >= self._status_at_s:
            self._look()
        if not self._run:
            return 0.0
        wish = self._wish
        self._say_prompts(wish)
        self._say_controls(wish)
        while self._commands:
            self._say(self._commands.popleft())
        return _IDLE_S

    def _ask(self, command: Mapping[str, Any]) -> dict[str, Any]:
        return self._link.request(command, REQUEST_S)

    def _say(self, command: Mapping[str, Any]) -> dict[str, Any] | None:
        """The reply; None, with the reason in the report, where the server refuses."""
        reply = self._ask(command)
        if not reply.get("ok"):
            self.report = replace(self.report, complaint=str(reply.get("error", "refused")))
            return None
        if command["command"] == "suggest":
            self._suggest_until_s = time.monotonic() + SUGGEST_S
        return reply

    def _greet(self) -> bool:
        hello = self._ask({"command": "hello"})
        version = hello.get("commands_version")
        if version != COMMANDS_VERSION:
            self._lose(
                refusal=f"the server is PromptMatte {hello.get('version', 'of an older version')}, "
                f"this component {__version__}, and they do not understand each other: make "
                "both the same (`promptmatte td` on the server's machine gives the fitting one)"
            )
            return False
        self._mixes.forget()
        self._run = str(hello["run"])
        self._tried, self._placed, self._steps, self._mix = None, NO_PROMPTS, [], Mix([])
        self._said, self._said_stream = [], {}
        self._status_at_s = 0.0
        self.report = replace(self.report, connected=True, hello=hello, refusal="", complaint="")
        return True

    def _lose(self, refusal: str = "") -> None:
        self._run = ""
        self.report = replace(self.report, connected=False, status={}, refusal=refusal)

    def _look(self) -> None:
        reply = self._ask({"command": "status"})
        self._status_at_s = time.monotonic() + STATUS_EVERY_S
        if reply.get("run") != self._run:  # another server since
            self._run = ""
            return
        self.report = replace(self.report, status=reply["status"])
        if self._suggest_until_s:
            self._look_for_suggestions()

    def _look_for_suggestions(self) -> None:
        answer = self._ask({"command": "suggestions", "limit": 20})
        if not answer.get("done") and time.monotonic() < self._suggest_until_s:
            return
        self._suggest_until_s = 0.0
        report, error = self.report, answer.get("error")
        words = tuple(entry["text"] for entry in answer.get("suggestions", ()))
        self.report = replace(
            report, suggestions=words, asked=report.asked + 1,
            complaint=str(error) if error else report.complaint,
        )  # fmt: skip

    def _say_prompts(self, wish: Wish) -> None:
        if wish.prompts != self._tried:
            first = self._tried is None
            self._tried = wish.prompts
            steps = fade_steps(self._placed, wish.prompts, 0.0 if first else wish.fade_s)
            if self._show(steps[0]):
                self._placed, self._steps = wish.prompts, steps[1:]
                self.report = replace(self.report, complaint="")
        elif self._steps and self._mix.done:
            self._show(self._steps.pop(0))

    def _show(self, mix: Mix) -> bool:
        entries = [part.prompt.entry() for part in mix.parts]
        reply = self._say({"command": "prompt", "prompts": entries})
        if reply is None:
            return False
        self._mix = mix
        self._mixes.tell(int(reply["prompts_version"]), mix)
        return True

    def _say_controls(self, wish: Wish) -> None:
        for channel, part in enumerate(self._mix.parts):
            if part.place >= len(wish.channels):
                continue
            while channel >= len(self._said):
                self._said.append({})
            self._say_changed(wish.channels[part.place], self._said[channel], channel + 1)
        self._say_changed(wish.stream, self._said_stream, None)

    def _say_changed(self, values: Values, said: dict[str, Any], prompt: int | None) -> None:
        changed = {name: value for name, value in values.items() if said.get(name) != value}
        if changed:
            self._say({"command": "set", "controls": changed, "prompt": prompt})
            said.update(changed)
