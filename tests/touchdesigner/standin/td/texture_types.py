# ruff: noqa: N802, N803
"""The TOPs that a network here can have, by their pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .component import append_page, destroy_custom_pars, sort_pages
from .cuda import CUDAMemoryShape, array_at
from .dat_code import call
from .errors import refuse
from .page import Page
from .pixel_formats import SCALES, format_of, to_rgba
from .resampling import linear
from .session import current
from .texture import TOP

CALLBACKS = """# me - this DAT
# scriptOp - the OP which is cooking

def onSetupParameters(scriptOp):
\treturn

def onPulse(par):
\treturn

def onCook(scriptOp):
\treturn
"""
CHANNELS = {"red": 0, "green": 1, "blue": 2, "alpha": 3}


class PassTOP(TOP):
    """In, Out, Null and Resolution TOP: the input, in the resolution of the common page."""

    def _compute(self) -> None:
        self._set(self._input(0), self._input_format(), exact=True)


class InTOP(PassTOP):
    """In TOP: what is wired to the component."""

    _is_in = True


class OutTOP(PassTOP):
    """Out TOP: what the component gives."""

    _is_out = True


class SelectTOP(TOP):
    """Select TOP: another TOP's picture."""

    _max_inputs = 0

    def _sources(self) -> list[Any]:
        return [operator for operator in self.par.top.evalOPs() if operator.isTOP]

    def _compute(self) -> None:
        sources = self._sources()
        if not sources:
            self._set(None)
            return
        self._set(sources[0]._picture, sources[0]._format, exact=True)


class ConstantTOP(TOP):
    """Constant TOP: one colour. A Bench may feed it pictures instead."""

    _fed: Callable[[], np.ndarray] | None = None

    def _compute(self) -> None:
        if self._fed is not None:
            array = self._fed()
            self._set(to_rgba(array), format_of(array), exact=True)
            return
        par = self.par
        colour = [float(v) for v in (par.colorr, par.colorg, par.colorb, par.alpha)]
        height, width = self._own_size()
        self._set(np.full((height, width, 4), colour, np.float32))

    def _reasons(self) -> bool:
        fed = self._fed is not None and self._cook_frame != current().frame
        return fed or super()._reasons()


class RectangleTOP(TOP):
    """Rectangle TOP: a rectangle of fill colour on background, sizes in fractions."""

    def _compute(self) -> None:
        par = self.par
        height, width = self._own_size()
        fill = [float(v) for v in (par.fillcolorr, par.fillcolorg, par.fillcolorb, par.fillalpha)]
        back = [float(v) for v in (par.bgcolorr, par.bgcolorg, par.bgcolorb, par.bgalpha)]
        picture = np.full((height, width, 4), back, np.float32)
        x = np.abs((np.arange(width) + 0.5) / width - 0.5 - float(par.centerx))
        y = np.abs((np.arange(height) + 0.5) / height - 0.5 - float(par.centery))
        inside = (y[:, None] <= float(par.sizey) / 2) & (x[None, :] <= float(par.sizex) / 2)
        picture[inside] = fill
        self._set(picture)


class ReorderTOP(TOP):
    """Reorder TOP: each channel from a chosen channel of a chosen input.

    Its pixel format is the input's (Common Page, Pixel Format): of a Mono input it is Mono too,
    and has no alpha, unless another format is chosen.
    """

    _max_inputs = 4

    def _compute(self) -> None:
        first = self._input(0)
        if first is None:
            self._set(None)
            return
        height, width = first.shape[:2]
        picture = np.empty((height, width, 4), np.float32)
        for channel, index in CHANNELS.items():
            chosen = self.par[f"output{channel}chan"].eval()
            if chosen in ("one", "zero"):
                picture[..., index] = float(chosen == "one")
                continue
            place = int(self.par[f"output{channel}"].eval().removeprefix("input")) - 1
            source = self._input(place)
            if source is None:
                refuse(f"{self._path()}: output{channel} takes input{place + 1}: not wired")
            picture[..., index] = linear(source, height, width)[..., CHANNELS[chosen]]
        self._set(picture, self._input_format())


class MultiplyTOP(TOP):
    """Multiply TOP: the product; the overlay fitted to the fixed layer.

    Which Pre-Fit Overlay is the default is not documented, so with sizes that differ it has
    to be set. Only Fill is here.
    """

    _max_inputs = 2

    def _compute(self) -> None:
        first, second = self._input(0), self._input(1)
        if first is None or second is None:
            self._set(first if first is not None else second, self._input_format(), exact=True)
            return
        if first.shape != second.shape:
            prefit = self._slots["prefit"]
            if not prefit.set_by_script or prefit.val != "fill":
                refuse(
                    f"{self._path()}: inputs of {first.shape[1]}x{first.shape[0]} and "
                    f"{second.shape[1]}x{second.shape[0]}: set prefit to 'fill' (its default is "
                    "not documented, and the stand-in has no other)"
                )
            if self.par.size.eval() == "input1":
                second = linear(second, *first.shape[:2])
            else:
                first = linear(first, *second.shape[:2])
        self._set(first * second, self._input_format())


