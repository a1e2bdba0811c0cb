"""The test source: real photographs cut out and moved over each other, the matte known.

The photographs lie in the scikit-image package (astronaut, chelsea, rocket); only
their cut-out mattes are shipped with promptmatte. Nothing is downloaded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, TypeVar, cast

import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.clock import Clock
from promptmatte.errors import ConfigError, SourceEnded, SourceError
from promptmatte.frame import Frame
from promptmatte.sources.image import read_image
from promptmatte.sources.pacing import Pacer, Stamper

Pixels = npt.NDArray[np.uint8]
Alpha = npt.NDArray[np.float32]
Affine = npt.NDArray[np.float64]
Numbers = TypeVar("Numbers", Pixels, Alpha)

BASE_HEIGHT = 540
"""Motions below are in pixels of a picture this high; other sizes scale them."""

BACKGROUND = "rocket.jpg"
CUT_OUTS = {"person": "astronaut", "cat": "chelsea"}
"""Thing -> photograph. The person's matte includes the helmet that she holds."""

CAT_VISIT_S = 8.0
"""The cat looks in from above once in this time, in turn behind and before the person."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """A cut-out: colours uint8 [h, w, 3] without their old background, alpha [h, w] 0..1."""

    colours: Pixels
    alpha: Alpha


class TestPictures:
    """Pictures of an astronaut and a cat before a rocket, the same for the same index.

    things: which cut-outs appear, from `CUT_OUTS`. ConfigError for an unknown thing or an
    unusable size; SourceError without scikit-image.
    """

    __test__: ClassVar[bool] = False  # not a pytest class

    def __init__(
        self,
        *,
        things: tuple[str, ...] = ("person", "cat"),
        size_hw: tuple[int, int] = (540, 960),
        fps: float = 30.0,
    ) -> None:
        if not things or not set(things) <= set(CUT_OUTS):
            raise ConfigError(
                f"expected a test picture of {', '.join(CUT_OUTS)}; got {', '.join(things)!r}"
            )
        if min(size_hw) < 16 or max(size_hw) > 8192:
            raise ConfigError(f"expected a test picture of 16 to 8192 pixels a side; got {size_hw}")
        if not 0 < fps <= 1000:
            raise ConfigError(f"expected a frame rate of 1 to 1000; got {fps}")
        self.things = things
        self.size_hw = size_hw
        self.fps = fps
        self._scale = size_hw[0] / BASE_HEIGHT
        self._layers = {thing: load_layer(CUT_OUTS[thing]) for thing in things}
        self._background = _load_background(size_hw)

    def frame_at(self, index: int) -> Pixels:
        """The picture uint8 [H, W, 3] RGB at index / fps seconds; the caller owns it."""
        time_s = index / self.fps
        picture = self.background_at(index)
        for thing in self._order(time_s):
            layer, matrix = self._layers[thing], self._place(thing, time_s)
            box = _box(layer, matrix, self.size_hw)
            if box is None:
                continue
            region = picture[box]
            matrix = _shifted(matrix, box)
            colours = _warp(layer.colours, matrix, region.shape[:2], cv2.BORDER_REPLICATE)
            alpha = _warp(layer.alpha, matrix, region.shape[:2], cv2.BORDER_CONSTANT)
            picture[box] = cv2.blendLinear(colours, region, alpha, 1 - alpha)
        return picture

    def truth_at(self, index: int) -> dict[str, Alpha]:
        """What is visible of each thing at this index: alpha float32 [H, W] 0..1."""
        time_s = index / self.fps
        truth: dict[str, Alpha] = {}
        for thing in self._order(time_s):
            layer, matrix = self._layers[thing], self._place(thing, time_s)
            alpha = _warp(layer.alpha, matrix, self.size_hw, cv2.BORDER_CONSTANT)
            for hidden in truth.values():
                hidden *= 1 - alpha
            truth[thing] = alpha
        return truth

    def background_at(self, index: int) -> Pixels:
        """The picture without its things, uint8 [H, W, 3]: a slow pan with a slow zoom."""
        time_s = index / self.fps
        height, width = self.size_hw
        spare_y = self._background.shape[0] - height
        spare_x = self._background.shape[1] - width
        zoom = 1 + 0.03 * _wave(time_s, 23)
        centre_x = width / 2 + spare_x * (0.5 + 0.36 * _wave(time_s, 17, 0.1))
        centre_y = height / 2 + spare_y * (0.5 + 0.3 * _wave(time_s, 13, 0.6))
        return _warp(
            self._background,
            _placed(zoom, 0.0, (centre_x, centre_y), (width / 2, height / 2)),
            self.size_hw,
            cv2.BORDER_REFLECT_101,
        )

    def _order(self, time_s: float) -> tuple[str, ...]:
        """The things from back to front."""
        front = "cat" if int(time_s / CAT_VISIT_S) % 2 == 1 else "person"
        return tuple(sorted(self.things, key=lambda thing: thing == front))

    def _place(self, thing: str, time_s: float) -> Affine:
        """Where a cut-out is: the matrix from its photograph to the picture."""
        middle = self.size_hw[1] / 2 / self._scale
        if thing == "person":
            # The photograph's lower edge stays below the picture's.
            zoom = 1.22 + 0.05 * _wave(time_s, 9.1)
            x = middle + 0.58 * middle * _wave(time_s, 11.3, 0.03) + 26 * _wave(time_s, 3.7)
            y = 392 + 14 * _wave(time_s, 5.3, 0.2)
            tilt, anchor = 4.5 * _wave(time_s, 6.1, 0.4), (215.0, 290.0)
        else:
            # It leans in from above and the photograph's upper edge stays above the picture's.
            visit = time_s / CAT_VISIT_S
            phase = visit - math.floor(visit)
            lowered = math.sin(math.pi * phase) ** 0.7
            side = 1 if int(visit / 2) % 2 == 0 else -1
            zoom = 0.8 + 0.03 * _wave(time_s, 4.9)
            x = middle + side * middle * (0.7 - 1.3 * phase) + 14 * _wave(time_s, 2.9)
            y = -270 + 240 * lowered
            tilt, anchor = 5 * _wave(time_s, 3.3, 0.15), (225.0, 0.0)
        x, y, zoom = x * self._scale, y * self._scale, zoom * self._scale
        return _placed(zoom, tilt, anchor, (x, y))


class PicturesSource:
    """Test pictures played in real time; `seq` is their index."""

    def __init__(
        self, pictures: TestPictures, *, name: str, clock: Clock, loop: bool = True
    ) -> None:
        self.pictures = pictures
        self._name = name
        self._stamper = Stamper(clock)
        self._pacer = Pacer(clock)
        self._frames_left = math.inf if loop else round(20 * pictures.fps)

    @property
    def name(self) -> str:
        """The source as typed."""
        return self._name

    def read(self, timeout_s: float) -> Frame | None:
        """The next picture when it is due; SourceEnded after 20 s of one that does not loop."""
        index = self._stamper.seq
        if index >= self._frames_left:
            raise SourceEnded(f"{self._name}: the test pictures have ended")
        pts_ns = round(index * 1e9 / self.pictures.fps)
        if not self._pacer.wait_until_due(pts_ns, timeout_s):
            return None
        return self._stamper.frame(self.pictures.frame_at(index), pts_ns)

    def close(self) -> None:
        """Holds nothing to free."""


def _wave(time_s: float, period_s: float, turns: float = 0.0) -> float:
    return math.sin(2 * math.pi * (time_s / period_s + turns))


def _placed(
    zoom: float, tilt_deg: float, anchor: tuple[float, float], target: tuple[float, float]
) -> Affine:
    """The affine [2, 3] that turns and scales about `anchor` and brings it to `target`."""
    matrix = np.asarray(cv2.getRotationMatrix2D(anchor, tilt_deg, zoom), np.float64)
    matrix[:, 2] += np.subtract(target, anchor)
    return matrix


def _box(layer: Layer, matrix: Affine, size_hw: tuple[int, int]) -> tuple[slice, slice] | None:
    """The part of the picture that a layer can touch; None when it is outside."""
    height, width = layer.alpha.shape
    corners = np.array([[-1, -1, 1], [width, -1, 1], [-1, height, 1], [width, height, 1]])
    points = corners @ matrix.T
    left, top = np.maximum(np.floor(points.min(axis=0)), 0).astype(int)
    right, bottom = np.minimum(np.ceil(points.max(axis=0)) + 1, size_hw[::-1]).astype(int)
    return (slice(top, bottom), slice(left, right)) if left < right and top < bottom else None


def _shifted(matrix: Affine, box: tuple[slice, slice]) -> Affine:
    """The matrix for a region that starts at the box's corner."""
    shifted = matrix.copy()
    shifted[:, 2] -= (box[1].start, box[0].start)
    return shifted


