"""From depth to points: the pinhole camera, without lens distortion."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from promptmatte.errors import ConfigError, shown

Floats = npt.NDArray[np.float32]

AXES = {"opencv": (1.0, 1.0, 1.0), "opengl": (1.0, -1.0, -1.0)}
"""Signs of x, y and z. opencv: x right, y down, z away from the camera, as RealSense, ZED and OAK
give it; opengl: x right, y up, z towards the camera, as TouchDesigner has it."""


@dataclass(frozen=True, kw_only=True)
class Intrinsics:
    """Focal lengths and principal point of a depth image, in its pixels; the centre of the first
    pixel is 0, 0."""

    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        values = (self.fx, self.fy, self.cx, self.cy)
        if not all(map(math.isfinite, values)) or min(self.fx, self.fy) <= 0:
            raise ConfigError(
                f"expected fx,fy,cx,cy as finite numbers, fx and fy above 0; got {values}"
            )

    @classmethod
    def parsed(cls, text: str) -> Intrinsics:
        """The intrinsics in 525,525,319.5,239.5; ConfigError."""
        try:
            fx, fy, cx, cy = (float(part) for part in text.split(","))
        except ValueError as error:
            raise ConfigError(
                f"expected --intrinsics fx,fy,cx,cy in pixels of the depth image; got {shown(text)}"
            ) from error
        return cls(fx=fx, fy=fy, cx=cx, cy=cy)

    @classmethod
    def of_fov(cls, fov_deg: float, size_hw: tuple[int, int]) -> Intrinsics:
        """Square pixels about the picture's centre, this many degrees from its left edge to its
        right one; ConfigError unless these are between 0 and 180."""
        if not 0 < fov_deg < 180:
            raise ConfigError(f"expected --fov between 0 and 180 degrees; got {fov_deg:g}")
        height, width = size_hw
        focal = width / 2 / math.tan(math.radians(fov_deg) / 2)
        return cls(fx=focal, fy=focal, cx=(width - 1) / 2, cy=(height - 1) / 2)


@dataclass(frozen=True, kw_only=True)
class DepthCamera:
    """How a depth image becomes points.

    lens: intrinsics, or the horizontal field of view in degrees. axes: of AXES. unit_m: metres
    a unit of depth; None: 0.001 for whole numbers, 1 for floats.
    """

    lens: Intrinsics | float
    axes: str = "opencv"
    unit_m: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.lens, Intrinsics):
            Intrinsics.of_fov(self.lens, (1, 1))
        if self.axes not in AXES:
            raise ConfigError(f"expected axes of {', '.join(AXES)}; got {shown(self.axes)}")
        if self.unit_m is not None and not 0 < self.unit_m < math.inf:
            raise ConfigError(f"expected a depth unit above 0 metres; got {self.unit_m:g}")

    def intrinsics(self, size_hw: tuple[int, int]) -> Intrinsics:
        """Those of depth images of this size; ConfigError if they belong to another size."""
        if not isinstance(self.lens, Intrinsics):
            return Intrinsics.of_fov(self.lens, size_hw)
        height, width = size_hw
        if not (0 <= self.lens.cx < width and 0 <= self.lens.cy < height):
            raise ConfigError(
                f"expected a principal point within the depth image, {width}x{height}; got "
                f"{self.lens.cx:g}, {self.lens.cy:g}: give the intrinsics of this size"
            )
        return self.lens


class Unprojector:
    """Turns depth images of one size into points."""

    def __init__(
        self, camera: DepthCamera, size_hw: tuple[int, int], *, depth_dtype: npt.DTypeLike
    ) -> None:
        """depth_dtype: of the images, which decides on a unit that is not given. ConfigError if
        the camera's intrinsics cannot be of this size."""
        lens = camera.intrinsics(size_hw)
        unit_m = camera.unit_m
        if unit_m is None:
            unit_m = 0.001 if np.issubdtype(depth_dtype, np.integer) else 1.0
        x_sign, y_sign, z_sign = AXES[camera.axes]
        height, width = size_hw
        self.size_hw = size_hw
        columns = (np.arange(width) - lens.cx) / lens.fx * unit_m * x_sign
        rows = (np.arange(height) - lens.cy) / lens.fy * unit_m * y_sign
        self._x = columns.astype(np.float32)
        self._y = rows.astype(np.float32)[:, None]
        self._z = np.float32(unit_m * z_sign)
        self._depth = np.empty(size_hw, np.float32)

    def unproject(self, depth: npt.NDArray[np.generic], out: Floats) -> None:
        """Writes x, y, z in metres into the first three channels of `out` [H, W, 3 or 4]. Depth
        [H, W] that is not above 0 gives 0, 0, 0; NaN and infinity stay such."""
        np.copyto(self._depth, depth, casting="same_kind")
        np.maximum(self._depth, 0, out=self._depth)
        with np.errstate(invalid="ignore"):  # infinity times the 0 of the optical axis
            np.multiply(self._depth, self._x, out=out[..., 0])
            np.multiply(self._depth, self._y, out=out[..., 1])
            np.multiply(self._depth, self._z, out=out[..., 2])