class SwitchTOP(TOP):
    """Switch TOP: one of its inputs, by index."""

    _max_inputs = 64

    def _compute(self) -> None:
        slots = sorted(self._wires)
        if not slots:
            self._set(None)
            return
        index = float(self.par.index)
        chosen: Any = self._wires[slots[min(max(int(index), 0), len(slots) - 1)]]
        picture = chosen._picture
        if self.par.blend and picture is not None and index % 1 and int(index) + 1 < len(slots):
            following: Any = self._wires[slots[int(index) + 1]]
            part = np.float32(index % 1)
            other = linear(following._picture, *picture.shape[:2])
            picture = picture * (1 - part) + other * part
        self._set(picture, chosen._format, exact=picture is chosen._picture)


class ScriptTOP(TOP):
    """Script TOP: what its callbacks upload."""

    _docks_callbacks = CALLBACKS

    def _compute(self) -> None:
        dat: Any = self.par.callbacks.eval()
        call(dat, "onCook", self)

    def _pulsed(self, slot: Any) -> None:
        dat: Any = self.par.callbacks.eval()
        if slot.name == "setuppars":
            call(dat, "onSetupParameters", self)
        elif slot.custom:
            call(dat, "onPulse", self.par[slot.name])
        super()._pulsed(slot)

    def _check_place(self, method: str) -> None:
        cooking = current().cooking
        outside = self.par["modoutsidecook"]
        if (not cooking or cooking[-1] is not self) and not (outside is not None and outside):
            refuse(
                f"{self._path()}.{method} outside its own onCook (scriptTOP Class; builds of 2025 "
                "have Modify Outside of Cook)"
            )

    def copyNumpyArray(self, numpyArray: np.ndarray) -> None:
        """Uploads [h, w, 1 to 4] of uint8, uint16 or float32."""
        with current().inside():
            self._check_place("copyNumpyArray")
            where = f"{self._path()}.copyNumpyArray"
            if not isinstance(numpyArray, np.ndarray):
                refuse(f"{where}: expected a numpy array; got {type(numpyArray).__name__}")
            if numpyArray.ndim != 3 or not 1 <= numpyArray.shape[2] <= 4:
                refuse(f"{where}: expected (h, w, 1 to 4); got {numpyArray.shape}")
            if numpyArray.dtype not in SCALES or not numpyArray.dtype.isnative:
                refuse(f"{where}: expected uint8, uint16 or float32; got {numpyArray.dtype}")
            if 0 in numpyArray.shape:
                refuse(f"{where}: expected pixels; got {numpyArray.shape}")
            if not numpyArray.flags.c_contiguous:
                refuse(f"{where}: expected a C-contiguous array; strides {numpyArray.strides}")
            self._upload(numpyArray)

    def copyCUDAMemory(
        self, address: int, size: int, shape: CUDAMemoryShape, stream: int | None = None
    ) -> None:
        """Uploads a block of CUDA memory: uint8 as BGRA, all else as RGBA."""
        with current().inside():
            self._check_place("copyCUDAMemory")
            if not current().cuda:
                refuse(f"{self._path()}.copyCUDAMemory(): no CUDA here")
            self._upload(array_at(address, size, shape))

    def _upload(self, array: np.ndarray) -> None:
        picture = to_rgba(array)
        picture.flags.writeable = False
        self._picture, self._format = picture, format_of(array)
        if not current().cooking or current().cooking[-1] is not self:
            self._version += 1

    def appendCustomPage(self, name: str) -> Page:
        """Adds a page of custom parameters."""
        return append_page(self, name)

    def destroyCustomPars(self) -> int:
        """Removes all custom parameters; how many."""
        return destroy_custom_pars(self)

    def sortCustomPages(self, *pages: str) -> None:
        """Brings the pages into this order."""
        sort_pages(self, pages)


class SharedmemoutTOP(TOP):
    """Shared Mem Out TOP: writes to a block; here within the process."""

    def _compute(self) -> None:
        self._set(self._input(0), self._input_format(), exact=True)
        if self.par.active and self._picture is not None:
            current().shared_memory[str(self.par.name)] = self._picture

    _may_cook_alone = True

    def _always_cooks(self) -> bool:
        return bool(self.par.active)


class SharedmeminTOP(TOP):
    """Shared Mem In TOP: reads from a block; here within the process."""

    _max_inputs = 0
    _time_dependent = True

    def _compute(self) -> None:
        self._set(current().shared_memory.get(str(self.par.name)))


TOP_CLASSES: dict[str, type[TOP]] = {
    "inTOP": InTOP,
    "outTOP": OutTOP,
    "nullTOP": PassTOP,
    "resolutionTOP": PassTOP,
    "scriptTOP": ScriptTOP,
    "reorderTOP": ReorderTOP,
    "multiplyTOP": MultiplyTOP,
    "switchTOP": SwitchTOP,
    "selectTOP": SelectTOP,
    "constantTOP": ConstantTOP,
    "rectangleTOP": RectangleTOP,
    "sharedmemoutTOP": SharedmemoutTOP,
    "sharedmeminTOP": SharedmeminTOP,
}
