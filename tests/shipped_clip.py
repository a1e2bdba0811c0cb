"""A moving clip of the photographs in scikit-image, and masks as a model would find them."""

import cv2
import numpy as np
import numpy.typing as npt
from promptmatte.frame import Frame, FrameInfo
from promptmatte.models.protocol import Decoded
from promptmatte.training.cut_outs import shipped_things
from promptmatte.training.moving_clips import Hardness, MovingClip

FRAME_NS = 33_333_333
CALM = Hardness(
    speed=0.5, pan=0.3, swing=0.3, blur=0.4, occluder=0.0, strobe=0.0, shake=0.0, leaving=0.0
)


def shipped_clip(seed: int, hardness: Hardness = CALM, *, thing: int = 0) -> MovingClip:
    """The astronaut (0) or the cat (1) before the coffee."""
    things, grounds = shipped_things()
    return MovingClip(seed, things=[things[thing]], backgrounds=grounds[:2], hardness=hardness)


def as_frame(pixels: npt.NDArray[np.uint8], seq: int) -> Frame:
    """A frame of a stream at 30 fps."""
    info = FrameInfo(stream_id=1, seq=seq, pts_ns=seq * FRAME_NS, captured_ns=seq * FRAME_NS)
    return Frame(info=info, pixels=pixels)


def decoded(truth: npt.NDArray[np.float32], confidence: float = 0.9) -> Decoded:
    """A true alpha [H, W] as a model's logits at half the size."""
    small = cv2.resize(truth, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return Decoded(logits=(12 * (small - 0.5))[np.newaxis], confidence=(confidence,))


def overlap(alpha: npt.NDArray[np.uint8], truth: npt.NDArray[np.float32]) -> float:
    """IoU at half alpha; 1 when both are empty."""
    found, real = alpha >= 128, truth >= 0.5
    union = int((found | real).sum())
    return float((found & real).sum() / union) if union else 1.0
