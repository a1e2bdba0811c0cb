"""Which prompts the server works on and how its matte channels make up the component's four.

The server takes prompts without gaps, the component has four places that may be empty, and
while one prompt fades into another both are keyed, so the two are not the same.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

PLACES = 4
"""Prompts of the component, and matte channels of the server at most."""


@dataclass(frozen=True, kw_only=True)
class PromptText:
    """What stands in one prompt's fields, as typed; empty text keys nothing."""

    text: str = ""
    negative: str = ""

    def entry(self) -> dict[str, object]:
        """The prompt of a command; commas part the negatives."""
        negative = [part.strip() for part in self.negative.split(",") if part.strip()]
        return {"text": self.text.strip(), "negative": negative}

    @property
    def empty(self) -> bool:
        """Nothing to key."""
        return not self.text.strip()


Places = tuple[PromptText, PromptText, PromptText, PromptText]
NO_PROMPTS: Places = (PromptText(),) * PLACES  # type: ignore[assignment]

STEADY, LEAVING, COMING = "steady", "leaving", "coming"


@dataclass(frozen=True, kw_only=True)
class Part:
    """A server channel: its prompt, the place it is shown at, and how it fades."""

    prompt: PromptText
    place: int
    role: str = STEADY


class Mix:
    """The server's prompts of one moment, and the weights of their mattes.

    A fade begins when the first matte of these prompts is mixed, so that nothing fades into
    a prompt that is not there yet.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        *,
        fade_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.parts = tuple(parts)
        self._fade_s = fade_s
        self._clock = clock
        self._begun_s: float | None = None

    @property
    def fades(self) -> bool:
        """Whether any part is on its way in or out."""
        return any(part.role != STEADY for part in self.parts)

    @property
    def done(self) -> bool:
        """Whether the fade has begun and its time is over."""
        return self._begun_s is not None and self._share() >= 1.0

    def begin(self) -> None:
        """Starts the fade, once."""
        if self._begun_s is None:
            self._begun_s = self._clock()

    def weight(self, part: Part) -> float:
        """How much of a part shows now, 0 to 1."""
        if part.role == STEADY:
            return 1.0
        return self._share() if part.role == COMING else 1.0 - self._share()

    def _share(self) -> float:
        if self._begun_s is None:
            return 0.0
        if self._fade_s <= 0:
            return 1.0
        return min(1.0, (self._clock() - self._begun_s) / self._fade_s)

    @property
    def plain(self) -> bool:
        """Whether the server's channels are the places as they are."""
        return not self.fades and all(part.place == at for at, part in enumerate(self.parts))

    def confidence(self, values: Sequence[float]) -> tuple[float, ...]:
        """The confidence of each place: of its parts, weighted."""
        places = [0.0] * PLACES
        for part, value in zip(self.parts, values, strict=False):
            places[part.place] += self.weight(part) * value
        return tuple(places)

    def mixed(self, alpha: npt.NDArray[np.uint8], out: npt.NDArray[np.uint8]) -> None:
        """Writes the server's alpha [h, w, 1 or 4] into the places of out [h, w, 4]."""
        out[:] = 0
        for channel, part in enumerate(self.parts):
            weight = self.weight(part)
            if weight <= 0.0 or channel >= alpha.shape[2]:
                continue
            plane, place = alpha[..., channel], out[..., part.place]
            if weight < 1.0:
                # 16 bits hold 255 x 256; the two parts of a fade never add up to over 255
                plane = (plane.astype(np.uint16) * round(weight * 256) >> 8).astype(np.uint8)
            np.add(place, plane, out=place)


def steady(places: Places) -> list[Part]:
    """The parts of prompts that just stand there."""
    return [
        Part(prompt=prompt, place=place) for place, prompt in enumerate(places) if not prompt.empty
    ]


def crossfade(old: Places, new: Places) -> list[Part] | None:
    """The parts while old prompts fade into new ones; None where the server's four channels
    cannot hold both."""
    parts = []
    for place, (before, after) in enumerate(zip(old, new, strict=True)):
        if before == after:
            parts += [] if after.empty else [Part(prompt=after, place=place)]
            continue
        for prompt, role in ((before, LEAVING), (after, COMING)):
            if not prompt.empty:
                parts.append(Part(prompt=prompt, place=place, role=role))
    return parts if len(parts) <= PLACES else None


def fade_steps(old: Places, new: Places, fade_s: float) -> list[Mix]:
    """What to show one after the other to come from old to new prompts.

    A crossfade where the channels allow it; else out with the old over half the time, and in
    with the new. The last one stays.
    """
    last = Mix(steady(new))
    if fade_s <= 0 or old == new:
        return [last]
    parts = crossfade(old, new)
    if parts is not None:
        return [Mix(parts, fade_s=fade_s), last]
    changed = [place for place in range(PLACES) if old[place] != new[place]]

    def faded(places: Places, role: str) -> Mix:
        return Mix(
            [
                Part(prompt=p.prompt, place=p.place, role=role if p.place in changed else STEADY)
                for p in steady(places)
            ],
            fade_s=fade_s / 2,
        )

    return [faded(old, LEAVING), faded(new, COMING), last]


class Mixes:
    """The Mix of each version of the server's prompts: told by the thread that talks to the
    server, asked by the one that receives mattes."""

    def __init__(self) -> None:
        self._by_version: dict[int, Mix] = {}
        self._lock = threading.Lock()

    def tell(self, version: int, mix: Mix) -> None:
        """What mattes of this version show; older versions but the last are forgotten."""
        with self._lock:
            kept = sorted(self._by_version)[-3:]
            self._by_version = {v: self._by_version[v] for v in kept} | {version: mix}

    def forget(self) -> None:
        """Another server counts anew."""
        with self._lock:
            self._by_version = {}

    def of(self, version: int) -> Mix | None:
        """None for a version that somebody else made, or that is not told yet."""
        return self._by_version.get(version)
