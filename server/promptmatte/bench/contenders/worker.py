"""A model in a process of its own: pictures in at stdin, masks out at stdout.

    python worker.py NAME ...

Numbers are little-endian. First it writes a u32 and so many bytes of JSON: {"models": names,
"weights": {name: what they are}, "versions": {package: version}, "pid": its process}. Then for
every picture it reads u32 height, u32 width and the RGB bytes, and writes for each model f64
milliseconds and its mask float32 [height, width], 0..1. It ends with stdin.

As a file by itself it needs only the libraries of the model, so that those which go with nothing
else, as MediaPipe, can have an environment of their own.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, BinaryIO

Mask = Callable[[Any], Any]
"""From a picture uint8 RGB [H, W, 3], read-only, to an array [H, W], 0..1 or bool."""

RANDOM = "random"
PERSON_TOKENS = (49406, 2533, 49407)
"""CLIP's tokens of "person", between those of start and end."""


def mediapipe(selection: int) -> tuple[Mask, str, tuple[str, ...]]:
    """Selfie segmentation: 0 sees 256x256, 1 sees 256x144. Its graphs have no input of an earlier
    mask (0.10.14, selfie_segmentation_cpu): one instance answers every picture as a new one would,
    bit for bit the same on portraits shown in two orders."""
    import mediapipe

    model = mediapipe.solutions.selfie_segmentation.SelfieSegmentation(model_selection=selection)
    return (
        lambda picture: model.process(picture).segmentation_mask,
        "real, in its package",
        ("mediapipe", "numpy"),
    )


def sam_predictor() -> tuple[Mask, str, tuple[str, ...]]:
    """set_image and predict on every frame, a point in its middle."""
    import numpy as np
    import torch
    from segment_anything import SamPredictor, sam_model_registry

    torch.manual_seed(0)
    predictor = SamPredictor(sam_model_registry["vit_b"]())

    def mask(picture: Any) -> Any:
        predictor.set_image(picture)
        point = np.array([[picture.shape[1] / 2, picture.shape[0] / 2]])
        return predictor.predict(point, np.array([1]), multimask_output=True)[0][0]

    return mask, RANDOM, ("segment-anything", "torch")


def clipseg() -> tuple[Mask, str, tuple[str, ...]]:
    """The shape of clipseg-rd64-refined, at its 352 pixels."""
    import torch
    from transformers import CLIPSegConfig, CLIPSegForImageSegmentation

    torch.manual_seed(0)
    config = CLIPSegConfig(
        vision_config={"patch_size": 16}, use_complex_transposed_convolution=True
    )
    model = CLIPSegForImageSegmentation(config).eval()
    tokens = torch.tensor([PERSON_TOKENS])

    def mask(picture: Any) -> Any:
        logits = model(input_ids=tokens, pixel_values=_square(picture, 352)).logits
        return _enlarged(logits.reshape(1, 1, *logits.shape[-2:]).sigmoid(), picture)

    return mask, RANDOM, ("transformers", "torch")


def sam2() -> tuple[Mask, str, tuple[str, ...]]:
    """Sam2Model of the default config, Hiera tiny at 1024 pixels, a point on every frame."""
    import torch
    from transformers import Sam2Config, Sam2Model

    torch.manual_seed(0)
    model = Sam2Model(Sam2Config()).eval()
    point, label = torch.full((1, 1, 1, 2), 512.0), torch.ones(1, 1, 1, dtype=torch.int64)

    def mask(picture: Any) -> Any:
        found = model(pixel_values=_square(picture, 1024), input_points=point, input_labels=label)
        return _enlarged(found.pred_masks[:, 0, :1].sigmoid(), picture)

    return mask, RANDOM, ("transformers", "torch")


def sam3() -> tuple[Mask, str, tuple[str, ...]]:
    """Sam3Model of the default config, which is the public one, at 1008 pixels, "person" on every
    frame."""
    import torch
    from transformers import Sam3Config, Sam3Model

    torch.manual_seed(0)
    model = Sam3Model(Sam3Config()).eval()
    tokens = torch.tensor([PERSON_TOKENS])

    def mask(picture: Any) -> Any:
        found = model(
            pixel_values=_square(picture, 1008),
            input_ids=tokens,
            attention_mask=torch.ones_like(tokens),
        )
        best = found.pred_logits[0].argmax()
        return _enlarged(found.pred_masks[:, best : best + 1].sigmoid(), picture)

    return mask, RANDOM, ("transformers", "torch")


