"""What other keyers show between two encodes, on the same anchors at the same times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.config import PipelineConfig
from promptmatte.evaluation.measures import small_grey
from promptmatte.frame import Frame
from promptmatte.matte.still import still_matte
from promptmatte.matte.stream import Anchor
from promptmatte.models.protocol import Model
from promptmatte.prompts import PromptSet

Alpha = npt.NDArray[np.uint8]
"""[P, H, W], a plane a prompt, 0 to 255."""

Field = npt.NDArray[np.floating[Any]]


class Baseline(Protocol):
    """Another way to a matte of every frame of one clip."""

    def step(self, frame: Frame, arrived: Anchor | None) -> Alpha | None:
        """The alpha of this rgb8 frame; arrived: the anchor that is new; None without one."""
        ...


class StaleMask:
    """The newest mask, enlarged to the frame and not moved."""

    def __init__(self, floors: Sequence[float]) -> None:
        self._floors = floors
        self._mask: npt.NDArray[np.float32] | None = None

    def step(self, frame: Frame, arrived: Anchor | None) -> Alpha | None:
        """See Baseline."""
        if arrived is not None:
            self._mask = _mask(arrived, self._floors)
        return None if self._mask is None else _enlarged(self._mask, frame.size_hw)


class PlainChain:
    """The mask moved along the motion from frame to frame (DIS FAST), and nothing else.

    A late mask is moved through all the motion since its frame.
    """

    def __init__(self, floors: Sequence[float]) -> None:
        self._floors = floors
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._flows: list[tuple[int, Field]] = []
        self._grey: npt.NDArray[np.uint8] | None = None
        self._mask: npt.NDArray[np.float32] | None = None
        self._where: Field = np.zeros((0, 0, 2), np.float32)

    def step(self, frame: Frame, arrived: Anchor | None) -> Alpha | None:
        """See Baseline. A picture of another size starts a new chain."""
        grey, last = small_grey(frame), self._grey
        self._grey = grey
        rows, columns = np.mgrid[: grey.shape[0], : grey.shape[1]].astype(np.float32)
        here = np.stack([columns, rows], axis=-1)
        if last is None or last.shape != grey.shape:
            self._flows, self._where = [], here
        else:
            back = here + self._flow.calc(grey, last, None)
            self._flows.append((frame.info.seq, back))
            self._where = _through(self._where, back)
        if arrived is not None:
            self._mask = _mask(arrived, self._floors)
            self._flows = [(seq, back) for seq, back in self._flows if seq > arrived.at.seq]
            self._where = here
            for _, back in self._flows:
                self._where = _through(self._where, back)
        if self._mask is None:
            return None
        planes = [cv2.resize(plane, grey.shape[::-1]) for plane in self._mask]
        moved = [
            cv2.remap(plane, self._where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            for plane in planes
        ]
        return _enlarged(np.stack(moved), frame.size_hw)


class EveryFrame:
    """The model on every frame, without delay: the matte of each as a still picture."""

    def __init__(self, config: PipelineConfig, *, model: Model, prompts: PromptSet) -> None:
        self._config = config
        self._model = model
        self._prompts = prompts

    def step(self, frame: Frame, arrived: Anchor | None) -> Alpha | None:  # noqa: ARG002
        """See Baseline."""
        scene = self._model.encode(frame)
        matte = still_matte(self._model, scene, frame, self._prompts, config=self._config)
        return planes_of(matte.alpha, len(self._prompts.prompts))


def planes_of(alpha: npt.NDArray[np.generic], prompts: int) -> Alpha:
    """The alpha uint8 [H, W, C] of a matte as planes [P, H, W]."""
    planes = np.moveaxis(np.asarray(alpha, np.uint8), -1, 0)[:prompts]
    if len(planes) == prompts:
        return planes
    return np.zeros((prompts, *planes.shape[1:]), np.uint8)  # a matte of no prompts


def _mask(anchor: Anchor, floors: Sequence[float]) -> npt.NDArray[np.float32]:
    """The anchor's masks float32 [P, h, w], 0 to 1, empty below the confidence floor of each."""
    confidence = np.array(anchor.decoded.confidence)
    shown = (confidence >= floors).astype(np.float32)
    mask = shown[:, None, None] / (1 + np.exp(-np.clip(anchor.decoded.logits, -30, 30)))
    return np.asarray(mask, np.float32)


def _enlarged(mask: npt.NDArray[np.float32], size_hw: tuple[int, int]) -> Alpha:
    planes = [cv2.resize(plane * 255, size_hw[::-1]) for plane in mask]
    return np.rint(planes).astype(np.uint8)


def _through(earlier: Field, back: Field) -> Field:
    """Where in the anchor's frame each pixel comes from, one frame on."""
    return np.asarray(
        cv2.remap(earlier, back, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    )
