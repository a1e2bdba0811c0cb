"""One turn of the matte loop: what live mattes and their evaluation have in common."""

from __future__ import annotations

from collections import deque

from promptmatte.frame import Frame
from promptmatte.keyframes import KeyframeWorker
from promptmatte.matte.draft import Draft
from promptmatte.matte.stream import MatteStream


class Delay:
    """Holds frames back for a number of frames, so that their keyframes can arrive.

    Frames go to the keyframe worker as they come and to the matte stream from here.
    """

    def __init__(self) -> None:
        self._waiting: deque[Frame] = deque()

    def put(self, frame: Frame, latency: int) -> list[Frame]:
        """The frames whose turn it is, oldest first: all but the newest `latency`."""
        self._waiting.append(frame)
        return [self._waiting.popleft() for _ in range(len(self._waiting) - latency)]

    def flush(self) -> list[Frame]:
        """The frames that still wait, oldest first."""
        frames = list(self._waiting)
        self._waiting.clear()
        return frames


def follow_with_keyframes(
    frame: Frame, *, stream: MatteStream, keyframes: KeyframeWorker, late: bool = False
) -> Draft | None:
    """The draft of the stream's matte of this rgb8 frame, its newest anchor taken before.

    late: as in MatteStream.follow. The keyframe worker is told which Scene is of no use, when a
    new shot needs one, and when a thing was lost.
    """
    anchor = keyframes.anchors.take(0.0)
    if anchor is not None and not stream.anchor(
        anchor.info, anchor.decoded, anchor.prompts, at=anchor.at
    ):
        keyframes.refuse(anchor.info)
    expected = keyframes.at
    if expected is not None:
        stream.hold(expected)
    shot_start = stream.shot_start
    draft = stream.follow(frame, late=late)
    if stream.shot_start is not shot_start:
        keyframes.require(frame.info)
    elif stream.lost:
        keyframes.hurry()
    return draft
