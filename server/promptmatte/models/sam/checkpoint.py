"""Reading a Sam from a file of weights as its makers publish it."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from segment_anything.modeling import Sam
from torch import Tensor

from promptmatte.errors import ModelError, shown
from promptmatte.models.precision import DTYPES, resolved
from promptmatte.models.protocol import Progress, no_progress
from promptmatte.models.sam.architecture import VitArchitecture, check_kind, sam_of
from promptmatte.models.sam.light import (
    MARK,
    PREFIX,
    SIDE,
    LightArchitecture,
    LightImageEncoder,
    renamed,
)
from promptmatte.models.sam.network import SamNetwork

Weights = Mapping[str, Tensor]

PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)
"""Of the levels 0..255 of red, green and blue; no file holds them."""

PLACED_SHARE = 0.95
"""How far loading is when all tensors are on the device."""


def load_sam(
    path: Path,
    *,
    kind: str,
    device: str,
    precision: str = "auto",
    compiled: bool = False,
    progress: Progress = no_progress,
) -> SamNetwork:
    """The network in a PyTorch file with segment_anything's or MobileSAM's names, on the device.

    kind: sam-vit-b, sam-vit-l, sam-vit-h or mobile-sam. Sizes come from the file, so that small
    and retrained ones load too. ModelError when it holds another public model, is damaged or no
    such file. The file is mapped and its tensors go to the device one by one in their final
    format: nothing is held twice. compiled: at the first encode, see EncoderRun.
    """
    stage = f"reading {kind}"
    progress(stage, 0.0)
    weights = read_weights(path)
    try:
        sam = empty_sam(weights, kind)
    except (KeyError, ValueError, IndexError, ZeroDivisionError) as error:
        raise ModelError(
            f"expected the weights of a Sam in {path}; they are of something else "
            f"(at {shown(str(error))}): choose the file for --model {kind}"
        ) from error
    light = isinstance(sam.image_encoder, LightImageEncoder)
    place = torch.device(device)
    format_ = torch.float32 if light else DTYPES[resolved(precision, place)]
    tensors = renamed(weights) if light else dict(weights)
    fill(sam, tensors, path=path, place=place, format_=format_, progress=progress, stage=stage)
    if light:
        sam.image_encoder.fuse()
    network = SamNetwork(sam, kind=kind, device=device, precision=precision, compiled=compiled)
    progress(stage, 1.0)
    return network


def read_weights(path: Path) -> Weights:
    """The tensors of a file by name, mapped and not yet read; nothing in it is run. ModelError."""
    try:
        # Files of the format before PyTorch 1.6 are no archives and cannot be mapped.
        mapped = zipfile.is_zipfile(path)
        held = torch.load(path, map_location="cpu", mmap=mapped, weights_only=True)
    except UnpicklingError as error:
        # PyTorch's own message tells how to run the code in such a file.
        raise _unreadable(path, "it is damaged, or holds more than tensors") from error
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise _unreadable(path, str(error).strip().split("\n")[0] or "it is empty") from error
    if not isinstance(held, dict) or not all(isinstance(v, Tensor) for v in held.values()):
        raise ModelError(f"expected a state dict of tensors in {path}; got {shown(type(held))}")
    return held


def _unreadable(path: Path, reason: str) -> ModelError:
    return ModelError(
        f"expected a file of PyTorch weights at {path}; cannot read it ({reason[:200]}): "
        "fetch it again"
    )


def empty_sam(weights: Weights, kind: str) -> Any:
    """A Sam of the file's sizes, without memory for its weights unless it is a light one.

    KeyError, ValueError, IndexError or ZeroDivisionError when the tensors are not of a Sam.
    """
    sam: Any
    if MARK in weights:
        check_kind(kind, "mobile-sam")
        # A TinyViT fills buffers while it is built, so it cannot be built without memory.
        sam = sam_of(LightImageEncoder(LightArchitecture.of(weights)), weights, side=SIDE)
    else:
        architecture = VitArchitecture.of(weights)
        check_kind(kind, architecture.public_name)
        if kind == "mobile-sam":
            raise ModelError(
                "expected mobile-sam; the file holds a Sam of another kind: "
                "choose --model sam-vit-b, sam-vit-l or sam-vit-h"
            )
        with torch.device("meta"):
            sam = sam_of(architecture.built(), weights, side=architecture.side)
    sam.pixel_mean = torch.tensor(PIXEL_MEAN).view(3, 1, 1)
    sam.pixel_std = torch.tensor(PIXEL_STD).view(3, 1, 1)
    return sam


def fill(
    sam: Sam,
    tensors: dict[str, Tensor],
    *,
    path: Path,
    place: torch.device,
    format_: torch.dtype,
    progress: Progress,
    stage: str,
) -> None:
    """Copies tensors into a Sam, on the device, the encoder's but for its neck in the format."""
    total_bytes = max(1, sum(value.nbytes for value in tensors.values()))
    done_bytes = 0
    for key, value in tensors.items():
        in_format = key.startswith(PREFIX) and not key.startswith(PREFIX + "neck.")
        if value.is_floating_point():
            tensors[key] = value.to(place, format_ if in_format else torch.float32, copy=True)
        done_bytes += value.nbytes
        progress(stage, PLACED_SHARE * done_bytes / total_bytes)
    model: Any = sam
    try:
        model.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        lines = str(error).splitlines()
        raise ModelError(
            f"expected weights that fit a Sam in {path}; {' '.join(lines[1:3]).strip()[:300]}"
        ) from error
