"""Depth images and XYZ textures from files."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.errors import ConfigError, DataError, SourceError
from promptmatte.points.geometry import DepthCamera, Unprojector

Floats = npt.NDArray[np.float32]
Picture = npt.NDArray[np.generic]

DEPTH_SUFFIXES = (".png", ".tif", ".tiff", ".exr", ".npy")


def read_points(path: Path, camera: DepthCamera | None) -> Floats:
    """The points [H, W, 4] of a file, metres in the first three channels.

    A depth image needs a camera: one channel, uint16 or float. Three or four float channels
    are x, y, z as they are, and take none. ConfigError where these do not go together,
    SourceError for a file that cannot be read, DataError for one that is neither.
    """
    pixels = _read(path)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    is_float = np.issubdtype(pixels.dtype, np.floating)
    is_xyz = pixels.ndim == 3 and pixels.shape[2] in (3, 4) and is_float
    is_depth = pixels.ndim == 2 and (is_float or pixels.dtype in (np.uint16, np.uint32))
    if not (is_xyz or is_depth) or 0 in pixels.shape:
        raise DataError(
            f"expected depth as uint16 or float of one channel, or float x, y, z, in {path}; got "
            f"{pixels.dtype} {list(pixels.shape)}: an 8-bit preview holds no depth"
        )
    points = np.zeros((*pixels.shape[:2], 4), np.float32)
    if is_xyz:
        if camera is not None:
            raise ConfigError(
                f"expected a depth image for --fov or --intrinsics; got x, y, z in {path}: leave "
                "the options out"
            )
        points[..., :3] = pixels[..., :3]
        return points
    if camera is None:
        raise ConfigError(
            f"expected --fov or --intrinsics for the depth image {path}; got neither: the "
            "camera's data sheet or SDK names them"
        )
    size_hw = (pixels.shape[0], pixels.shape[1])
    Unprojector(camera, size_hw, depth_dtype=pixels.dtype).unproject(pixels, points)
    return points


def _read(path: Path) -> Picture:
    """The picture in a file, [H, W] or [H, W, C] in the order R, G, B, A, as it is stored."""
    suffix = path.suffix.lower()
    if suffix not in DEPTH_SUFFIXES:
        raise ConfigError(
            f"expected a depth file ending in {', '.join(DEPTH_SUFFIXES)}; got {path.name!r}"
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(
            f"cannot read the depth file {path}: {error.strerror}; check its name and rights"
        ) from error
    if suffix == ".npy":
        return _decoded_npy(path, data)
    if suffix == ".exr":
        from promptmatte.points.exr import decoded_exr

        try:
            return decoded_exr(data)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
    return _decoded_by_opencv(path, data)


def _decoded_npy(path: Path, data: bytes) -> Picture:
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise DataError(f"expected an array of numbers in {path}; got none: {error}") from error
    if not isinstance(array, np.ndarray):
        raise DataError(f"expected one array in {path}; got an archive of several: save .npy")
    return array


def _decoded_by_opencv(path: Path, data: bytes) -> Picture:
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    except cv2.error:
        pixels = None
    if pixels is None:
        raise DataError(
            f"expected a picture in {path}; got {len(data)} bytes that OpenCV cannot decode: the "
            "file is damaged or of another kind"
        )
    if pixels.ndim == 3 and pixels.shape[2] >= 3:
        pixels = pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]
    return np.asarray(pixels)
