"""Seeded moving pictures with a known matte, a model that keys colours, and a link that collects.

Inputs of the matte and pipeline tests: nothing here stands in for a part of PromptMatte.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from promptmatte.clock import RealClock
from promptmatte.errors import SourceEnded, SourceError
from promptmatte.frame import Frame, FrameInfo, Matte
from promptmatte.links.protocol import CommandHandler, LinkStatus
from promptmatte.models.protocol import Decoded, PromptEmbedding, Scene
from promptmatte.prompts import PromptSet

SIZE_HW = (176, 320)
COLOURS = {"red": (200, 40, 40), "blue": (40, 40, 200)}
FRAME_NS = 16_666_667


class MovingScene:
    """A textured red blob, and a blue one that stands still, on a textured picture.

    The red one moves `speed` pixels a frame to and fro and turns; index -> picture.
    """

    def __init__(
        self, *, size_hw: tuple[int, int] = SIZE_HW, speed: float = 4.0, seed: int = 7
    ) -> None:
        self.size_hw = size_hw
        self._speed = speed
        rng = np.random.default_rng(seed)
        self._ground = self._texture(rng, (110, 120, 110), 60)
        self._red = self._texture(rng, COLOURS["red"], 35)
        self._blue = self._texture(rng, COLOURS["blue"], 35)

    def _texture(
        self, rng: np.random.Generator, colour: Sequence[int], contrast: float
    ) -> npt.NDArray[np.float32]:
        noise = rng.standard_normal(self.size_hw).astype(np.float32)
        noise = cv2.GaussianBlur(noise, (0, 0), 2.5 * self.size_hw[0] / 180)
        grain = (contrast * noise / np.abs(noise).max())[..., None]
        return np.asarray(colour, np.float32) + grain.astype(np.float32)

    def red_alpha(self, index: int) -> npt.NDArray[np.float32]:
        """True alpha [H, W] of the red blob."""
        return _warped(_ellipse(self.size_hw), self._pose(index))

    def picture(self, index: int) -> npt.NDArray[np.uint8]:
        """uint8 [H, W, 3]."""
        pose = self._pose(index)
        alpha = _warped(_ellipse(self.size_hw), pose)[..., None]
        red = cv2.warpAffine(self._red, pose, self.size_hw[::-1], borderMode=cv2.BORDER_REFLECT_101)
        picture = self._ground.copy()
        height, width = self.size_hw
        corner = np.s_[: height // 5, : width // 6]
        picture[corner] = self._blue[corner]
        return np.clip(red * alpha + picture * (1 - alpha), 0, 255).astype(np.uint8)

    def frame(self, index: int, *, stream_id: int = 1, captured_ns: int | None = None) -> Frame:
        """The picture as frame number `index`."""
        when_ns = index * FRAME_NS if captured_ns is None else captured_ns
        info = FrameInfo(
            stream_id=stream_id, seq=index, pts_ns=index * FRAME_NS, captured_ns=when_ns
        )
        return Frame(info=info, pixels=self.picture(index))

    def _pose(self, index: int) -> npt.NDArray[np.float64]:
        height, width = self.size_hw
        span = 0.4 * width
        way = (index * self._speed) % (2 * span)
        shift = min(way, 2 * span - way)
        turn_deg = 20 * np.sin(index * self._speed / 60)
        pose = cv2.getRotationMatrix2D((0.3 * width, 0.6 * height), turn_deg, 1.0)
        pose[0, 2] += shift
        return pose


class ColourModel:
    """Keys a colour by its name: 'red', 'blue'; any other word is found nowhere.

    A frame is encoded to a quarter of its size; logits are the nearness to the colour.
    fail_with: raised by encode and decode while set. encoded: seq of every encode.
    """

    name = "colour"
    device = "cpu"
    words = ("blue", "red", "zebra")
    presence_batch = 2

    def __init__(self, *, encode_gate: Callable[[], None] | None = None) -> None:
        self.fail_with: Exception | None = None
        self.encoded: list[int] = []
        self.decoded: list[tuple[int, int]] = []
        self.threads: set[str] = set()
        self._encode_gate = encode_gate

    def encode(self, frame: Frame) -> Scene:
        self._check_in()
        self.encoded.append(frame.info.seq)
        if self._encode_gate is not None:
            self._encode_gate()
        height, width = frame.size_hw
        small = cv2.resize(frame.pixels, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        features = small.astype(np.float32)
        return Scene(info=frame.info, size_hw=frame.size_hw, features=features)

    def unknown_words(self, text: str) -> tuple[str, ...]:
        return tuple(word for word in text.split() if word not in (*COLOURS, "thing"))

    def taken_as(self, text: str) -> str | None:
        known = [word for word in text.split() if word in COLOURS]
        return " ".join(known) if known and self.unknown_words(text) else None

    def embed(self, prompts: PromptSet) -> PromptEmbedding:
        return PromptEmbedding(
            prompts=prompts, vectors=[COLOURS.get(p.text) for p in prompts.prompts]
        )

    def decode(self, scene: Scene, embedding: PromptEmbedding) -> Decoded:
        self._check_in()
        self.decoded.append((scene.info.seq, embedding.prompts.version))
        logits = np.full((len(embedding.vectors), *scene.features.shape[:2]), -9.0, np.float32)
        for channel, colour in enumerate(embedding.vectors):
            if colour is not None:
                away = np.linalg.norm(scene.features - np.float32(colour), axis=-1)
                logits[channel] = (70.0 - away) / 6.0
        confidence = tuple(0.0 if colour is None else 0.9 for colour in embedding.vectors)
        return Decoded(logits=logits, confidence=confidence)

    def presence(self, scene: Scene, texts: Sequence[str]) -> tuple[float, ...]:
        self._check_in()
        return tuple(0.9 if text in COLOURS else 0.0 for text in texts)

    def _check_in(self) -> None:
        self.threads.add(threading.current_thread().name)
        if self.fail_with is not None:
            raise self.fail_with


class SceneSource:
    """Frames of a MovingScene in real time, `fps` a second, until told otherwise.

    script: called with the index before each frame; it may raise. index_of: which picture
    frame n shows.
    """

    name = "scene:"

    def __init__(
        self,
        scene: MovingScene,
        *,
        stream_id: int = 1,
        frames: int | None = None,
        fps: float = 60.0,
        lose_at: int | None = None,
        index_of: Callable[[int], int] = lambda n: n,
    ) -> None:
        self._scene = scene
        self._stream_id = stream_id
        self._frames = frames
        self._period_s = 1.0 / fps
        self._lose_at = lose_at
        self._index_of = index_of
        self._clock = RealClock()
        self._next = 0
        self.closed = False

    def read(self, timeout_s: float) -> Frame | None:
        if self._next == self._lose_at:
            raise SourceError("the cable was pulled")
        if self._next == self._frames:
            raise SourceEnded("the scene is over")
        self._clock.sleep_s(self._period_s)
        seq, self._next = self._next, self._next + 1
        info = FrameInfo(
            stream_id=self._stream_id,
            seq=seq,
            pts_ns=seq * FRAME_NS,
            captured_ns=self._clock.now_ns(),
        )
        return Frame(info=info, pixels=self._scene.picture(self._index_of(seq)))

    def close(self) -> None:
        self.closed = True


class CollectingLink:
    """Keeps every matte it is sent; raises `fail_with` instead while that is set."""

    def __init__(self, address: str = "collect:") -> None:
        self.address = address
        self.mattes: list[Matte] = []
        self.fail_with: Exception | None = None

    @property
    def status(self) -> LinkStatus:
        return LinkStatus(connected=True, sent=len(self.mattes))

    def latest_frame(self, timeout_s: float = 0.0) -> Frame | None:
        return None

    def send_matte(self, matte: Matte) -> None:
        if self.fail_with is not None:
            raise self.fail_with
        self.mattes.append(matte)

    def serve(self, handler: CommandHandler) -> None:
        raise NotImplementedError

    def request(self, command: Mapping[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    def close(self) -> None:
        pass


def iou(alpha: npt.NDArray[Any], truth: npt.NDArray[Any]) -> float:
    """Intersection over union at half of each one's range."""
    top = 255.0 if alpha.dtype == np.uint8 else 1.0
    found, real = alpha / top >= 0.5, truth >= 0.5
    return float((found & real).sum() / max(1, (found | real).sum()))


def _ellipse(size_hw: tuple[int, int]) -> npt.NDArray[np.float32]:
    height, width = size_hw
    alpha = np.zeros(size_hw, np.float32)
    centre = (round(0.3 * width), round(0.6 * height))
    axes = (round(0.12 * width), round(0.28 * height))
    cv2.ellipse(alpha, centre, axes, 15, 0, 360, 1.0, -1, cv2.LINE_AA)
    return cv2.GaussianBlur(alpha, (0, 0), 0.8)


def _warped(
    alpha: npt.NDArray[np.float32], pose: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    return cv2.warpAffine(alpha, pose, alpha.shape[::-1])
