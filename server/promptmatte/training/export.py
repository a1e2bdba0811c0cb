"""Networks as ONNX files, for ONNX Runtime on a CPU."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from timm.layers import Conv2dSame
from torch import Tensor, nn

from promptmatte.matte import correction_engine
from promptmatte.matte.correction_network import CorrectionNetwork
from promptmatte.models.embedded_encoder import OUTPUTS, PICTURE
from promptmatte.models.embedded_network import EmbeddedNetwork
from promptmatte.onnx_session import WEIGHTS_KEY, sha256_of

OPSET = 17
SMALL = 1024
"""Constants of fewer values stay as they are."""


def _with_fixed_padding(network: nn.Module) -> nn.Module:
    """The network, TensorFlow's "same" padding written out for sizes in multiples of its strides.

    As timm has it, it is worked out from every input's size, which ONNX Runtime cannot fold into
    the convolution.
    """
    for name, part in network.named_children():
        if isinstance(part, Conv2dSame):
            plain = nn.Conv2d(
                part.in_channels, part.out_channels, part.kernel_size, part.stride,
                groups=part.groups, bias=part.bias is not None,
            )  # fmt: skip
            plain.load_state_dict(part.state_dict())
            more = part.kernel_size[0] - part.stride[0]
            sides = (more // 2, more - more // 2)
            setattr(network, name, nn.Sequential(nn.ZeroPad2d((*sides, *sides)), plain))
        else:
            _with_fixed_padding(part)
    return network


class _Encoder(nn.Module):
    """Frames uint8 [1, H, W, 3] -> pixels [1, dim, H/4, W/4] and summary [1, dim]."""

    def __init__(self, network: EmbeddedNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, frame: Tensor) -> tuple[Tensor, Tensor]:
        features = self.network.encode_image(frame.permute(0, 3, 1, 2).float())
        return features.pixels, features.summary


class _Features(nn.Module):
    """Pictures uint8 [1, h, w, 3] -> correction_engine.FEATURES."""

    def __init__(self, network: CorrectionNetwork) -> None:
        super().__init__()
        self.encoder = network.encoder

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features: tuple[Tensor, Tensor, Tensor] = self.encoder(
            picture.permute(0, 3, 1, 2).float() / 255
        )
        return features


class _Masks(nn.Module):
    """CorrectionEngine.correct, for W prompts at once."""

    def __init__(self, network: CorrectionNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, quarter: Tensor, eighth: Tensor, key: Tensor, keys: Tensor, values: Tensor,
        origins: Tensor, evidence: Tensor, which: Tensor,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        unlike, found = self.network.read(key, (keys, values), origins)
        count = which.shape[0]
        height, width = key.shape[2:]
        found = found.reshape(-1, 4, height, width)[which]
        logits, quality = self.network.correct(
            quarter.expand(count, -1, -1, -1),
            eighth.expand(count, -1, -1, -1),
            unlike.expand(count, -1, -1, -1),
            found,
            evidence,
        )
        return torch.sigmoid(logits), torch.sigmoid(quality)


def export_encoder(network: EmbeddedNetwork, path: Path, *, weights: Path) -> None:
    """Writes the encoder of a network, whose weights file is named in it by its SHA-256.

    Any size in multiples of 32 goes in. Constants are stored in fp16 and widened on load, as in
    the weights file, whose values are fp16 too.
    """
    encoder = _with_fixed_padding(_Encoder(copy.deepcopy(network)).eval())
    inputs = {PICTURE: torch.zeros(1, 256, 320, 3, dtype=torch.uint8)}
    axes = {PICTURE: {1: "height", 2: "width"}, OUTPUTS[0]: {2: "rows", 3: "columns"}}
    _export(encoder, inputs, OUTPUTS, axes, path, weights=weights, halved=True)


def export_correction(network: CorrectionNetwork, weights: Path) -> None:
    """Writes both halves of a fused network beside its weights file.

    Any size in multiples of 8 goes in, and any number of prompts.
    """
    engine = correction_engine.TorchCorrection(network)
    picture = np.zeros((64, 96, 3), np.uint8)
    features = engine.features(picture)
    memory = engine.memory(features, np.zeros((2, 64, 96), np.float32))
    features_path, masks_path = correction_engine.onnx_paths(weights)
    rows = {2: "rows", 3: "columns"}
    quarter = {2: "quarter_rows", 3: "quarter_columns"}
    named = dict(
        zip(
            correction_engine.ASKED,
            (
                features.quarter, features.eighth, features.key, *memory,
                torch.zeros(1, 2, 8, 12), torch.zeros(2, 4, 64, 96), torch.tensor([0, 1]),
            ),
            strict=True,
        )
    )  # fmt: skip
    _export(
        _Features(network),
        {correction_engine.PICTURE: torch.from_numpy(picture)[None]},
        correction_engine.FEATURES,
        {
            correction_engine.PICTURE: {1: "height", 2: "width"},
            "quarter": quarter, "eighth": rows, "key": rows,
        },
        features_path,
        weights=weights,
    )  # fmt: skip
    _export(
        _Masks(network),
        named,
        correction_engine.CORRECTED,
        {
            "quarter": quarter, "eighth": rows, "key": rows, "origins": rows,
            "keys": {1: "cells", 2: "length"}, "values": {1: "cells", 2: "length"},
            "evidence": {0: "prompts", 2: "height", 3: "width"}, "which": {0: "prompts"},
        },
        masks_path,
        weights=weights,
    )  # fmt: skip


def _export(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    axes: Mapping[str, Mapping[int, str]],
    path: Path,
    *,
    weights: Path,
    halved: bool = False,
) -> None:
    import onnx

    partial = path.with_suffix(".partial")
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            str(partial),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={name: dict(sizes) for name, sizes in axes.items()},
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load(str(partial))
    if halved:
        _halve(model)
    onnx.helper.set_model_props(model, {WEIGHTS_KEY: sha256_of(weights)})
    onnx.save(model, str(partial))
    partial.replace(path)


def _halve(model: object) -> None:
    """Stores large float32 constants as fp16, each with a cast back that ONNX Runtime folds."""
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph  # type: ignore[attr-defined]
    casts = []
    for constant in graph.initializer:
        if constant.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(constant)
        if values.size < SMALL:
            continue
        name = constant.name
        constant.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    for cast in reversed(casts):
        graph.node.insert(0, cast)
