# ruff: noqa: N802, N803, N815
"""CHOPs and their channels. CHOP Class, Channel Class."""

from __future__ import annotations

from typing import Any

import numpy as np

from .casting import Castable
from .errors import refuse
from .operators import OP
from .pattern import matches
from .session import current


class Channel(Castable):
    """One channel; a number in expressions."""

    def __init__(self, owner: CHOP, name: str) -> None:
        self._owner, self._name = owner, name

    def _values(self) -> np.ndarray:
        values = self._owner._channels.get(self._name)
        if values is None:
            refuse(f"{self._owner._path()}: channel {self._name} exists no longer")
        return values

    def _cast(self) -> float:
        return float(self._values()[0])

    name = property(lambda channel: channel._name)
    owner = property(lambda channel: channel._owner)
    valid = property(lambda channel: channel._name in channel._owner._channels)
    index = property(lambda channel: list(channel._owner._channels).index(channel._name))

    def __getitem__(self, index: int) -> float:
        return float(self._values()[index])

    def __setitem__(self, index: int, value: float) -> None:
        self._owner._check_place("a channel")
        self._values()[index] = value

    def __len__(self) -> int:
        return len(self._values())

    @property
    def vals(self) -> list[float]:
        """All samples."""
        return [float(value) for value in self._values()]

    @vals.setter
    def vals(self, values: list[float]) -> None:
        self._owner._check_place("vals")
        if len(values) != len(self._values()):
            refuse(
                f"channel {self._name}: expected {len(self._values())} values; got {len(values)}"
            )
        self._values()[:] = values

    def eval(self, index: int = 0) -> float:
        """The sample at an index."""
        return float(self._values()[index])

    def numpyArray(self) -> np.ndarray:
        """The samples as an array."""
        return self._values().copy()


class CHOP(OP):
    """An operator with channels of the same length."""

    family = "CHOP"

    def __init__(self, name: str, parent: Any) -> None:
        super().__init__(name, parent)
        self._channels: dict[str, np.ndarray] = {}
        self._length, self._sample_rate = 1, 60.0

    def _compute(self) -> None:
        source: Any = self._wires.get(0)
        if source is None:
            self._channels = {}
            return
        self._channels = {name: values.copy() for name, values in source._channels.items()}
        self._length, self._sample_rate = source._length, source._sample_rate

    def _check_place(self, what: str) -> None:
        refuse(f"{self._path()}: {what} can be changed in a Script CHOP only (CHOP Class)")

    def _see(self) -> dict[str, np.ndarray]:
        self._read()
        return self._channels

    numChans = property(lambda chop: len(chop._see()))

    @property
    def numSamples(self) -> int:
        """Samples of each channel."""
        self._read()
        return self._length

    @numSamples.setter
    def numSamples(self, count: int) -> None:
        self._check_place("numSamples")
        if not isinstance(count, int) or count < 1:
            refuse(f"{self._path()}.numSamples: expected 1 or more; got {count!r}")
        self._length = count
        for name, values in self._channels.items():
            self._channels[name] = np.resize(values, count)

    @property
    def rate(self) -> float:
        """Samples a second."""
        self._read()
        return self._sample_rate

    @rate.setter
    def rate(self, rate: float) -> None:
        self._check_place("rate")
        self._sample_rate = float(rate)

    def __getitem__(self, name: str | int) -> Channel:
        names = list(self._see())
        if isinstance(name, int):
            if not -len(names) <= name < len(names):
                refuse(f"{self._path()}: channel {name} of {len(names)}")
            return Channel(self, names[name])
        if name not in names:
            refuse(f"{self._path()} has no channel {name!r}; it has {names}")
        return Channel(self, name)

    def chan(self, *patterns: str | int, caseSensitive: bool = True) -> Channel | None:
        """The first channel that matches, or None."""
        found = self.chans(*patterns, caseSensitive=caseSensitive)
        return found[0] if found else None

    def chans(self, *patterns: str | int, caseSensitive: bool = True) -> list[Channel]:
        """The channels that match; all without patterns."""
        names = list(self._see())
        if not patterns:
            return [Channel(self, name) for name in names]
        found = [
            name
            for pattern in patterns
            for index, name in enumerate(names)
            if index == pattern or (isinstance(pattern, str) and matches(name, pattern))
        ]
        return [Channel(self, name) for name in dict.fromkeys(found)]

    def numpyArray(self) -> np.ndarray:
        """float32 [channels, samples]."""
        return np.array(list(self._see().values()), np.float32).reshape(-1, self._length)


def is_cooking(operator: OP) -> bool:
    """Whether it is this operator's own cook."""
    cooking = current().cooking
    return bool(cooking) and cooking[-1] is operator