def robust_video_matting() -> tuple[Mask, str, tuple[str, ...]]:
    """MattingNetwork on MobileNetV3, its recurrent state kept, half the size inside."""
    if find_spec("model") is None:
        raise ImportError(
            "no package of the registry has RobustVideoMatting: put a checkout of it on PYTHONPATH"
        )
    import torch
    from model import MattingNetwork

    torch.manual_seed(0)
    model = MattingNetwork("mobilenetv3", pretrained_backbone=False).eval()
    state: list[Any] = [None] * 4

    def mask(picture: Any) -> Any:
        frame = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255
        _, alpha, *state[:] = model(frame, *state, downsample_ratio=0.5)
        return alpha[0, 0].numpy()

    return mask, RANDOM, ("torch",)


def embedded() -> tuple[Mask, str, tuple[str, ...]]:
    """PromptMatte's default model on every frame, as cut does with a picture."""
    import numpy as np

    from promptmatte.config import PipelineConfig
    from promptmatte.frame import Frame, FrameInfo
    from promptmatte.matte.still import still_matte
    from promptmatte.models import load_model
    from promptmatte.models.choice import ModelChoice
    from promptmatte.prompts import Prompt, PromptSet

    model = load_model(ModelChoice(device="cpu"))
    prompts = PromptSet(version=1, prompts=(Prompt(text="person"),))
    info = FrameInfo(stream_id=0, seq=0, pts_ns=0, captured_ns=0)

    def mask(picture: Any) -> Any:
        frame = Frame(info=info, pixels=picture)
        matte = still_matte(model, model.encode(frame), frame, prompts, config=PipelineConfig())
        return np.asarray(matte.alpha[..., 0], np.float32) / 255

    return mask, "real, in its package", ("onnxruntime", "torch")


MODELS: dict[str, Callable[[], tuple[Mask, str, tuple[str, ...]]]] = {
    "PromptMatte embedded, every frame encoded": embedded,
    "MediaPipe general": lambda: mediapipe(0),
    "MediaPipe landscape": lambda: mediapipe(1),
    "SAM ViT-B, SamPredictor per frame": sam_predictor,
    "CLIPSeg": clipseg,
    "SAM 2 tiny": sam2,
    "SAM 3": sam3,
    "RobustVideoMatting": robust_video_matting,
}


def _square(picture: Any, side: int) -> Any:
    """A tensor [1, 3, side, side] about zero: the spread of its values costs no time."""
    import cv2
    import torch

    small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(small).permute(2, 0, 1)[None].float() / 127.5 - 1


def _enlarged(mask: Any, picture: Any) -> Any:
    """An array of the picture's size of a tensor [1, 1, h, w]."""
    import cv2

    return cv2.resize(mask[0, 0].numpy(), picture.shape[1::-1])


def protocol_channel() -> BinaryIO:
    """stdout for the protocol alone: what libraries print goes to stderr from now on."""
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return channel


def main(names: list[str]) -> None:
    """Answers pictures until stdin ends."""
    out = protocol_channel()
    import numpy as np

    loaded = {name: MODELS[name]() for name in names}
    if "torch" in sys.modules:
        sys.modules["torch"].set_grad_enabled(False)
    hello = {
        "models": names,
        "weights": {name: weights for name, (_, weights, _) in loaded.items()},
        "versions": {p: version(p) for _, _, packages in loaded.values() for p in packages},
        "pid": os.getpid(),
    }
    text = json.dumps(hello).encode()
    out.write(struct.pack("<I", len(text)) + text)
    out.flush()
    while header := sys.stdin.buffer.read(8):
        height, width = struct.unpack("<II", header)
        pixels = np.frombuffer(sys.stdin.buffer.read(height * width * 3), np.uint8)
        picture = pixels.reshape(height, width, 3)
        for mask, _, _ in loaded.values():
            start_ns = time.perf_counter_ns()
            found = mask(picture)
            ms = (time.perf_counter_ns() - start_ns) / 1e6
            out.write(struct.pack("<d", ms) + np.ascontiguousarray(found, "<f4").tobytes())
        out.flush()


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ImportError as error:
        sys.exit(f"{type(error).__name__}: {error}")
