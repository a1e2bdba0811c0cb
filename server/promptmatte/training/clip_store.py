"""Rendered clips for training, kept in a folder: small pictures, true mattes and the motion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.config import PipelineConfig
from promptmatte.frame import Frame, FrameInfo
from promptmatte.matte.luma import Luma, small_size_hw
from promptmatte.matte.propagation import Field, Propagator, chained, enlarged, grid
from promptmatte.training.cut_outs import Photographs
from promptmatte.training.moving_clips import Hardness, MovingClip

FRAMES = 32
STORED_SIDE_PX = 320
"""Longer side of what is kept: somewhat more than the matte loop uses."""

OTHER_THING_CHANCE = (0.5, 0.2)
"""How often a second and a third thing walks about."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredClip:
    """pictures uint8 [N, h, w, 3] and truths uint8 [N, h, w] at the size of Luma.small;
    flows float16 [N, fh, fw, 2], backward, as Propagator measures them."""

    pictures: npt.NDArray[np.uint8]
    truths: npt.NDArray[np.uint8]
    flows: npt.NDArray[np.float16]

    @classmethod
    def of(cls, pictures: npt.NDArray[np.uint8], truths: npt.NDArray[np.uint8]) -> StoredClip:
        """Pictures and truths of the same size as the matte loop sees them."""
        propagator = Propagator(history_frames=2)
        seen, flows = [], []
        for index, pixels in enumerate(pictures):
            info = FrameInfo(stream_id=1, seq=index, pts_ns=0, captured_ns=0)
            luma = Luma.of(Frame(info=info, pixels=pixels), PipelineConfig().flow_side_px)
            propagator.advance(luma)
            seen.append(luma.small_rgb)
            flows.append(propagator.flow.astype(np.float16))
        size_wh = seen[0].shape[1::-1]
        small = [cv2.resize(truth, size_wh, interpolation=cv2.INTER_AREA) for truth in truths]
        return cls(pictures=np.stack(seen), truths=np.stack(small), flows=np.stack(flows))

    def origins(self, seq: int, now: int) -> Field:
        """Where in frame `seq` each pixel of the later frame `now` comes from, [h, w, 2]."""
        where = grid(*self.flows.shape[1:3])
        offset = np.zeros_like(where)
        for flow in self.flows[seq + 1 : now + 1]:
            offset = chained(flow.astype(np.float32), offset, where)
        height, width = self.truths.shape[1:]
        return enlarged(offset, grid(height, width))


def drawn_clip(
    photographs: Photographs, seed: int, *, hardness: Hardness | None = None
) -> MovingClip:
    """The clip of a seed: one thing or a part of it to follow, up to two others, a ground."""
    rng = np.random.default_rng(seed)
    things = [photographs.draw_thing(rng)]
    things += [
        photographs.draw_thing(rng) for chance in OTHER_THING_CHANCE if rng.random() < chance
    ]
    grounds = [photographs.draw_ground(rng) for _ in range(2)]
    return MovingClip(
        int(rng.integers(1 << 31)), things=things, backgrounds=grounds, hardness=hardness
    )


class ClipStore:
    """Clips of the seeds 0 to count - 1 in a folder; those that are there are not rendered anew."""

    def __init__(self, folder: Path, photographs: Photographs, *, count: int) -> None:
        self._folder = folder
        self._photographs = photographs
        self.count = count
        folder.mkdir(parents=True, exist_ok=True)

    def clip(self, seed: int) -> StoredClip:
        """The clip of one seed, rendered if need be."""
        path = self._folder / f"{seed:05d}.npz"
        try:
            with path.open("rb") as file, np.load(file) as arrays:
                return StoredClip.of(arrays["pictures"], arrays["truths"])
        except (OSError, BadZipFile, KeyError):
            pictures, truths = rendered(drawn_clip(self._photographs, seed))
        partial = path.with_suffix(".partial.npz")
        np.savez(partial, pictures=pictures, truths=truths)
        partial.replace(path)
        return StoredClip.of(pictures, truths)

    def all(self, progress: Callable[[], None]) -> list[StoredClip]:
        """Every clip in memory, 8 MB each; progress is called once a clip."""
        clips = []
        for seed in range(self.count):
            clips.append(self.clip(seed))
            progress()
        return clips


def rendered(
    clip: MovingClip, frames: int = FRAMES
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """The first pictures of a clip and its truths, 0 to 255, at STORED_SIDE_PX."""
    height, width = small_size_hw(clip.size_hw, STORED_SIDE_PX)
    pictures = np.empty((frames, height, width, 3), np.uint8)
    truths = np.empty((frames, height, width), np.uint8)
    for index in range(frames):
        pixels, truth = clip.frame_at(index)
        size_wh = (width, height)
        pictures[index] = cv2.resize(pixels, size_wh, interpolation=cv2.INTER_AREA)
        truth = cv2.resize(truth, size_wh, interpolation=cv2.INTER_AREA)
        truths[index] = np.rint(255 * truth)
    return pictures, truths
