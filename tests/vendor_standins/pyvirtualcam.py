"""Stands in for pyvirtualcam 0.15.0: Camera, its signature and its checks are its own."""

from enum import Enum

import numpy as np
from vendor_record import picture_fault, record


class PixelFormat(Enum):
    RGB = "raw "
    BGR = "24BG"
    RGBA = "ABGR"


class Camera:
    def __init__(
        self, width: int, height: int, fps: float, *, fmt: PixelFormat = PixelFormat.RGB,
        device: str | None = None, backend: str | None = None, print_fps: bool = False,
        **kw: object,
    ) -> None:  # fmt: skip
        assert not kw
        self._shape = (height, width, {PixelFormat.RGBA: 4}.get(fmt, 3))
        record("Camera", width=width, height=height, fps=fps, fmt=fmt.name, device=device)

    def send(self, frame: np.ndarray) -> None:
        if frame.dtype != np.uint8:
            raise TypeError(f"unexpected frame dtype: {frame.dtype} != uint8")
        if frame.shape != self._shape:
            raise ValueError(f"unexpected frame shape: {frame.shape} != {self._shape}")
        picture_fault()
        frame = np.asarray(frame.reshape(-1), order="C")
        record("send", pixels=frame.tobytes().hex())

    def close(self) -> None:
        record("close")
