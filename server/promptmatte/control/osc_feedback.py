"""What goes out over OSC: values that changed, how the mattes go, and what was refused."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from promptmatte.control.osc_map import ROOT
from promptmatte.control.osc_packet import Argument, encoded
from promptmatte.control.osc_places import Places
from promptmatte.errors import CommandError
from promptmatte.frame import MAX_CHANNELS

Arguments = tuple[Argument, ...]
Address = tuple[Any, ...]
"""Of a socket: host and port first."""

MOST_SUBSCRIBERS = 16
SUBSCRIBED_NS = 60_000_000_000

OUTPUTS = {
    "N/confidence": "how sure it is of each prompt, 0 to 1; 0 without one",
    "fps": "mattes a second",
    "latency_ms": "ms from a frame to its matte, the median",
    "age_ms": "ms since the keyframe of the last matte",
    "state": "text: running, loading 40%, source lost ...",
    "notes": "text: what the model does not know of the prompts",
    "suggestions": "texts: the answer to suggest, the surest first",
    "error": "text: why a message of this receiver was refused",
}
"""Addresses that are only sent, besides the parameters themselves."""


@dataclass(eq=False, kw_only=True)
class Target:
    """Who gets feedback, through which socket; known: what it was sent last, by address."""

    out: socket.socket
    address: Address
    until_ns: int | None = None
    known: dict[str, Arguments] = field(default_factory=dict)


class Targets:
    """Fixed receivers and a bounded number of subscribers, who leave or expire.

    out: the socket through which subscribers are answered; it stays the caller's.
    """

    def __init__(self, fixed: Sequence[Target], *, out: socket.socket) -> None:
        self._fixed = tuple(fixed)
        self._out = out
        self._subscribers: dict[Address, Target] = {}
        self._errors: dict[str, str] = {}

    def subscribe(self, sender: Address, port: int | None, now_ns: int) -> None:
        """Everything to the sender for a minute from now; CommandError for too many."""
        address = self._reply_address(sender, port)
        self.expire(now_ns)
        if address not in self._subscribers and len(self._subscribers) == MOST_SUBSCRIBERS:
            raise CommandError(
                f"expected at most {MOST_SUBSCRIBERS} subscribers of OSC feedback; got one more"
            )
        until_ns = now_ns + SUBSCRIBED_NS
        self._subscribers[address] = Target(out=self._out, address=address, until_ns=until_ns)

    def unsubscribe(self, sender: Address, port: int | None) -> None:
        """Nothing more to the sender; safe for one that never subscribed."""
        self._subscribers.pop(self._reply_address(sender, port), None)

    def expire(self, now_ns: int) -> None:
        """Forgets subscribers that have not asked again for a minute."""
        for address, target in list(self._subscribers.items()):
            if target.until_ns is not None and target.until_ns <= now_ns:
                del self._subscribers[address]

    def refresh(self) -> None:
        """Makes everything new to everyone."""
        for target in self.all:
            target.known.clear()

    @property
    def all(self) -> tuple[Target, ...]:
        """Everyone who gets feedback now."""
        return (*self._fixed, *self._subscribers.values())

    def refused(self, sender: Address, text: str) -> None:
        """Keeps an error for whoever at the sender's host gets feedback, until send_errors."""
        if any(target.address[0] == sender[0] for target in self.all):
            self._errors[sender[0]] = text

    def send_errors(self) -> list[str]:
        """Sends the last error of each host; returns why something could not be sent."""
        errors, self._errors = self._errors, {}
        return [
            fault
            for host, text in errors.items()
            for target in self.all
            if target.address[0] == host
            for fault in _sent(target, {f"{ROOT}/error": (text,)})
        ]

    def send(self, values: Mapping[str, Arguments], *, again: bool = False) -> list[str]:
        """Sends everyone the values that are new to them, or all `again`; returns why something
        could not be sent."""
        faults = []
        for target in self.all:
            new = {a: v for a, v in values.items() if again or target.known.get(a) != v}
            target.known.update(new)
            faults += _sent(target, new)
        return faults

    @staticmethod
    def _reply_address(sender: Address, port: int | None) -> Address:
        return (sender[0], sender[1] if port is None else port, *sender[2:])


def parameter_values(
    values: Mapping[str, Any], status: Mapping[str, Any], places: Places
) -> dict[str, Arguments]:
    """Every parameter by its address: values of the command `controls`, the server's status."""
    found: dict[str, Arguments] = {}
    for index, (prompt, negative) in enumerate(places.shown(status["prompts"])):
        own = {"prompt": prompt, "negative": negative, **values["channels"][index]}
        found |= {f"{ROOT}/{index + 1}/{name}": (value,) for name, value in own.items()}
    shared = {**values["stream"], "model": status["model"], "notes": "; ".join(status["notes"])}
    return found | {f"{ROOT}/{name}": (value,) for name, value in shared.items()}


def running_values(status: Mapping[str, Any], places: Places) -> dict[str, Arguments]:
    """How the mattes go, by address."""
    used = [bool(prompt) for prompt, _ in places.shown(status["prompts"])]
    sure = [entry["confidence"] for entry in status["prompts"]]
    sure += [None] * (MAX_CHANNELS - len(sure))
    found: dict[str, Arguments] = {
        f"{ROOT}/{index + 1}/confidence": (float(sure[index] or 0.0) if used[index] else 0.0,)
        for index in range(MAX_CHANNELS)
    }
    return found | {
        f"{ROOT}/fps": (float(status["matte_fps"]),),
        f"{ROOT}/latency_ms": (float(status["latency_ms"]["p50"] or 0.0),),
        f"{ROOT}/age_ms": (float(status["age_ms"] or 0.0),),
        f"{ROOT}/state": (str(status["state"]),),
    }


def _sent(target: Target, values: Mapping[str, Arguments]) -> list[str]:
    """Sends values; one line if the network refuses, as it does for a host that is away."""
    try:
        for address, arguments in values.items():
            target.out.sendto(encoded(address, *arguments), target.address)
    except OSError as error:
        where = f"{target.address[0]}:{target.address[1]}"
        return [f"OSC feedback to {where} cannot be sent: {error.strerror or error}"]
    return []
