"""What turns a frame into the embedded model's features: torch, or ONNX Runtime on a CPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from promptmatte.errors import ModelError
from promptmatte.models.embedded_words import EmbeddedWords, ImageFeatures
from promptmatte.onnx_session import OnnxSession

PICTURE = "frame"
OUTPUTS = ("pixels", "summary")


class ImageEncoder(Protocol):
    """A frame uint8 RGB [H, W, 3], sides multiples of 32, in; its features, B = 1, out."""

    def __call__(self, pixels: npt.NDArray[np.uint8]) -> ImageFeatures: ...


class TorchEncoder:
    """The reference: the network itself, on any device."""

    def __init__(self, network: EmbeddedWords, device: torch.device) -> None:
        """ModelError for words alone."""
        from promptmatte.models.embedded_network import EmbeddedNetwork

        if not isinstance(network, EmbeddedNetwork):
            raise ModelError("expected a whole network to encode with; got its words alone")
        self._network = network.to(memory_format=torch.channels_last)
        self._device = device

    @torch.inference_mode()
    def __call__(self, pixels: npt.NDArray[np.uint8]) -> ImageFeatures:
        # torch takes no read-only memory, and a frame of the network's own size is that. The
        # array is already channels-last: permuting it is a view, not a copy.
        own = pixels if pixels.flags.writeable else pixels.copy()
        tensor: Tensor = torch.from_numpy(own).to(self._device).float()
        return self._network.encode_image(tensor.permute(2, 0, 1).unsqueeze(0))

    @torch.inference_mode()
    def many(self, pictures: Sequence[npt.NDArray[np.uint8]]) -> list[ImageFeatures]:
        """The features of each of several frames of one size, from one pass."""
        tensor: Tensor = torch.from_numpy(np.stack(pictures)).to(self._device).float()
        found = self._network.encode_image(tensor.permute(0, 3, 1, 2))
        return [
            ImageFeatures(pixels=found.pixels[[index]], summary=found.summary[[index]])
            for index in range(len(pictures))
        ]


class OnnxEncoder:
    """The same network in ONNX Runtime, on as many threads as torch has; ModelError."""

    def __init__(self, path: Path) -> None:
        self._session = OnnxSession(path, threads=torch.get_num_threads())

    def belongs_to(self, weights: Path) -> bool:
        """True if it was made from this weights file."""
        return self._session.belongs_to(weights)

    def __call__(self, pixels: npt.NDArray[np.uint8]) -> ImageFeatures:
        found, summary = self._session.run(OUTPUTS, {PICTURE: pixels[None]})
        return ImageFeatures(pixels=torch.from_numpy(found), summary=torch.from_numpy(summary))
