"""The motion from one frame to another, and masks carried along it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.errors import PromptMatteError
from promptmatte.matte.luma import Luma

Field = npt.NDArray[np.float32]
"""[h, w, 2]: an offset or a place x, y for each pixel, in pixels."""

MOTION_SHARE = 0.6
"""Motion is measured on a picture with sides of this share of the masks', down to its pixels:
as good at 192x110 as at 480x270 with a finest scale of 2, in half of the time, and after the
correction within a hundredth of the overlap that 240x138 gives."""


class FrameForgottenError(PromptMatteError, LookupError):
    """A mask of a frame whose motion to now is no longer, or was never, known."""


class Propagator:
    """The motion of one stream through time.

    Each frame adds the backward flow current -> previous (Kroeger et al. 2016, dense
    inverse search, OpenCV). Flows of the last `history_frames` frames are stored, so
    that a mask that arrives late is fast-forwarded through them. For frames named to
    `keep` the offsets to now are updated with every frame, which costs one remap and
    has no limit in time; a mask is then resampled once, however far it is carried.
    """

    def __init__(self, *, history_frames: int) -> None:
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._flow.setFinestScale(0)
        self._history: deque[tuple[int, Field]] = deque(maxlen=history_frames)
        self._kept: dict[int, Field] = {}
        self._previous: Luma | None = None
        self._previous_small: npt.NDArray[np.uint8] = np.zeros((0, 0), np.uint8)
        self._grid: Field = np.zeros((0, 0, 2), np.float32)
        self._mask_grid: Field = self._grid
        self._previous_origins: Field | None = None

    def reset(self) -> None:
        """Forgets every frame; the next one starts anew."""
        self._history.clear()
        self._kept.clear()
        self._previous = None

    @property
    def size_hw(self) -> tuple[int, int]:
        """Size of the masks it carries: that of Luma.small."""
        return self._mask_grid.shape[0], self._mask_grid.shape[1]

    def continues(self, luma: Luma) -> bool:
        """True when the frame follows the last one: same stream, same size, a later seq."""
        last = self._previous
        return (
            last is not None
            and last.info.stream_id == luma.info.stream_id
            and last.info.seq < luma.info.seq
            and last.pixels.shape == luma.pixels.shape
        )

    def advance(self, luma: Luma) -> None:
        """Makes this the current frame; starts anew when it does not follow the last one."""
        small = _shrunk(luma.small)
        self._previous_origins = None
        if self._previous is None or not self.continues(luma):
            self.reset()
            self._grid, self._mask_grid = grid(*small.shape), grid(*luma.small.shape)
            offset = np.zeros_like(self._grid)
        else:
            offset = self._flow.calc(small, self._previous_small, None)
            for seq, earlier in self._kept.items():
                self._kept[seq] = chained(offset, earlier, self._grid)
        self._history.append((luma.info.seq, offset))
        self._previous, self._previous_small = luma, small

    def holds(self, seq: int) -> bool:
        """True when a mask of frame `seq` can be carried to the current frame."""
        return seq in self._kept or any(seq == stored for stored, _ in self._history)

    def keep(self, seqs: Iterable[int]) -> None:
        """Holds on to these frames from now on and lets go of those kept before.

        Frames that are not held are passed over.
        """
        self._kept = {seq: self._offset_to(seq) for seq in set(seqs) if self.holds(seq)}

    def origins(self, seq: int) -> Field:
        """Where in frame `seq` each pixel of the current frame comes from.

        float32 [h, w, 2], x and y in pixels of the masks, a new array; cv2.remap with it
        carries a picture of frame `seq` to now. FrameForgottenError when it is not held.
        """
        if not self.holds(seq):
            newest = self._previous.info.seq if self._previous else None
            raise FrameForgottenError(
                f"expected a mask of one of the last {self._history.maxlen} frames up to "
                f"{newest}; got one of frame {seq}: encode a newer frame"
            )
        return enlarged(self._offset_to(seq), self._mask_grid)

    @property
    def flow(self) -> Field:
        """The offsets from the current frame to the one before, at the size of the motion."""
        return self._history[-1][1]

    def previous_origins(self) -> Field:
        """As `origins`, of the frame before the current one; the first frame's are its own.

        The same array for the whole of a frame."""
        if self._previous_origins is None:
            self._previous_origins = enlarged(self.flow, self._mask_grid)
        return self._previous_origins

    def carry(self, mask: npt.NDArray[np.float32], from_seq: int) -> npt.NDArray[np.float32]:
        """The mask as it lies in the current frame, a new array.

        mask: float32 [P, h, w] of frame from_seq, h, w = size_hw. What comes in over the
        border takes the value of the mask's border. FrameForgottenError when the frame is
        not held.
        """
        return carried(mask, self.origins(from_seq))

    def _offset_to(self, seq: int) -> Field:
        kept = self._kept.get(seq)
        if kept is not None:
            return kept
        offset = np.zeros_like(self._grid)
        for stored, flow in self._history:
            if stored > seq:
                offset = chained(flow, offset, self._grid)
        return offset


def chained(offset: Field, earlier: Field, where: Field) -> Field:
    """The offset two steps back: from here to there, and from there on. where: grid(h, w)."""
    there = cv2.add(where, offset)
    onward = cv2.remap(earlier, there, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    total: Field = cv2.add(offset, onward, dst=onward)
    return total


def enlarged(offset: Field, where: Field) -> Field:
    """The places that offsets lead to, at the size of where = grid(h, w); a new array."""
    height, width = where.shape[:2]
    share = (width / offset.shape[1], height / offset.shape[0], 0.0, 0.0)
    places = cv2.resize(offset, (width, height))
    cv2.multiply(places, share, dst=places)
    added: Field = cv2.add(places, where, dst=places)
    return added


def carried(mask: npt.NDArray[np.float32], origins: Field) -> npt.NDArray[np.float32]:
    """A mask float32 [P, h, w] resampled at its origins [h, w, 2], a new array."""
    moved = np.empty_like(mask)
    for channel, plane in zip(mask, moved, strict=True):
        cv2.remap(
            channel, origins, None, cv2.INTER_LINEAR, dst=plane, borderMode=cv2.BORDER_REPLICATE
        )
    return moved


def _shrunk(small: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    height, width = (max(12, round(MOTION_SHARE * side)) for side in small.shape)
    shrunk: npt.NDArray[np.uint8] = cv2.resize(small, (width, height), interpolation=cv2.INTER_AREA)
    return shrunk


def grid(height: int, width: int) -> Field:
    """The place x, y of each pixel itself."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    return np.ascontiguousarray(np.stack([columns, rows], axis=-1))
