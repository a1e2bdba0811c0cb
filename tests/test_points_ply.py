"""PLY files, read by another reader."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import plyfile
import pytest
from promptmatte.points.ply import vertices_of, write_ply


def masked(height: int = 5, width: int = 7) -> np.ndarray:
    """A masked texture of which every third point is gone."""
    texture = np.random.default_rng(0).uniform(0.2, 1, (height, width, 4)).astype(np.float32)
    texture.reshape(-1, 4)[::3] = 0
    return texture


def read(path: Path) -> np.ndarray:
    data = plyfile.PlyData.read(str(path))
    assert (data.text, data.byte_order) == (False, "<")
    assert [element.name for element in data] == ["vertex"]
    return data["vertex"].data


@pytest.mark.parametrize("colours", [True, False])
def test_every_kept_point_is_there_row_by_row(tmp_path: Path, colours: bool) -> None:
    texture = masked()
    rgb = np.random.default_rng(1).integers(0, 256, (5, 7, 3), np.uint8) if colours else None
    write_ply(tmp_path / "a.ply", vertices_of(texture, rgb))
    vertices = read(tmp_path / "a.ply")
    kept = np.arange(35).reshape(5, 7) % 3 != 0
    assert len(vertices) == kept.sum()
    for channel, name in enumerate("xyz"):
        np.testing.assert_array_equal(vertices[name], texture[kept][:, channel])
    np.testing.assert_array_equal(vertices["alpha"], np.rint(texture[kept][:, 3] * 255))
    names = ["x", "y", "z", *(["red", "green", "blue"] if colours else []), "alpha"]
    assert list(vertices.dtype.names) == names
    if rgb is not None:
        for channel, name in enumerate(("red", "green", "blue")):
            np.testing.assert_array_equal(vertices[name], rgb[kept][:, channel])


def test_premultiplied_colours_become_straight() -> None:
    texture = np.ones((1, 3, 4), np.float32)
    fill = np.array([[[50, 100, 0, 128], [9, 9, 9, 0], [200, 90, 5, 255]]], np.uint8)
    vertices = vertices_of(texture, fill)
    assert vertices["red"].tolist() == [100, 255, 200]
    assert vertices["green"].tolist() == [199, 255, 90]
    assert vertices["blue"].tolist() == [0, 255, 5]


def test_a_point_kept_at_alpha_0_is_written() -> None:
    texture = np.array([[[1, 2, 3, 0], [0, 0, 0, 0]]], np.float32)
    assert vertices_of(texture).tolist() == [(1.0, 2.0, 3.0, 0)]


def test_an_empty_cloud_is_a_file_too(tmp_path: Path) -> None:
    write_ply(tmp_path / "a.ply", vertices_of(np.zeros((4, 4, 4), np.float32)))
    assert len(read(tmp_path / "a.ply")) == 0
