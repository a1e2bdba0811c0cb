"""OSC over UDP: the parameters at /promptmatte/..., set by anyone who sends, with feedback."""

from __future__ import annotations

import contextlib
import logging
import select
import threading
from collections.abc import Sequence
from typing import Any

from promptmatte_shm.pace import Pace

from promptmatte.clock import Clock
from promptmatte.control.osc_endpoint import listening, sending
from promptmatte.control.osc_faults import Faults
from promptmatte.control.osc_feedback import (
    Address,
    Arguments,
    Target,
    Targets,
    parameter_values,
    running_values,
)
from promptmatte.control.osc_map import ROOT, Change, changes_of, port_of
from promptmatte.control.osc_packet import messages_of
from promptmatte.control.osc_places import Places
from promptmatte.controls import CONTROLS
from promptmatte.endpoint import Endpoint
from promptmatte.errors import CommandError, PromptMatteError
from promptmatte.frame import MAX_CHANNELS
from promptmatte.links.protocol import CommandHandler
from promptmatte.links.reply import answer

logger = logging.getLogger(__name__)

ROUND_S = 0.01
"""Shortest time between two rounds: what comes in between is applied together, the last value
of each parameter only, so that a flood of messages costs no more than a fader."""

MOST_A_ROUND = 128
"""Messages read in one round; what the system does not hold of the rest is lost."""

VALUES_NS = 100_000_000
"""Between two looks for values that changed."""

RUNNING_NS = 250_000_000
"""Between two reports of how the mattes go."""

Pending = dict[tuple[str, int | None], tuple[Change, Address]]
"""The last change of each parameter, and who sent it."""


