"""The embedded model: shipped weights, the words of its lexicon, no network, CPU or GPU."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from promptmatte.errors import ModelError
from promptmatte.frame import Frame, PixelFormat
from promptmatte.models.combine import combined
from promptmatte.models.embedded_encoder import ImageEncoder, OnnxEncoder, TorchEncoder
from promptmatte.models.embedded_terms import TermReader
from promptmatte.models.embedded_words import EmbeddedArchitecture, EmbeddedWords, ImageFeatures
from promptmatte.models.lexicon import Lexicon
from promptmatte.models.protocol import Decoded, PromptEmbedding, Scene
from promptmatte.prompts import Prompt, PromptSet

if TYPE_CHECKING:
    from promptmatte.models.embedded_network import EmbeddedNetwork

FORMAT = "promptmatte-embedded-2"

Part = TypeVar("Part", bound=EmbeddedWords)


def weights_path() -> Path:
    """Where the shipped weights lie; ModelError when they are missing."""
    path = Path(__file__).parent / "weights" / "embedded.safetensors"
    if not path.is_file():
        raise ModelError(
            f"expected the embedded model's weights at {path}; they are missing: install "
            "promptmatte again, or give your own with --weights"
        )
    return path


def encoder_path(weights: Path) -> Path:
    """Where the encoder for ONNX Runtime lies that belongs to a weights file."""
    return weights.with_suffix(".onnx")


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
            "format": FORMAT,
            "architecture": json.dumps(network.architecture.as_dict()),
            "metadata": json.dumps(metadata),
        },
    )
    partial.replace(path)


def load_network(path: Path) -> tuple[EmbeddedNetwork, dict[str, Any]]:
    """The network of a weights file, in float32, ready to use, and the metadata it was saved with;
    ModelError if it does not fit."""
    from promptmatte.models.embedded_network import EmbeddedNetwork

    return _load(path, EmbeddedNetwork, whole=True)


def load_words(path: Path) -> tuple[EmbeddedWords, dict[str, Any]]:
    """The same without what encodes frames."""
    return _load(path, EmbeddedWords, whole=False)


def _load(
    path: Path, make: Callable[[EmbeddedArchitecture], Part], *, whole: bool
) -> tuple[Part, dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            if header.get("format") != FORMAT:
                raise ModelError(
                    f"expected {path} to be weights of the embedded model ({FORMAT}); got "
                    f"{header.get('format', 'another file')!r}: train them with this version"
                )
            architecture = EmbeddedArchitecture.from_dict(json.loads(header["architecture"]))
            metadata = json.loads(header["metadata"])
            network = make(architecture)
            wanted = file.keys() if whole else network.state_dict().keys() & file.keys()
            tensors = {key: file.get_tensor(key) for key in wanted}
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
    return network.float().eval(), metadata


class EmbeddedModel:
    """Model protocol over one EmbeddedNetwork.

    calibration: (slope, offset) that make probabilities of its presence logits. encoder: by
    default the network itself, which need be no more than the words where one is given.
    """

    def __init__(
        self,
        network: EmbeddedWords,
        *,
        device: str = "cpu",
        calibration: tuple[float, float] = (1.0, 0.0),
        encoder: ImageEncoder | None = None,
    ) -> None:
        self._network = network.eval().to(device)
        self._device = torch.device(device)
        self._encoder = encoder or TorchEncoder(self._network, self._device)
        concepts = network.architecture.concepts
        self._lexicon = Lexicon(concepts)
        self._reader = TermReader(self._network, calibration)

    @classmethod
    def load(cls, *, device: str, weights: Path | None = None) -> EmbeddedModel:
        """The model of a weights file, by default the shipped one; ModelError.

        On a CPU the encoder beside the weights runs in ONNX Runtime, if it was made from them.
        """
        path = weights or weights_path()
        encoder: OnnxEncoder | None = None
        if device == "cpu" and encoder_path(path).is_file():
            encoder = OnnxEncoder(encoder_path(path))
            encoder = encoder if encoder.belongs_to(path) else None
        network, metadata = load_words(path) if encoder else load_network(path)
        slope, offset = metadata.get("calibration", (1.0, 0.0))
        return cls(network, device=device, calibration=(slope, offset), encoder=encoder)

    @property
    def name(self) -> str:
        """embedded"""
        return "embedded"

    @property
    def device(self) -> str:
        """The torch device."""
        return str(self._device)

    @property
    def encoder(self) -> str:
        """What encodes its frames: OnnxEncoder or TorchEncoder."""
        return type(self._encoder).__name__

    @property
    def presence_batch(self) -> int:
        """All that the engine asks at a time: a word more costs next to nothing."""
        return 64

    @property
    def words(self) -> tuple[str, ...]:
        """The things it was trained on."""
        return self._network.architecture.concepts

    def unknown_words(self, text: str) -> tuple[str, ...]:
        """The words of a prompt that mean nothing to it."""
        return self._lexicon.meaning(text).unknown

    def taken_as(self, text: str) -> str | None:
        """What it takes a prompt for, where that is not what it says; None where it is."""
        return self._lexicon.meaning(text).taken_as

    @property
    def encode_batch(self) -> int:
        """Frames of a pass: one on a CPU, where a pass of several takes as long as one each."""
        return 1 if self._device.type == "cpu" else 8

    def encode(self, frame: Frame) -> Scene:
        """The Scene of an rgb8 frame: ImageFeatures of the whole frame, shrunk to the network."""
        features = self._encoder(self._shrunk(frame))
        return Scene(info=frame.info, size_hw=frame.size_hw, features=features)

    def encode_many(self, frames: Sequence[Frame]) -> list[Scene]:
        """The Scene of each frame; those that the network sees in one size share a pass."""
        encoder = self._encoder
        if not isinstance(encoder, TorchEncoder):
            return [self.encode(frame) for frame in frames]
        small = [self._shrunk(frame) for frame in frames]
        features: dict[int, ImageFeatures] = {}
        for shape in {picture.shape for picture in small}:
            alike = [index for index, picture in enumerate(small) if picture.shape == shape]
            found = encoder.many([small[index] for index in alike])
            features.update(zip(alike, found, strict=True))
        return [
            Scene(info=frame.info, size_hw=frame.size_hw, features=features[index])
            for index, frame in enumerate(frames)
        ]

    def _shrunk(self, frame: Frame) -> npt.NDArray[np.uint8]:
        if frame.format is not PixelFormat.RGB8:
            raise ModelError(f"expected an rgb8 frame; got {frame.format.name.lower()}")
        height, width = self._network.architecture.input_hw(*frame.size_hw)
        pixels: npt.NDArray[np.uint8] = np.asarray(frame.pixels, np.uint8)
        if frame.size_hw == (height, width):
            return pixels
        shrinks = height * width < frame.size_hw[0] * frame.size_hw[1]
        how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        return np.asarray(cv2.resize(pixels, (width, height), interpolation=how), np.uint8)

    def embed(self, prompts: PromptSet) -> PromptEmbedding:
        """The Meaning of every term of the set."""
        vectors = tuple(self._lexicon.meaning(term) for term in prompts.terms)
        return PromptEmbedding(prompts=prompts, vectors=vectors)

    def decode(self, scene: Scene, embedding: PromptEmbedding) -> Decoded:
        """Logits [P, h, w] and confidence, combined from those of the terms."""
        if not embedding.prompts.terms:
            return combined(embedding.prompts)
        logits, confidence = self._reader.read(scene.features, embedding.vectors)
        return combined(embedding.prompts, logits, confidence)

    def presence(self, scene: Scene, texts: Sequence[str]) -> tuple[float, ...]:
        """The confidence of each text, decoded as a prompt of its own."""
        meanings = tuple(self._lexicon.meaning(Prompt(text=text).text) for text in texts)
        return tuple(self._reader.read(scene.features, meanings)[1])
