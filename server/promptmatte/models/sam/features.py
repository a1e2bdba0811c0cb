"""What SAM's image encoder says of one frame, and where the frame lies in its square input."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

STRIDE = 16
"""Input pixels to a cell of the grid, on either axis."""

MASK_STRIDE = 4
"""Input pixels to a pixel of a mask."""


def picture_hw(height: int, width: int, side: int) -> tuple[int, int]:
    """A frame's size inside the input of side x side pixels, its longer side filling it; as
    segment_anything's ResizeLongestSide rounds it."""
    scale = side / max(height, width)
    return int(height * scale + 0.5), int(width * scale + 0.5)


def resized(pixels: npt.NDArray[np.uint8], size_hw: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """A frame uint8 [H, W, 3] at another size, antialiased and bilinear, as Pillow does it.

    PyTorch's kernel for bytes: 1.9 ms for 1080p to 1024 px on one core, never more than one
    level off Pillow's 9.7 ms; OpenCV's area mean takes 6.4 ms and is up to 21 levels off.
    """
    if pixels.shape[:2] == size_hw:
        return pixels
    # torch warns of arrays that must not be written to, which frames are.
    own = np.require(pixels, requirements=["C", "W"])
    planes = torch.from_numpy(own).permute(2, 0, 1).unsqueeze(0)
    small = F.interpolate(planes, size_hw, mode="bilinear", align_corners=False, antialias=True)
    return small[0].permute(1, 2, 0).numpy()


@dataclass(frozen=True, kw_only=True, eq=False)
class SamFeatures:
    """The image embedding float32 [1, dim, g, g] of one frame.

    size_hw: of the frame. inside_hw: of the picture inside the square input, in input pixels;
    the rest of the input, at its right and bottom, is padding.
    """

    embedding: Tensor
    size_hw: tuple[int, int]
    inside_hw: tuple[int, int]

    @property
    def mask_side(self) -> int:
        """Side of a mask over the whole input, padding included: 4 g."""
        return int(self.embedding.shape[-1]) * (STRIDE // MASK_STRIDE)

    @property
    def grid_hw(self) -> tuple[int, int]:
        """Rows and columns of the cells that hold picture, if only in part."""
        rows, columns = (math.ceil(side / STRIDE) for side in self.inside_hw)
        return rows, columns

    @property
    def mask_hw(self) -> tuple[int, int]:
        """Size of a mask over the picture, without padding.

        It is exact for the common shapes (16:9, 4:3, square); else the far edge lies up to
        half a mask pixel off.
        """
        height, width = (max(1, int(side / MASK_STRIDE + 0.5)) for side in self.inside_hw)
        return height, width

    def cropped(self, masks: Tensor) -> Tensor:
        """Masks [..., 4g, 4g] without padding: a view [..., h, w] of mask_hw."""
        height, width = self.mask_hw
        return masks[..., :height, :width]

    def padded(self, maps: Tensor, fill: float) -> Tensor:
        """Maps [N, h, w] over the picture as mask prompts float32 [N, 1, 4g, 4g]: resized to the
        part of the picture, the rest being fill."""
        height, width = self.mask_hw
        sized = maps.float().unsqueeze(1)
        if tuple(maps.shape[-2:]) != (height, width):
            shrinks = maps.shape[-2] > height or maps.shape[-1] > width
            sized = F.interpolate(
                sized, (height, width), mode="bilinear", align_corners=False, antialias=shrinks
            )
        side = self.mask_side
        return F.pad(sized, (0, side - width, 0, side - height), value=fill)
