"""A matte over an XYZ texture."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.errors import ConfigError

Floats = npt.NDArray[np.float32]


class Masker:
    """Keeps the points of XYZ textures that a matte covers. Its arrays are made once for a size."""

    def __init__(self, *, min_alpha: float, prompt: int | None = None) -> None:
        """min_alpha: 0..1, the least alpha of a point to keep. prompt: 1 to 4, whose matte
        counts; None: where any of them is. ConfigError."""
        if not 0 <= min_alpha <= 1:
            raise ConfigError(f"expected a least alpha of 0 to 1; got {min_alpha:g}")
        if prompt is not None and not 1 <= prompt <= 4:
            raise ConfigError(f"expected a prompt of 1 to 4; got {prompt}")
        self._min_alpha = np.float32(min_alpha)
        self._prompt = prompt
        self._plane = np.empty((0, 0), np.uint8)
        self._resize(0, 0)

    def _resize(self, height: int, width: int) -> None:
        self._texture = np.zeros((height, width, 4), np.float32)
        self._level = np.empty((height, width), np.uint8)
        self._alpha = np.empty((height, width), np.float32)
        self._sum = np.empty((height, width), np.float32)
        self._keep = np.empty((height, width), np.bool_)
        self._also = np.empty((height, width), np.bool_)

    def masked(self, xyz: Floats, alpha: npt.NDArray[np.uint8]) -> Floats:
        """The texture [H, W, 4] of x, y, z and alpha 0..1, all 0 where a point is not kept.

        xyz: [H, W, 4], the fourth channel is not looked at. alpha: [h, w, 1 or 4], resized to
        the texture. A point is left out when a coordinate is not finite or its z is 0, which
        cameras give where they saw nothing. The array is the masker's own, good until the next
        call. ConfigError for a prompt that the alpha does not hold.
        """
        if xyz.shape != self._texture.shape:
            self._resize(*xyz.shape[:2])
        self._fit(alpha)
        np.multiply(self._level, np.float32(1 / 255), out=self._alpha)
        with np.errstate(invalid="ignore", over="ignore"):
            np.add(xyz[..., 0], xyz[..., 1], out=self._sum)
            np.add(self._sum, xyz[..., 2], out=self._sum)
        np.isfinite(self._sum, out=self._keep)
        np.not_equal(xyz[..., 2], 0, out=self._also)
        np.logical_and(self._keep, self._also, out=self._keep)
        np.greater_equal(self._alpha, self._min_alpha, out=self._also)
        np.logical_and(self._keep, self._also, out=self._keep)
        self._texture.fill(0)
        # 2 ms at 1280x720; numpy.copyto(where=) takes 12.
        cv2.copyTo(xyz, self._keep.view(np.uint8), self._texture)
        np.multiply(self._alpha, self._keep, out=self._texture[..., 3])
        return self._texture

    def _fit(self, alpha: npt.NDArray[np.uint8]) -> None:
        """The one plane that counts, at the texture's size, into self._level."""
        fit_into(self._chosen(alpha), self._level)

    def _chosen(self, alpha: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        if self._prompt is not None:
            if self._prompt > alpha.shape[2]:
                raise ConfigError(
                    f"expected mattes of {self._prompt} prompts; got one: leave out --only, or "
                    "give the server more prompts"
                )
            return alpha[..., self._prompt - 1]
        if alpha.shape[2] == 1:
            return alpha[..., 0]
        if self._plane.shape != alpha.shape[:2]:
            self._plane = np.empty(alpha.shape[:2], np.uint8)
        # Pairwise: numpy.max over the last axis is many times slower.
        np.maximum(alpha[..., 0], alpha[..., 1], out=self._plane)
        for channel in range(2, alpha.shape[2]):
            np.maximum(self._plane, alpha[..., channel], out=self._plane)
        return self._plane


def fit_into(picture: npt.NDArray[np.uint8], out: npt.NDArray[np.uint8]) -> None:
    """Writes the picture [h, w] or [h, w, C], resized where it has to be, into `out`."""
    if picture.shape == out.shape:
        np.copyto(out, picture)
        return
    shrinks = picture.shape[0] > out.shape[0]
    cv2.resize(
        np.ascontiguousarray(picture),
        out.shape[1::-1],
        dst=out,
        interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR,
    )
