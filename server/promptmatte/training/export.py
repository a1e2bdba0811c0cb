"""The image side of the embedded model as an ONNX file, for ONNX Runtime on a CPU."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

import numpy as np
import torch
from timm.layers import Conv2dSame
from torch import Tensor, nn

from promptmatte.models.embedded_encoder import OUTPUTS, PICTURE, WEIGHTS_KEY, sha256_of
from promptmatte.models.embedded_network import EmbeddedNetwork

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


def export_encoder(network: EmbeddedNetwork, path: Path, *, weights: Path) -> None:
    """Writes the encoder of a network, whose weights file is named in it by its SHA-256.

    Any size in multiples of 32 goes in. Constants are stored in fp16 and widened on load, as in
    the weights file, whose values are fp16 too.
    """
    import onnx

    encoder = _with_fixed_padding(_Encoder(copy.deepcopy(network)).eval())
    axes = {PICTURE: {1: "height", 2: "width"}, OUTPUTS[0]: {2: "rows", 3: "columns"}}
    partial = path.with_suffix(".partial")
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            encoder,
            (torch.zeros(1, 256, 320, 3, dtype=torch.uint8),),
            str(partial),
            input_names=[PICTURE],
            output_names=list(OUTPUTS),
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load(str(partial))
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
