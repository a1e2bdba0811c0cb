"""Blocks of CUDA memory; here of ordinary memory. CUDAMemory Class, CUDAMemoryShape Class."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from .errors import refuse
from .guard import Guarded


class CUDAMemoryShape(Guarded):
    """Shape of a block. uint8 of four components is BGRA, all else RGBA."""

    def __init__(self) -> None:
        self._fields: dict[str, Any] = {
            "width": 0, "height": 0, "numComps": 0, "dataType": np.uint8,
        }  # fmt: skip

    def _bytes(self) -> int:
        items = self.width * self.height * self.numComps
        return int(items * np.dtype(self.dataType).itemsize)


def _field(name: str, kind: type | None) -> property:
    def put(shape: CUDAMemoryShape, value: Any) -> None:
        if kind is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            refuse(f"CUDAMemoryShape.{name}: expected {kind.__name__}; got {value!r}")
        if kind is None:
            np.dtype(value)
        shape._fields[name] = value

    return property(lambda shape: shape._fields[name], put)


for _name in ("width", "height", "numComps"):
    setattr(CUDAMemoryShape, _name, _field(_name, int))
CUDAMemoryShape.dataType = _field("dataType", None)


class CUDAMemory(Guarded):
    """A copy of a texture; freed when this object goes."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = np.ascontiguousarray(array)
        shape = CUDAMemoryShape()
        shape.height, shape.width, shape.numComps = (int(side) for side in array.shape)
        shape.dataType = array.dtype.type
        self._shape = shape

    ptr = property(lambda memory: memory._array.ctypes.data)
    size = property(lambda memory: memory._array.nbytes)
    shape = property(lambda memory: memory._shape)

    def __del__(self) -> None:
        # Whoever still uses the pointer sees nonsense.
        array = object.__getattribute__(self, "_array")
        array.fill(0)


def bgra(array: np.ndarray) -> np.ndarray:
    """Red and blue exchanged in uint8 of four components; everything else as it is."""
    if array.dtype == np.uint8 and array.shape[2] == 4:
        return array[..., [2, 1, 0, 3]]
    return array


def array_at(address: int, size: int, shape: CUDAMemoryShape) -> np.ndarray:
    """A copy of what lies at an address, [h, w, c]; refuses what does not fit together."""
    if not isinstance(shape, CUDAMemoryShape):
        refuse(f"copyCUDAMemory: expected a CUDAMemoryShape; got {shape!r}")
    if size != shape._bytes() or size <= 0:
        refuse(f"copyCUDAMemory: size {size} does not fit the shape of {shape._bytes()} bytes")
    raw = (ctypes.c_uint8 * size).from_address(address)
    array = np.frombuffer(raw, np.dtype(shape.dataType)).copy()
    return bgra(array.reshape(shape.height, shape.width, shape.numComps))
