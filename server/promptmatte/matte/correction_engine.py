"""What runs the correction network: torch on any device, or ONNX Runtime on a CPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from promptmatte.matte.correction_network import CorrectionNetwork, mask_cells
from promptmatte.matte.correction_weights import load_correction_network, weights_path
from promptmatte.onnx_session import OnnxSession

Floats = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]

FEATURES = ("quarter", "eighth", "key")
PICTURE = "picture"
CORRECTED = ("masks", "quality")
ASKED = (*FEATURES, "keys", "values", "origins", "evidence", "which")


@dataclass(frozen=True, kw_only=True, eq=False)
class Features:
    """What an engine knows of a picture: for itself only."""

    quarter: Any
    eighth: Any
    key: Any


class CorrectionEngine(Protocol):
    """CorrectionNetwork for pictures uint8 RGB [h, w, 3], sides multiples of 8."""

    def features(self, picture: Picture) -> Features:
        """What there is to know of a picture."""
        ...

    def memory(self, features: Features, masks: Floats) -> tuple[Any, Any]:
        """What is remembered of a picture with masks [P, h, w], 0 to 1: for itself only."""
        ...

    def correct(
        self,
        features: Features,
        memory: tuple[Any, Any],
        origins: Floats,
        evidence: Floats,
        which: Sequence[int],
    ) -> tuple[Floats, Floats]:
        """Masks [W, h, w], 0 to 1, and the overlap to expect of each [W], for W of the P prompts.

        origins: [2, h/8, w/8], the cell of the remembered picture that each comes from;
        evidence: [W, 4, h, w], see CorrectionNetwork.correct.
        """
        ...


class TorchCorrection:
    """The reference: the network itself, on any device."""

    def __init__(self, network: CorrectionNetwork, *, device: str = "cpu") -> None:
        self._network = network.to(device).to(memory_format=torch.channels_last)
        self._device = device

    @torch.inference_mode()
    def features(self, picture: Picture) -> Features:
        """See CorrectionEngine."""
        # Already channels-last: permuting is a view, where a copy would take 1 ms.
        levels = torch.from_numpy(picture).to(self._device).float().div_(255)
        quarter, eighth, key = self._network.encoder(levels.permute(2, 0, 1)[None])
        return Features(quarter=quarter, eighth=eighth, key=key)

    @torch.inference_mode()
    def memory(self, features: Features, masks: Floats) -> tuple[Tensor, Tensor]:
        """See CorrectionEngine."""
        return self._network.memory(features.key, remembered(masks, self._device))

    @torch.inference_mode()
    def correct(
        self,
        features: Features,
        memory: tuple[Tensor, Tensor],
        origins: Floats,
        evidence: Floats,
        which: Sequence[int],
    ) -> tuple[Floats, Floats]:
        """See CorrectionEngine."""
        origin = torch.from_numpy(origins).to(self._device)[None]
        unlike, found = self._network.read(features.key, memory, origin)
        masks, quality = [], []
        # Four at once take longer than one by one.
        for index, planes in zip(which, torch.from_numpy(evidence).to(self._device), strict=True):
            logits, value = self._network.correct(
                features.quarter,
                features.eighth,
                unlike,
                found[:, 4 * index : 4 * index + 4],
                planes[None],
            )
            masks.append(torch.sigmoid(logits))
            quality.append(torch.sigmoid(value))
        return torch.cat(masks).cpu().numpy(), torch.cat(quality).cpu().numpy()


class OnnxCorrection:
    """The same in ONNX Runtime, on the thread that asks."""

    def __init__(
        self, network: CorrectionNetwork, *, features: OnnxSession, masks: OnnxSession
    ) -> None:
        self._network = network
        self._features, self._masks = features, masks

    def features(self, picture: Picture) -> Features:
        """See CorrectionEngine."""
        quarter, eighth, key = self._features.run(FEATURES, {PICTURE: picture[np.newaxis]})
        return Features(quarter=quarter, eighth=eighth, key=key)

    @torch.inference_mode()
    def memory(self, features: Features, masks: Floats) -> tuple[Floats, Floats]:
        """See CorrectionEngine."""
        keys, values = self._network.memory(torch.from_numpy(features.key), remembered(masks))
        return keys.numpy(), values.numpy()

    def correct(
        self,
        features: Features,
        memory: tuple[Floats, Floats],
        origins: Floats,
        evidence: Floats,
        which: Sequence[int],
    ) -> tuple[Floats, Floats]:
        """See CorrectionEngine."""
        values = (
            features.quarter, features.eighth, features.key, *memory,
            origins[np.newaxis], evidence, np.asarray(which),
        )  # fmt: skip
        masks, quality = self._masks.run(CORRECTED, dict(zip(ASKED, values, strict=True)))
        return masks, quality


def load_correction(*, device: str = "cpu", weights: Path | None = None) -> CorrectionEngine:
    """What runs the network of a weights file, by default the shipped one; ModelError.

    On a CPU ONNX Runtime, where the files beside the weights were made from them.
    """
    path = weights or weights_path()
    network = load_correction_network(path)
    files = onnx_paths(path)
    if device == "cpu" and all(file.is_file() for file in files):
        features, masks = (OnnxSession(file, threads=1) for file in files)
        if features.belongs_to(path) and masks.belongs_to(path):
            return OnnxCorrection(network, features=features, masks=masks)
    return TorchCorrection(network, device=device)


def onnx_paths(weights: Path) -> tuple[Path, Path]:
    """Where the two halves of a network in ONNX are, beside its weights."""
    return (
        weights.with_name(f"{weights.stem}-features.onnx"),
        weights.with_name(f"{weights.stem}-masks.onnx"),
    )


def remembered(masks: Floats, device: str = "cpu") -> Tensor:
    """Masks [P, h, w] as CorrectionNetwork.memory takes them."""
    cells = mask_cells(torch.from_numpy(masks).to(device)[:, None])
    return cells.flatten(0, 1)[None]
