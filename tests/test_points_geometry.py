"""Depth to points: the pinhole equations, units, axes, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from promptmatte.errors import ConfigError
from promptmatte.points.geometry import DepthCamera, Intrinsics, Unprojector

LENS = Intrinsics(fx=500.0, fy=400.0, cx=3.5, cy=2.0)


def points_of(camera: DepthCamera, depth: np.ndarray) -> np.ndarray:
    out = np.full((*depth.shape, 4), 9.0, np.float32)
    Unprojector(camera, depth.shape, depth_dtype=depth.dtype).unproject(depth, out)
    assert (out[..., 3] == 9).all()
    return out[..., :3]


def test_points_project_back_to_the_pixels_they_came_from() -> None:
    depth = np.random.default_rng(0).uniform(0.3, 9.0, (6, 8)).astype(np.float32)
    points = points_of(DepthCamera(lens=LENS), depth).astype(np.float64)
    camera_matrix = np.array([[500.0, 0, 3.5], [0, 400.0, 2.0], [0, 0, 1]])
    seen = points @ camera_matrix.T
    rows, columns = np.mgrid[:6, :8]
    np.testing.assert_allclose(seen[..., 0] / seen[..., 2], columns, atol=1e-4)
    np.testing.assert_allclose(seen[..., 1] / seen[..., 2], rows, atol=1e-4)
    np.testing.assert_array_equal(points[..., 2], depth)


def test_the_field_of_view_reaches_from_edge_to_edge() -> None:
    lens = Intrinsics.of_fov(90.0, (3, 640))
    assert lens == Intrinsics(fx=lens.fx, fy=lens.fx, cx=319.5, cy=1.0)
    assert lens.fx == pytest.approx(320.0)
    left, right = (np.degrees(np.arctan((edge - lens.cx) / lens.fx)) for edge in (-0.5, 639.5))
    assert (left, right) == (pytest.approx(-45), pytest.approx(45))


@pytest.mark.parametrize(
    ("dtype", "unit_m", "metres"),
    [("uint16", None, 2.0), ("uint16", 0.00025, 0.5), ("float32", None, 2000.0),
     ("float64", 0.001, 2.0), ("uint32", None, 2.0)],
)  # fmt: skip
def test_units(dtype: str, unit_m: float | None, metres: float) -> None:
    depth = np.full((4, 8), 2000, dtype)
    points = points_of(DepthCamera(lens=LENS, unit_m=unit_m), depth)
    np.testing.assert_allclose(points[..., 2], metres, rtol=1e-6)
    np.testing.assert_allclose(points[0, 7], [metres * 3.5 / 500, -metres * 2 / 400, metres])


def test_opengl_axes_turn_y_up_and_z_towards_the_camera() -> None:
    depth = np.random.default_rng(1).uniform(1, 2, (4, 8)).astype(np.float32)
    ours, theirs = (points_of(DepthCamera(lens=LENS, axes=a), depth) for a in ("opencv", "opengl"))
    np.testing.assert_array_equal(theirs, ours * np.float32([1, -1, -1]))


def test_depth_without_an_answer_stays_one() -> None:
    depth = np.array([[0.0, -1.0, np.nan, np.inf, 1.0]], np.float32)
    lens = Intrinsics(fx=10.0, fy=10.0, cx=3.0, cy=0.0)
    points = points_of(DepthCamera(lens=lens), depth)[0]
    assert (points[:2] == 0).all()
    assert np.isnan(points[2]).all()
    assert not np.isfinite(points[3]).all()
    np.testing.assert_allclose(points[4], [0.1, 0, 1], rtol=1e-6)


def test_intrinsics_as_typed() -> None:
    assert Intrinsics.parsed("500, 400,3.5,2") == LENS


@pytest.mark.parametrize(
    "text", ["", "1,2,3", "1,2,3,4,5", "a,b,c,d", "0,1,1,1", "-5,1,1,1", "nan,1,1,1", "inf,1,1,1"]
)
def test_intrinsics_that_cannot_be(text: str) -> None:
    with pytest.raises(ConfigError, match="fx,fy,cx,cy"):
        Intrinsics.parsed(text)


@pytest.mark.parametrize("fov", [0.0, -1.0, 180.0, float("nan")])
def test_a_field_of_view_that_cannot_be(fov: float) -> None:
    with pytest.raises(ConfigError, match="between 0 and 180"):
        DepthCamera(lens=fov)


def test_intrinsics_of_another_size_are_refused() -> None:
    camera = DepthCamera(lens=Intrinsics(fx=900.0, fy=900.0, cx=640.0, cy=360.0))
    with pytest.raises(ConfigError, match="640x360"):
        Unprojector(camera, (360, 640), depth_dtype=np.uint16)


@pytest.mark.parametrize("unit_m", [0.0, -1.0, float("inf"), float("nan")])
def test_a_unit_that_cannot_be(unit_m: float) -> None:
    with pytest.raises(ConfigError, match="unit"):
        DepthCamera(lens=60.0, unit_m=unit_m)