class OscServer:
    """Answers OSC at one address on a thread of its own and sends feedback.

    It acts through the command handler alone. A message that cannot be used is named in the
    log, and to its sender at /promptmatte/error if that gets feedback; nothing else happens.
    ConfigError for an address that cannot be listened at.
    """

    def __init__(
        self, *, endpoint: Endpoint, feedback: Sequence[Endpoint] = (), clock: Clock
    ) -> None:
        self._clock = clock
        self._sockets = contextlib.ExitStack()
        with contextlib.ExitStack() as opening:
            self._socket = opening.enter_context(listening(endpoint))
            fixed = []
            for receiver in feedback:
                out, address = sending(receiver)
                fixed.append(Target(out=opening.enter_context(out), address=address))
            self._sockets = opening.pop_all()
        self._targets = Targets(fixed, out=self._socket)
        self._faults = Faults()
        self._places = Places()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._asked = False
        self._values_due_ns = self._running_due_ns = 0

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that it listens at."""
        host, port = self._socket.getsockname()[:2]
        return host, port

    def serve(self, handler: CommandHandler) -> None:
        """Starts to listen, once."""
        self._thread = threading.Thread(
            target=self._run, args=(handler,), name="promptmatte-osc", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Ends the thread and closes the sockets; safe to call twice."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self._sockets.close()

    def _run(self, handler: CommandHandler) -> None:
        pace = Pace(self._stopping)
        while not self._stopping.is_set():
            try:
                self._round(handler, pace)
            except Exception as error:
                if self._faults.add(f"OSC: internal error: {error}", self._clock.now_ns()):
                    logger.exception("OSC goes on after an error")
            pace.rest()
            self._stopping.wait(ROUND_S)
        self._faults.flush(self._clock.now_ns(), at_end=True)

    def _round(self, handler: CommandHandler, pace: Pace) -> None:
        pending: Pending = {}
        has_come = select.select([self._socket], [], [], VALUES_NS / 1e9)[0]
        pace.begin()
        if has_come:
            self._receive(pending)
        self._apply(pending, handler)
        now_ns = self._clock.now_ns()
        self._faults.flush(now_ns)
        self._targets.expire(now_ns)
        if now_ns >= self._values_due_ns:
            self._values_due_ns = now_ns + VALUES_NS
            self._send_feedback(handler, now_ns)

    def _receive(self, pending: Pending) -> None:
        """Reads what has come, up to a bound; later values replace earlier ones."""
        count = 0
        while count < MOST_A_ROUND:
            try:
                datagram, sender = self._socket.recvfrom(65536)
            except OSError:  # nothing more; or, on Windows, word that a subscriber is gone
                return
            count += 1
            try:
                messages = messages_of(datagram)
            except PromptMatteError as error:
                self._refuse(sender, str(error))
                continue
            count += len(messages)
            for message in messages:
                try:
                    changes = changes_of(message)
                except PromptMatteError as error:
                    self._refuse(sender, str(error))
                    continue
                for change in changes:
                    if not self._served(change, sender):
                        pending[change.name, change.place] = change, sender

    def _served(self, change: Change, sender: Address) -> bool:
        """True for a request about feedback, which is then done."""
        match change.name:
            case "subscribe":
                try:
                    now_ns = self._clock.now_ns()
                    self._targets.subscribe(sender, port_of(change.value), now_ns)
                except CommandError as error:
                    self._refuse(sender, str(error))
            case "unsubscribe":
                self._targets.unsubscribe(sender, port_of(change.value))
            case "refresh":
                self._targets.refresh()
            case _:
                return False
        return True

    def _apply(self, pending: Pending, handler: CommandHandler) -> None:
        """Hands the changes to the handler: all prompts in one command, the controls of each
        prompt in one."""
        texts = [entry for entry in pending.values() if entry[0].name in ("prompt", "negative")]
        if texts:
            self._apply_prompts(texts, handler)
        for place in (None, *range(1, MAX_CHANNELS + 1)):
            own = {
                name: entry
                for (name, at), entry in pending.items()
                if at == place and name in CONTROLS
            }
            if own:
                values = {name: change.value for name, (change, _) in own.items()}
                command = {"command": "set", "controls": values, "prompt": place}
                self._told(handler, command, next(iter(own.values()))[1])
        if ("model", None) in pending:
            change, sender = pending["model", None]
            self._told(handler, {"command": "model", "name": change.value}, sender)
        if ("suggest", None) in pending:
            _, sender = pending["suggest", None]
            self._asked = self._told(handler, {"command": "suggest"}, sender)

    def _apply_prompts(
        self, texts: Sequence[tuple[Change, Address]], handler: CommandHandler
    ) -> None:
        entries = answer(handler, {"command": "status"})["status"]["prompts"]
        for change, sender in texts:
            try:
                entries = self._places.changed(
                    entries, int(change.place or 1), change.name, str(change.value)
                )
            except PromptMatteError as error:
                self._refuse(sender, str(error))
        self._told(handler, {"command": "prompt", "prompts": entries}, texts[-1][1])

    def _told(self, handler: CommandHandler, command: dict[str, Any], sender: Address) -> bool:
        reply = answer(handler, command)
        if not reply["ok"]:
            self._refuse(sender, reply["error"])
        return bool(reply["ok"])

    def _refuse(self, sender: Address, text: str) -> None:
        line = " ".join(text.split())
        self._faults.add(f"OSC: {line}", self._clock.now_ns())
        self._targets.refused(sender, line)

    def _send_feedback(self, handler: CommandHandler, now_ns: int) -> None:
        if not self._targets.all:
            return
        status = answer(handler, {"command": "status"})["status"]
        values = answer(handler, {"command": "controls"})["values"]
        faults = self._targets.send_errors()
        faults += self._targets.send(parameter_values(values, status, self._places))
        faults += self._targets.send(self._suggestions(handler), again=True)
        if now_ns >= self._running_due_ns:
            self._running_due_ns = now_ns + RUNNING_NS
            faults += self._targets.send(running_values(status, self._places), again=True)
        for fault in faults:
            self._faults.add(fault, now_ns)

    def _suggestions(self, handler: CommandHandler) -> dict[str, Arguments]:
        """The answer to suggest, once."""
        if not self._asked:
            return {}
        found = answer(handler, {"command": "suggestions"})
        if not found["done"]:
            return {}
        self._asked = False
        if found["error"]:
            return {f"{ROOT}/error": (found["error"],)}
        return {f"{ROOT}/suggestions": tuple(entry["text"] for entry in found["suggestions"])}
