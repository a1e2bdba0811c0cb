"""Cameras of this machine, through OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.clock import Clock
from promptmatte.errors import ConfigError, SourceError
from promptmatte.sources.latest_reader import (
    FIRST_PICTURE_S,
    SILENCE_S,
    LatestReader,
    LatestSource,
)


class CaptureDevice:
    """A cv2.VideoCapture as a device that a `LatestReader` reads."""

    def __init__(self, capture: cv2.VideoCapture) -> None:
        self._capture = capture

    def grab(self) -> tuple[npt.NDArray[np.uint8], int | None] | None:
        """The next rgb8 picture; None when the driver has none."""
        ok, bgr = self._capture.read()
        if not ok or bgr is None:
            return None
        code = cv2.COLOR_GRAY2RGB if bgr.ndim == 2 else cv2.COLOR_BGR2RGB
        return np.asarray(cv2.cvtColor(bgr, code), np.uint8), None

    def release(self) -> None:
        """Frees the camera."""
        self._capture.release()


class CameraSource(LatestSource):
    """The newest picture of a camera: `device` is its number or its path (/dev/video0)."""

    def __init__(
        self,
        device: str,
        *,
        clock: Clock,
        first_picture_s: float = FIRST_PICTURE_S,
        silence_s: float = SILENCE_S,
    ) -> None:
        if not device or device.startswith("-"):
            raise ConfigError(
                "expected camera:NUMBER (camera:0 is the first) or camera:/dev/NAME; "
                f"got camera:{device}"
            )
        name = f"camera:{device}"
        capture = cv2.VideoCapture(int(device) if device.isdecimal() else device)
        if not capture.isOpened():
            capture.release()
            raise SourceError(
                f"cannot open {name}: check that it is connected, that this program may "
                "use it (privacy settings) and that no other program does"
            )
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        reader = LatestReader(
            CaptureDevice(capture),
            name=name,
            clock=clock,
            first_picture_s=first_picture_s,
            silence_s=silence_s,
        )
        super().__init__(reader, name=name)
