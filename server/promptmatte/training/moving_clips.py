"""Seeded clips with a known matte: cut-outs in hard motion over moving photographs.

What a stage camera sees is imitated: a camera that pans, zooms and shakes, things that
run, turn, bend their limbs and leave, posts and other things before them, motion blur,
strobe, noise and cuts. The same seed gives the same clip.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Alpha = npt.NDArray[np.float32]
Field = npt.NDArray[np.float32]

MARGIN = 0.35
"""Border around a cut-out, as a share of its size, into which its limbs can swing."""

SUBFRAMES = 4
"""Instants that are averaged into one picture with motion blur."""

BEND_STEP = 4
"""Pixels of a cut-out between the points at which its bending is computed."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CutOut:
    """A thing without its surroundings: colours uint8 [h, w, 3], alpha float32 [h, w] 0..1.

    wanted: the share of alpha that is asked for, float32 [h, w]: the thing or a part of it.
    """

    colours: Pixels
    alpha: Alpha
    wanted: Alpha


def cut_out(
    photograph: Pixels,
    mask: npt.NDArray[np.bool_],
    part: npt.NDArray[np.bool_] | None = None,
) -> CutOut:
    """The thing under a mask that is not empty, cropped, its colours spread over its edge.

    part: what of it is asked for; None is all of it.
    """
    alpha = mask.astype(np.float32)
    wanted = alpha if part is None else (mask & part).astype(np.float32)
    rows, columns = np.flatnonzero(alpha.max(axis=1)), np.flatnonzero(alpha.max(axis=0))
    inside = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    pad = round(MARGIN * max(alpha[inside].shape))
    alpha, wanted = (_softened(plane[inside], pad) for plane in (alpha, wanted))
    colours = cv2.copyMakeBorder(photograph[inside], pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    return CutOut(colours=_spread(np.asarray(colours, np.uint8), alpha), alpha=alpha, wanted=wanted)


def _softened(plane: Alpha, pad: int) -> Alpha:
    plane = cv2.copyMakeBorder(plane, pad, pad, pad, pad, cv2.BORDER_CONSTANT)
    return np.asarray(np.clip(1.6 * cv2.GaussianBlur(plane, (0, 0), 0.7) - 0.6, 0, 1), np.float32)


def _spread(colours: Pixels, alpha: Alpha) -> Pixels:
    """Colours of the solid inside, carried outwards over the edge."""
    solid = (alpha > 0.97).astype(np.float32)
    filled = np.where(solid[..., None] > 0, colours, 0).astype(np.float32)
    weight = solid
    for size in (5, 15, 61):
        near = cv2.blur(solid, (size, size))
        smooth = cv2.blur(colours * solid[..., None], (size, size))
        new = (weight == 0) & (near > 1e-3)
        filled[new] = smooth[new] / near[new, None]
        weight = np.where(new, np.float32(1), weight)
    return np.asarray(np.clip(filled, 0, 255), np.uint8)


@dataclass(frozen=True, kw_only=True)
class Hardness:
    """How rough a clip may get: the upper ends of what the seed draws from.

    speed: picture heights a second that a thing moves. pan: the same of the camera.
    swing: how far limbs turn, in radians. blur: share of the frame time that the shutter
    is open. chances of occluder, strobe, shake, leaving and cut are 0 to 1.
    """

    speed: float = 1.6
    pan: float = 1.2
    swing: float = 1.0
    blur: float = 0.9
    occluder: float = 0.4
    strobe: float = 0.1
    shake: float = 0.3
    leaving: float = 0.15
    cut: float = 0.0


@dataclass(kw_only=True)
class _Wave:
    """A smooth motion: a drift and a few sines."""

    start: float
    drift: float
    sines: list[tuple[float, float, float]] = field(default_factory=list)

    def at(self, time_s: float) -> float:
        turns = (a * math.sin(2 * math.pi * (f * time_s + p)) for a, f, p in self.sines)
        return self.start + self.drift * time_s + sum(turns)


@dataclass(frozen=True, kw_only=True)
class _Joint:
    """A limb: everything beyond a line through the joint turns about it."""

    centre: tuple[float, float]
    outward: tuple[float, float]
    reach: float
    angle: _Wave


class _Mover:
    """One cut-out on its way; motions in picture heights and seconds."""

    def __init__(self, rng: np.random.Generator, cut: CutOut, hardness: Hardness) -> None:
        self._cut = cut
        height, width = cut.alpha.shape
        self._size = rng.uniform(0.3, 0.95) * (1 + 2 * MARGIN) / max(height, 0.7 * width)
        speed = hardness.speed * rng.uniform(0.15, 1.0)
        heading = rng.uniform(0, 2 * math.pi)
        span_s = 1.2
        drift_x, drift_y = speed * math.cos(heading), 0.45 * speed * math.sin(heading)
        self._x = _Wave(start=-drift_x * span_s / 2 + rng.uniform(-0.3, 0.3), drift=drift_x)
        self._y = _Wave(start=-drift_y * span_s / 2 + rng.uniform(-0.15, 0.15), drift=drift_y)
        for wave, share in ((self._x, 0.5), (self._y, 0.7)):
            for _ in range(2):
                rate = rng.uniform(0.4, 2.5)
                wave.sines.append((share * rng.uniform(0, 0.06) * speed, rate, rng.uniform()))
        self._turn = _Wave(start=rng.uniform(-0.3, 0.3), drift=rng.normal(0, 0.5))
        self._turn.sines.append((rng.uniform(0, 0.25), rng.uniform(0.4, 1.6), rng.uniform()))
        self._zoom = _Wave(start=0.0, drift=rng.normal(0, 0.25))
        self._zoom.sines.append((rng.uniform(0, 0.1), rng.uniform(0.4, 1.6), rng.uniform()))
        self._squeeze = _Wave(start=0.0, drift=rng.normal(0, 0.2))
        self._flip = bool(rng.random() < 0.5)
        self._joints = [_joint(rng, cut.alpha, hardness.swing) for _ in range(rng.integers(2, 6))]
        rows, columns = np.mgrid[:height:BEND_STEP, :width:BEND_STEP].astype(np.float32)
        self._grid = np.stack([columns, rows], axis=-1)

    def layers(
        self, time_s: float, size_hw: tuple[int, int], camera: npt.NDArray[np.float64]
    ) -> tuple[Pixels, Alpha, Alpha]:
        """Colours, alpha and what is wanted of it over the whole picture at one instant."""
        height, width = size_hw
        bent = self._bent(time_s)
        scale = self._size * height * math.exp(self._zoom.at(time_s))
        squeeze = math.exp(self._squeeze.at(time_s))
        turn = self._turn.at(time_s)
        across = -1.0 if self._flip else 1.0
        linear = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        linear = linear @ np.diag([across * scale * squeeze, scale])
        middle = np.array([bent.shape[1] / 2, bent.shape[0] / 2])
        place = np.array([width / 2 + height * self._x.at(time_s),
                          height / 2 + height * self._y.at(time_s)])  # fmt: skip
        matrix = np.zeros((2, 3))
        matrix[:, :2] = camera[:, :2] @ linear
        matrix[:, 2] = camera[:, :2] @ (place - linear @ middle) + camera[:, 2]
        colours = cv2.remap(
            self._cut.colours, bent, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        size_wh = (width, height)
        colours = cv2.warpAffine(colours, matrix, size_wh, borderMode=cv2.BORDER_REPLICATE)
        alpha, wanted = (
            cv2.warpAffine(cv2.remap(plane, bent, None, cv2.INTER_LINEAR), matrix, size_wh)
            for plane in (self._cut.alpha, self._cut.wanted)
        )
        return np.asarray(colours, np.uint8), alpha, wanted

    def _bent(self, time_s: float) -> Field:
        """Where each pixel of the bent cut-out comes from, [h, w, 2]."""
        where = self._grid
        for joint in self._joints:
            away = where - np.array(joint.centre, np.float32)
            beyond = away @ np.array(joint.outward, np.float32)
            weight = np.clip(beyond / (0.25 * joint.reach), 0, 1)[..., None]
            distance = np.linalg.norm(away, axis=-1, keepdims=True)
            weight *= np.clip(2.2 - distance / joint.reach, 0, 1)
            angle = weight * np.float32(joint.angle.at(time_s))
            cosine, sine = np.cos(angle), np.sin(angle)
            turned = np.concatenate(
                [cosine * away[..., :1] - sine * away[..., 1:],
                 sine * away[..., :1] + cosine * away[..., 1:]], axis=-1
            )  # fmt: skip
            where = where + (turned - away)
        height, width = self._cut.alpha.shape
        shift: Field = cv2.resize((where - self._grid).astype(np.float32), (width, height))
        rows, columns = np.mgrid[:height, :width].astype(np.float32)
        shift[..., 0] += columns
        shift[..., 1] += rows
        return shift


def _joint(rng: np.random.Generator, alpha: Alpha, swing: float) -> _Joint:
    """A joint somewhere inside the thing whose limb points outwards."""
    rows, columns = np.nonzero(alpha > 0.5)
    pick = rng.integers(len(rows))
    middle = np.array([columns.mean(), rows.mean()])
    centre = np.array([columns[pick], rows[pick]], float)
    outward = centre - middle + rng.normal(0, 1, 2)
    outward /= np.linalg.norm(outward)
    reach = rng.uniform(0.12, 0.3) * max(alpha.shape)
    angle = _Wave(start=rng.normal(0, 0.2) * swing, drift=0.0)
    angle.sines.append((rng.uniform(0.1, 0.8) * swing, rng.uniform(0.5, 2.5), rng.uniform()))
    return _Joint(
        centre=(float(centre[0]), float(centre[1])),
        outward=(float(outward[0]), float(outward[1])),
        reach=float(reach),
        angle=angle,
    )


class MovingClip:
    """The clip of one seed: the first of `things` is the one whose matte is known.

    The others walk about behind or before it. backgrounds: photographs; one more for each
    cut. Size in pixels.
    """

    def __init__(
        self,
        seed: int,
        *,
        things: Sequence[CutOut],
        backgrounds: Sequence[Pixels],
        size_hw: tuple[int, int] = (270, 480),
        fps: float = 30.0,
        hardness: Hardness | None = None,
    ) -> None:
        rng = np.random.default_rng(seed)
        hard = hardness or Hardness()
        self.size_hw = size_hw
        self.fps = fps
        self._rng_seed = seed
        self._thing = _Mover(rng, things[0], hard)
        self._others = [(_Mover(rng, cut, hard), bool(rng.random() < 0.35)) for cut in things[1:]]
        self._grounds = [_ground(rng, photograph, size_hw) for photograph in backgrounds]
        self._follow = rng.uniform(0.0, 1.0)
        pan = hard.pan * rng.uniform(0, 1)
        heading = rng.uniform(0, 2 * math.pi)
        self._pan_x = _Wave(start=0, drift=pan * math.cos(heading))
        self._pan_y = _Wave(start=0, drift=0.3 * pan * math.sin(heading))
        self._camera_turn = _Wave(start=0, drift=rng.normal(0, 0.08))
        self._camera_zoom = _Wave(start=0, drift=rng.normal(0, 0.15))
        shake = rng.uniform(0.004, 0.02) if rng.random() < hard.shake else 0.0
        self._shake = [[(rng.normal(0, shake), rng.uniform(4, 12), rng.uniform()) for _ in range(3)]
                       for _ in range(2)]  # fmt: skip
        self._bars = _bars(rng, size_hw) if rng.random() < hard.occluder else None
        self._bars_speed = rng.uniform(-1, 1) * max(pan, 0.3)
        self._strobe = rng.random() < hard.strobe
        self._leaves = rng.random() < hard.leaving
        self._leave_s = rng.uniform(0.3, 1.0)
        self._blur = hard.blur * rng.uniform(0, 1)
        self._noise = rng.uniform(0, 6)
        self._gain = rng.uniform(0.6, 1.2)
        self._jpeg = int(rng.integers(40, 96))
        self._cut_s = rng.uniform(0.5, 1.5) if rng.random() < hard.cut else math.inf

    def frame_at(self, index: int) -> tuple[Pixels, Alpha]:
        """Picture uint8 [H, W, 3] RGB and the true alpha float32 [H, W] of frame `index`."""
        count = SUBFRAMES if self._blur > 0.1 else 1
        picture = np.zeros((*self.size_hw, 3), np.float32)
        truth = np.zeros(self.size_hw, np.float32)
        for part in range(count):
            colours, alpha = self._instant((index + self._blur * part / count) / self.fps)
            cv2.accumulateWeighted(colours, picture, 1 / (part + 1))
            cv2.accumulateWeighted(alpha, truth, 1 / (part + 1))
        rng = np.random.default_rng((self._rng_seed, index))
        gain = self._gain
        if self._strobe:
            gain *= (0.15, 1.0, 1.0, 1.7)[rng.integers(4)]
        picture = picture * np.float32(gain)
        picture += rng.normal(0, self._noise + 0.1, self.size_hw).astype(np.float32)[..., None]
        pixels = np.clip(picture, 0, 255).astype(np.uint8)
        packed = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, self._jpeg])[1]
        return np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8), truth

    def _instant(self, time_s: float) -> tuple[Pixels, Alpha]:
        height, width = self.size_hw
        camera = self._camera(time_s)
        ground = self._grounds[-1 if time_s > self._cut_s else 0]
        spare = np.array([(ground.shape[1] - width) / 2, (ground.shape[0] - height) / 2])
        onto = camera.copy()
        pan = np.array([self._pan_x.at(time_s), self._pan_y.at(time_s)]) * height
        onto[:, 2] -= camera[:, :2] @ (spare + pan)
        picture = np.asarray(
            cv2.warpAffine(ground, onto, (width, height), borderMode=cv2.BORDER_REFLECT_101),
            np.uint8,
        )
        truth = np.zeros(self.size_hw, np.float32)
        behind = [mover for mover, before in self._others if not before]
        before = [mover for mover, before in self._others if before]
        for mover in [*behind, self._thing, *before]:
            colours, alpha, wanted = mover.layers(time_s, self.size_hw, camera)
            if mover is self._thing and self._gone(time_s):
                continue
            picture = cv2.blendLinear(colours, picture, alpha, 1 - alpha)
            truth = wanted if mover is self._thing else truth * (1 - alpha)
        if self._bars is not None:
            picture, truth = self._barred(picture, truth, time_s)
        return picture, truth

    def _gone(self, time_s: float) -> bool:
        return self._leaves and self._leave_s < time_s < self._leave_s + 0.4

    def _camera(self, time_s: float) -> npt.NDArray[np.float64]:
        """The matrix [2, 3] of the camera about the picture's middle."""
        height, width = self.size_hw
        turn, zoom = self._camera_turn.at(time_s), math.exp(self._camera_zoom.at(time_s))
        matrix = np.asarray(
            cv2.getRotationMatrix2D((width / 2, height / 2), math.degrees(turn), zoom), np.float64
        )
        for axis, sines in enumerate(self._shake):
            matrix[axis, 2] += height * _Wave(start=0, drift=0, sines=sines).at(time_s)
        return matrix

    def _barred(self, picture: Pixels, truth: Alpha, time_s: float) -> tuple[Pixels, Alpha]:
        assert self._bars is not None
        colours, alpha = self._bars
        matrix = np.array([[1, 0, (self._bars_speed * time_s - 0.5) * self.size_hw[0]], [0, 1, 0]])
        size_wh = self.size_hw[::-1]
        colours = np.asarray(cv2.warpAffine(colours, matrix, size_wh,
                                            borderMode=cv2.BORDER_WRAP), np.uint8)  # fmt: skip
        alpha = cv2.warpAffine(alpha, matrix, size_wh, borderMode=cv2.BORDER_WRAP)
        return cv2.blendLinear(colours, picture, alpha, 1 - alpha), truth * (1 - alpha)


