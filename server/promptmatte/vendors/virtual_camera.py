"""A virtual camera through pyvirtualcam: the cut-out over green, as cameras have no alpha."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

GREEN = (0x00, 0xB1, 0x40)
"""#00b140, chroma key green."""

NOMINAL_FPS = 30.0
"""What programs are told; pictures go out as mattes come."""


class VirtualCamera:
    """The camera DEVICE, or the first that there is: OBS's, Unity Capture's, v4l2loopback's."""

    def __init__(self, library: Any, device: str | None, size_hw: tuple[int, int]) -> None:
        """library: pyvirtualcam. An odd height or width loses a row or column, as the YUV of
        cameras needs even ones."""
        self._height, self._width = (side // 2 * 2 for side in size_hw)
        self._green = np.full((self._height, self._width, 3), GREEN, np.uint8)
        self._camera = library.Camera(
            self._width, self._height, NOMINAL_FPS, fmt=library.PixelFormat.RGB, device=device
        )

    def send(self, rgba: npt.NDArray[np.uint8]) -> bool:
        """Shows the picture over green."""
        rgba = rgba[: self._height, : self._width]
        alpha = rgba[..., 3] * np.float32(1 / 255)
        rgb = cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB)
        self._camera.send(cv2.blendLinear(rgb, self._green, alpha, 1 - alpha))
        return True

    def close(self) -> None:
        """Lets go of the camera."""
        self._camera.close()
