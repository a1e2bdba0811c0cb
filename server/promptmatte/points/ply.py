"""Clouds as PLY, the binary little-endian kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Vertices = npt.NDArray[Any]
"""A structured array [N] whose fields are the properties of the PLY, in their order."""

_TYPES = {"<f4": "float", "|u1": "uchar"}


def vertices_of(
    texture: npt.NDArray[np.float32], colours: npt.NDArray[np.uint8] | None = None
) -> Vertices:
    """The points of a masked texture [H, W, 4] that are not 0, row by row.

    colours: [H, W, 3], or [H, W, 4] premultiplied with the alpha it carries. The fields are x, y
    and z, float32; red, green and blue, uint8, if there are colours; alpha, uint8.
    """
    kept = texture[..., 2] != 0
    points = texture[kept]
    fields = [(name, "<f4") for name in ("x", "y", "z")]
    if colours is not None:
        fields += [(name, "u1") for name in ("red", "green", "blue")]
    vertices = np.empty(len(points), [*fields, ("alpha", "u1")])
    for channel, name in enumerate(("x", "y", "z")):
        vertices[name] = points[:, channel]
    vertices["alpha"] = np.rint(points[:, 3] * 255)
    if colours is not None:
        seen = colours[kept]
        if colours.shape[2] == 4:
            own = np.maximum(seen[:, 3:], 1).astype(np.float32)
            seen = np.minimum(seen[:, :3] * (255 / own) + 0.5, 255).astype(np.uint8)
        for channel, name in enumerate(("red", "green", "blue")):
            vertices[name] = seen[:, channel]
    return vertices


def write_ply(path: Path, vertices: Vertices) -> None:
    """Writes the cloud; OSError."""
    dtype = vertices.dtype
    properties = [f"property {_TYPES[dtype[name].str]} {name}" for name in dtype.names or ()]
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(vertices)}"]
    head = "\n".join([*header, *properties, "end_header", ""])
    with path.open("wb") as file:
        file.write(head.encode("ascii"))
        file.write(vertices.tobytes())
