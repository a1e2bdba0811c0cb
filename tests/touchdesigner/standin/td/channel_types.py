# ruff: noqa: N802, N803
"""The CHOPs that a network here can have, by their pages."""

from __future__ import annotations

from typing import Any

import numpy as np

from .channel import CHOP, Channel, is_cooking
from .component import append_page, destroy_custom_pars, sort_pages
from .dat_code import call
from .errors import refuse
from .page import Page
from .texture_types import CALLBACKS


class InCHOP(CHOP):
    """In CHOP: what is wired to the component."""

    _is_in = True


class OutCHOP(CHOP):
    """Out CHOP: what the component gives."""

    _is_out = True


class ConstantCHOP(CHOP):
    """Constant CHOP: the first name and value only."""

    def _compute(self) -> None:
        name = str(self.par.const0name)
        value = float(self.par.const0value)
        self._channels = {name: np.array([value], np.float32)} if name else {}


class ScriptCHOP(CHOP):
    """Script CHOP: what its callbacks make."""

    _docks_callbacks = CALLBACKS

    def _compute(self) -> None:
        call(self.par.callbacks.eval(), "onCook", self)

    def _pulsed(self, slot: Any) -> None:
        if slot.name == "setuppars":
            call(self.par.callbacks.eval(), "onSetupParameters", self)
        super()._pulsed(slot)

    def _check_place(self, what: str) -> None:
        outside = self.par["modoutsidecook"]
        if not is_cooking(self) and not (outside is not None and outside):
            refuse(f"{self._path()}: {what} outside its own onCook (scriptCHOP Class)")

    def clear(self) -> None:
        """Removes all channels; length and rate stay."""
        self._check_place("clear()")
        self._channels = {}

    def appendChan(self, name: str | None = None) -> Channel:
        """Adds a channel of zeros."""
        self._check_place("appendChan()")
        chosen = name or f"chan{len(self._channels) + 1}"
        if chosen in self._channels:
            refuse(f"{self._path()}: there is a channel {chosen} already")
        self._channels[chosen] = np.zeros(self._length, np.float32)
        return Channel(self, chosen)

    def copy(self, chop: CHOP) -> None:
        """Takes another CHOP's channels."""
        self._check_place("copy()")
        self._channels = {name: values.copy() for name, values in chop._see().items()}
        self._length, self._sample_rate = chop._length, chop._sample_rate

    def copyNumpyArray(self, numpyArray: np.ndarray, baseName: str = "chan") -> None:
        """Takes float32 [channels, samples]."""
        self._check_place("copyNumpyArray()")
        if numpyArray.ndim != 2 or numpyArray.dtype != np.float32:
            refuse(f"{self._path()}: expected float32 (channels, samples); got {numpyArray.dtype}")
        self._length = numpyArray.shape[1]
        self._channels = {f"{baseName}{i + 1}": row.copy() for i, row in enumerate(numpyArray)}

    def appendCustomPage(self, name: str) -> Page:
        """Adds a page of custom parameters."""
        return append_page(self, name)

    def destroyCustomPars(self) -> int:
        """Removes all custom parameters; how many."""
        return destroy_custom_pars(self)

    def sortCustomPages(self, *pages: str) -> None:
        """Brings the pages into this order."""
        sort_pages(self, pages)


CHOP_CLASSES: dict[str, type[CHOP]] = {
    "scriptCHOP": ScriptCHOP,
    "nullCHOP": CHOP,
    "inCHOP": InCHOP,
    "outCHOP": OutCHOP,
    "constantCHOP": ConstantCHOP,
}
