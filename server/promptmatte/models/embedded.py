"""The embedded model: shipped weights, any text prompt, no network, CPU or GPU."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from promptmatte.errors import ModelError
from promptmatte.frame import MAX_CHANNELS, Frame, PixelFormat
from promptmatte.models.combine import combined
from promptmatte.models.embedded_network import (
    EmbeddedArchitecture,
    EmbeddedNetwork,
    ImageFeatures,
)
from promptmatte.models.protocol import Decoded, PromptEmbedding, Scene
from promptmatte.models.text_cache import TextCache
from promptmatte.prompts import Prompt, PromptSet
from promptmatte.training.vocabulary import SYNONYMS


def weights_path() -> Path:
    """Where the shipped weights lie; ModelError when they are missing."""
    path = Path(__file__).parent / "weights" / "embedded.safetensors"
    if not path.is_file():
        raise ModelError(
            f"expected the embedded model's weights at {path}; they are missing: install "
            "promptmatte again, or give your own with --weights"
        )
    return path


def save_weights(network: EmbeddedNetwork, path: Path, metadata: dict[str, Any]) -> None:
    """Writes fp16 weights with the architecture and metadata (JSON values) in the file."""
    partial = path.with_suffix(".partial")
    partial.parent.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: value.half().contiguous() if value.is_floating_point() else value.contiguous()
        for name, value in network.state_dict().items()
    }
    save_file(
        tensors,
        partial,
        metadata={
            "format": "promptmatte-embedded-1",
            "architecture": json.dumps(network.architecture.as_dict()),
            "metadata": json.dumps(metadata),
        },
    )
    partial.replace(path)


def load_network(path: Path) -> EmbeddedNetwork:
    """The network of a weights file, in float32, ready to use; ModelError if it does not fit."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != "promptmatte-embedded-1":
                raise ModelError(
                    f"expected {path} to be weights of the embedded model "
                    f"(promptmatte-embedded-1); got {metadata.get('format', 'another file')!r}"
                )
            network = EmbeddedNetwork(EmbeddedArchitecture(**json.loads(metadata["architecture"])))
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        network.load_state_dict(tensors)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"expected embedded weights in {path}; cannot read them: {error}"
        ) from error
    except RuntimeError as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(
            f"expected weights that fit the architecture in {path}; {error}"
        ) from error
    return network.float().eval()


class EmbeddedModel:
    """Model protocol over one EmbeddedNetwork."""

    def __init__(self, network: EmbeddedNetwork, *, device: str = "cpu") -> None:
        self._network = network.eval().to(memory_format=torch.channels_last).to(device)
        self._device = torch.device(device)
        self._texts = TextCache(self._tokens)

    @classmethod
    def load(cls, *, device: str, weights: Path | None = None) -> EmbeddedModel:
        """The model of a weights file, by default the shipped one; ModelError."""
        return cls(load_network(weights or weights_path()), device=device)

    @property
    def name(self) -> str:
        """embedded"""
        return "embedded"

    @property
    def device(self) -> str:
        """The torch device."""
        return str(self._device)

    @property
    def presence_batch(self) -> int:
        """A set of prompts: each text is decoded by itself."""
        return MAX_CHANNELS

    @property
    def words(self) -> tuple[str, ...]:
        """The things it was trained on."""
        return tuple(SYNONYMS)

    @torch.inference_mode()
    def encode(self, frame: Frame) -> Scene:
        """The Scene of an rgb8 frame: ImageFeatures of the whole frame, shrunk to the network."""
        if frame.format is not PixelFormat.RGB8:
            raise ModelError(f"expected an rgb8 frame; got {frame.format.name.lower()}")
        height, width = self._network.architecture.input_hw(*frame.size_hw)
        shrinks = height * width < frame.size_hw[0] * frame.size_hw[1]
        pixels = cv2.resize(
            frame.pixels,
            (width, height),
            interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC,
        )
        # The array is already channels-last: permuting it is a view, not a copy.
        tensor = torch.from_numpy(pixels).to(self._device).float().permute(2, 0, 1).unsqueeze(0)
        return Scene(
            info=frame.info, size_hw=frame.size_hw, features=self._network.encode_image(tensor)
        )

    @torch.inference_mode()
    def embed(self, prompts: PromptSet) -> PromptEmbedding:
        """Virtual-point tokens [T, 2, dim] of every term of the set."""
        tokens = self._texts.of(prompts.terms)
        vectors = torch.stack(tokens) if tokens else None
        return PromptEmbedding(prompts=prompts, vectors=vectors)

    def _tokens(self, texts: list[str]) -> Tensor:
        ids = self._network.text_tower.tokenize(texts)
        return self._network.encode_text(ids.to(self._device))

    @torch.inference_mode()
    def decode(self, scene: Scene, embedding: PromptEmbedding) -> Decoded:
        """Logits [P, h, w] and confidence, combined from those of the terms."""
        if not embedding.prompts.prompts:
            return Decoded(logits=np.zeros((0, 1, 1), np.float32), confidence=())
        features: ImageFeatures = scene.features
        tokens: Tensor = embedding.vectors
        count = torch.tensor([len(tokens)], device=self._device)
        masks, quality = self._network.decode(features.repeated(count), tokens)
        best = quality.argmax(dim=1)
        logits = masks[torch.arange(len(tokens), device=self._device), best].float()
        confidence = quality.max(dim=1).values.float().clamp(0, 1)
        return combined(embedding.prompts, logits.cpu().numpy(), confidence.tolist())

    def presence(self, scene: Scene, texts: Sequence[str]) -> tuple[float, ...]:
        """The confidence of each text, decoded as a prompt of its own."""
        prompts = PromptSet(prompts=tuple(Prompt(text=text) for text in texts))
        return self.decode(scene, self.embed(prompts)).confidence