def _ground(rng: np.random.Generator, photograph: Pixels, size_hw: tuple[int, int]) -> Pixels:
    """The photograph, large enough to pan over."""
    zoom = rng.uniform(1.15, 2.0)
    scale = zoom * max(size_hw[0] / photograph.shape[0], size_hw[1] / photograph.shape[1])
    if rng.random() < 0.5:
        photograph = photograph[:, ::-1]
    return np.asarray(cv2.resize(photograph, None, fx=scale, fy=scale), np.uint8)


def _bars(rng: np.random.Generator, size_hw: tuple[int, int]) -> tuple[Pixels, Alpha]:
    """Posts or a beam that stand before everything: colours and alpha."""
    height, width = size_hw
    alpha = np.zeros(size_hw, np.float32)
    for _ in range(rng.integers(1, 6)):
        x, lean = rng.uniform(0, width), rng.normal(0, 0.15) * height
        thick = max(2, round(rng.uniform(0.01, 0.09) * height))
        cv2.line(alpha, (round(x - lean), 0), (round(x + lean), height), 1.0, thick, cv2.LINE_AA)
    colour = rng.uniform(0, 255, 3)
    grain = cv2.GaussianBlur(rng.normal(0, 60, (height, width, 1)).astype(np.float32), (0, 0), 2)
    colours = np.clip(colour + grain[..., None], 0, 255).astype(np.uint8)
    return colours, alpha
