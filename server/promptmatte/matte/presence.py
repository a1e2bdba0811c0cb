"""Whether each thing is in the picture: a confidence through time, without flicker or pops."""

from __future__ import annotations

from dataclasses import dataclass

from promptmatte.controls import Controls, MatteControls

FADE_S = 0.15
"""How long a matte takes to come or to go; the time of a short dissolve."""

LEAST_CONFIDENCE = 0.01
"""However wide the hysteresis, a confidence under this is an absent thing."""


class Presence:
    """How much of each prompt's matte is shown, from 0 to 1; used from one thread.

    A thing appears when its confidence reaches the floor, and counts as found until it
    falls by the hysteresis below that. Lost, it stays for `hold` and fades over the last
    part of it. reset() belongs to a new shot and to new prompts.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets; what is found in the next call is shown in full at once."""
        self._things: list[_Thing] = []

    @property
    def found(self) -> tuple[bool, ...]:
        """Whether the last call's confidences count, prompt by prompt: the mask of one that
        does not is worth nothing, and what is still shown of it is the mask from before."""
        return tuple(thing.found for thing in self._things)

    def gains(
        self, confidence: tuple[float, ...], controls: Controls, time_ns: int
    ) -> tuple[float, ...]:
        """The gain 0..1 for each prompt's mask in the frame captured at time_ns.

        confidence: 0..1, the newest of each of up to four prompts. Another number of
        prompts than in the last call is a reset.
        """
        if len(confidence) != len(self._things):
            self._things = [
                _Thing.first_seen(value, own, time_ns)
                for value, own in zip(confidence, controls.channels, strict=False)
            ]
        else:
            for thing, value, own in zip(self._things, confidence, controls.channels, strict=False):
                thing.follow(value, own, time_ns)
        return tuple(thing.gain for thing in self._things)


@dataclass
class _Thing:
    """One prompt's state: when it was last found, and the gain at the last frame."""

    found: bool
    gain: float
    found_ns: int
    time_ns: int

    @classmethod
    def first_seen(cls, confidence: float, controls: MatteControls, time_ns: int) -> _Thing:
        found = _is_found(confidence, controls, was_found=False)
        return cls(found=found, gain=float(found), found_ns=time_ns, time_ns=time_ns)

    def follow(self, confidence: float, controls: MatteControls, time_ns: int) -> None:
        passed_s = max(0.0, (time_ns - self.time_ns) / 1e9)
        self.time_ns = time_ns
        self.found = _is_found(confidence, controls, was_found=self.found)
        if self.found:
            self.found_ns = time_ns
            self.gain = min(1.0, self.gain + passed_s / FADE_S)
        else:
            left_s = controls.hold - (time_ns - self.found_ns) / 1e9
            fade_s = min(FADE_S, controls.hold)
            self.gain = min(self.gain, max(0.0, left_s / fade_s)) if left_s > 0 else 0.0


def _is_found(confidence: float, controls: MatteControls, *, was_found: bool) -> bool:
    floor = controls.confidence_floor
    if was_found:
        floor = max(floor - controls.hysteresis, min(floor, LEAST_CONFIDENCE))
    return confidence >= floor