def _warp(image: Numbers, matrix: Affine, size_hw: tuple[int, ...], border: int) -> Numbers:
    size = size_hw[1], size_hw[0]
    warped = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=border)
    return cast(Numbers, warped)


def scikit_photograph(file_name: str) -> Pixels:
    """A photograph of the package scikit-image, uint8 [H, W, 3] RGB; SourceError."""
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        raise SourceError(
            "the test pictures need the photographs of scikit-image, which is not installed: "
            'run pip install "promptmatte[demo]", or choose another source'
        )
    return np.asarray(read_image(Path(spec.origin).parent / "data" / file_name).pixels, np.uint8)


def _load_background(size_hw: tuple[int, int]) -> Pixels:
    """The background photograph, large enough to pan over."""
    photograph = scikit_photograph(BACKGROUND)
    zoom = 1.16 * max(size_hw[0] / photograph.shape[0], size_hw[1] / photograph.shape[1])
    return np.asarray(
        cv2.resize(photograph, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC), np.uint8
    )


def load_layer(photograph_name: str) -> Layer:
    """The cut-out of a photograph of scikit-image; SourceError."""
    photograph = scikit_photograph(f"{photograph_name}.png")
    matte = cv2.imdecode(
        np.fromfile(Path(__file__).parent / "cutouts" / f"{photograph_name}.png", np.uint8),
        cv2.IMREAD_GRAYSCALE,
    )
    if matte is None or matte.shape != photograph.shape[:2]:
        raise SourceError(
            f"expected a cut-out as large as {photograph_name}.png, {photograph.shape[:2]}; "
            "install promptmatte and scikit-image again"
        )
    alpha = matte.astype(np.float32) / 255
    return Layer(colours=_without_background(photograph, alpha), alpha=alpha)


def _without_background(photograph: Pixels, alpha: Alpha) -> Pixels:
    """The colours with those of half-covered pixels replaced by the nearby solid ones.

    Normalised blurs of the solid pixels, narrow ones where they reach, wider ones beyond,
    so that no fringe of the old background shows when the layer moves.
    """
    solid = (alpha > 0.96).astype(np.float32)
    colours = photograph.astype(np.float32)
    filled, weight = colours * solid[..., None], solid
    for size in (5, 11, 31, 101):
        near = cv2.blur(solid, (size, size))
        spread = cv2.blur(colours * solid[..., None], (size, size))
        new = (weight == 0) & (near > 1e-3)
        filled[new] = spread[new] / near[new, None]
        weight = np.where(new, np.float32(1), weight)
    return np.asarray(np.clip(filled + 0.5, 0, 255), np.uint8)
