"""The projection prompter: trained weights turn a text into a prompt of SAM's own kind."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from promptmatte.errors import ModelError
from promptmatte.models.clip import ClipNetwork
from promptmatte.models.combine import combined
from promptmatte.models.prompters.projection_network import GridFeatures, ProjectionNetwork
from promptmatte.models.prompters.projection_weights import Fit, load_projection
from promptmatte.models.prompters.protocol import SamClipFeatures
from promptmatte.models.protocol import Decoded
from promptmatte.models.sam import SamNetwork
from promptmatte.prompts import PromptSet


class ProjectionPrompter:
    """Prompter protocol over one ProjectionNetwork for one SAM and one CLIP.

    All terms of a set are one batch of SAM's decoder. Of its three masks the one is kept whose
    quality for the text, as the network predicts it, is the highest; that is the confidence.
    """

    def __init__(self, *, sam: SamNetwork, clip: ClipNetwork, network: ProjectionNetwork) -> None:
        self._sam = sam
        self._clip = clip
        self._network = network.eval().to(sam.device)

    @classmethod
    def load(cls, path: Path | None, *, sam: SamNetwork, clip: ClipNetwork) -> ProjectionPrompter:
        """The prompter of a weights file; ModelError without one, or if it is for others."""
        if path is None:
            raise ModelError(
                "expected --projection FILE with the prompter projection, as none comes with "
                "PromptMatte: make one with promptmatte train projection --data DIR "
                f"--sam {sam.kind} --clip {clip.name}, or choose --prompter dense"
            )
        network = load_projection(path, fit=Fit.of(sam, clip))
        return cls(sam=sam, clip=clip, network=network)

    @property
    def name(self) -> str:
        """projection"""
        return "projection"

    @torch.no_grad()
    def embed(self, prompts: PromptSet) -> Tensor:
        """Words [T, dim] of every term of the set; CLIP keeps the texts it has seen."""
        return self._network.words(self._clip.texts(prompts.terms).to(self._sam.device))

    @torch.no_grad()
    def decode(self, features: SamClipFeatures, prompts: PromptSet, vectors: Tensor) -> Decoded:
        """Logits [P, h, w] over the picture and confidence, combined from those of the terms."""
        if not prompts.terms:
            return combined(prompts)
        seen = GridFeatures.of(
            image=features.sam.embedding, clip=features.clip, grid_hw=features.sam.grid_hw
        )
        found = self._network.decode(self._sam, seen, vectors)
        confidence, best = found.quality.max(dim=1)
        logits = found.masks[torch.arange(len(best), device=best.device), best]
        pictures = features.sam.cropped(logits).float().cpu().numpy()
        return combined(prompts, pictures, confidence.tolist())
