"""Depth and XYZ files: every kind read, and what is broken or does not fit."""

from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from promptmatte.errors import ConfigError, DataError, PromptMatteError, SourceError
from promptmatte.points.depth_file import read_points
from promptmatte.points.exr import decoded_exr, encoded_exr
from promptmatte.points.geometry import DepthCamera, Intrinsics

CAMERA = DepthCamera(lens=Intrinsics(fx=20.0, fy=20.0, cx=4.0, cy=3.0))
RNG = np.random.default_rng(0)
MILLIMETRES = RNG.integers(1, 60_000, (6, 9), np.uint16)
METRES = (MILLIMETRES / 1000).astype(np.float32)
XYZ = RNG.normal(size=(6, 9, 3)).astype(np.float32)


def saved(path: Path, pixels: np.ndarray) -> Path:
    match path.suffix:
        case ".npy":
            np.save(path, pixels)
        case ".png":
            assert cv2.imwrite(str(path), pixels)
        case ".tiff":
            tifffile.imwrite(path, pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack")
    return path


@pytest.mark.parametrize("name", ["d.png", "d.npy", "d.tiff"])
def test_millimetres(tmp_path: Path, name: str) -> None:
    points = read_points(saved(tmp_path / name, MILLIMETRES), CAMERA)
    assert (points.shape, points.dtype) == ((6, 9, 4), np.float32)
    np.testing.assert_allclose(points[..., 2], METRES, rtol=1e-6)
    np.testing.assert_allclose(points[0, 8, :2], METRES[0, 8] * np.array([4, -3]) / 20, rtol=1e-6)


@pytest.mark.parametrize("name", ["d.npy", "d.tiff"])
def test_metres(tmp_path: Path, name: str) -> None:
    points = read_points(saved(tmp_path / name, METRES), CAMERA)
    np.testing.assert_allclose(points[..., 2], METRES, rtol=1e-6)


def test_depth_of_one_channel_and_of_doubles(tmp_path: Path) -> None:
    path = saved(tmp_path / "d.npy", METRES[..., None].astype(np.float64))
    np.testing.assert_allclose(read_points(path, CAMERA)[..., 2], METRES, rtol=1e-6)


@pytest.mark.parametrize("name", ["p.npy", "p.tiff"])
def test_xyz_stays_as_it_is(tmp_path: Path, name: str) -> None:
    points = read_points(saved(tmp_path / name, XYZ), None)
    np.testing.assert_array_equal(points[..., :3], XYZ)


def test_xyz_with_a_fourth_channel(tmp_path: Path) -> None:
    four = np.dstack([XYZ, np.full((6, 9), np.nan, np.float32)])
    np.testing.assert_array_equal(read_points(saved(tmp_path / "p.npy", four), None)[..., :3], XYZ)


def test_exr_comes_back_bit_by_bit(tmp_path: Path) -> None:
    texture = np.dstack([XYZ, METRES]) - 3
    texture[1, 2] = np.nan
    texture[2, 3] = np.inf
    path = tmp_path / "p.exr"
    path.write_bytes(encoded_exr(texture))
    np.testing.assert_array_equal(decoded_exr(path.read_bytes()), texture)
    np.testing.assert_array_equal(read_points(path, None)[..., :3], texture[..., :3])


@pytest.mark.parametrize("kept", [0, 3, 60, 300, 0.5, -1])
def test_a_cut_off_exr_is_refused(tmp_path: Path, kept: float) -> None:
    data = encoded_exr(RNG.normal(size=(90, 60, 4)).astype(np.float32))
    path = tmp_path / "p.exr"
    path.write_bytes(data[: int(len(data) * kept) if kept == 0.5 else int(kept)])
    with pytest.raises(DataError, match=r"p\.exr: expected an OpenEXR picture"):
        read_points(path, None)


def test_a_damaged_exr_never_ends_in_anything_else(tmp_path: Path) -> None:
    whole = encoded_exr(RNG.normal(size=(20, 30, 4)).astype(np.float32))
    path = tmp_path / "p.exr"
    for _ in range(150):
        data = bytearray(whole)
        for at in RNG.integers(0, 400, 3):
            data[at] = RNG.integers(256)
        path.write_bytes(data)
        try:
            points = read_points(path, None)
        except PromptMatteError:
            continue
        assert points.dtype == np.float32


@pytest.mark.parametrize("name", ["d.png", "d.tiff", "d.npy"])
@pytest.mark.parametrize("kept", [0, 20, 90])
def test_broken_files_say_so(tmp_path: Path, name: str, kept: int) -> None:
    path = saved(tmp_path / name, MILLIMETRES)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match=rf"expected .* in .*{name}; got"):
        read_points(path, CAMERA)


@pytest.mark.parametrize(
    ("name", "pixels"),
    [
        ("d.png", np.zeros((4, 4), np.uint8)),
        ("d.png", np.zeros((4, 4, 3), np.uint8)),
        ("d.png", np.zeros((4, 4, 3), np.uint16)),
        ("d.npy", np.zeros((4, 4, 2), np.float32)),
        ("d.npy", np.zeros((4, 4), np.int64)),
        ("d.npy", np.zeros((4, 4), np.complex64)),
        ("d.npy", np.zeros((16,), np.float32)),
        ("d.npy", np.zeros((0, 4), np.float32)),
    ],
)
def test_pictures_without_depth_say_so(tmp_path: Path, name: str, pixels: np.ndarray) -> None:
    path = saved(tmp_path / name, pixels)
    with pytest.raises(DataError, match="holds no depth"):
        read_points(path, CAMERA)


def test_objects_and_archives_are_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "d.npy"
    path.write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(DataError, match="array of numbers"):
        read_points(path, None)
    with path.open("wb") as file:
        np.savez(file, a=XYZ)
    with pytest.raises(DataError, match="archive"):
        read_points(path, None)


def test_a_camera_belongs_to_depth_and_to_nothing_else(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--fov or --intrinsics for the depth image"):
        read_points(saved(tmp_path / "d.png", MILLIMETRES), None)
    with pytest.raises(ConfigError, match="leave the options out"):
        read_points(saved(tmp_path / "p.npy", XYZ), CAMERA)


def test_missing_files_and_unknown_kinds(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot read the depth file"):
        read_points(tmp_path / "none.png", CAMERA)
    with pytest.raises(ConfigError, match="ending in"):
        read_points(tmp_path / "d.jpg", CAMERA)
