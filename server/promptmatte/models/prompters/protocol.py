"""What every prompter does: turn the texts of prompts into masks on features of SAM and CLIP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

from promptmatte.models.protocol import Decoded
from promptmatte.prompts import PromptSet

if TYPE_CHECKING:
    from promptmatte.models.clip import ClipNetwork
    from promptmatte.models.sam import SamFeatures, SamNetwork


@dataclass(frozen=True, kw_only=True, eq=False)
class SamClipFeatures:
    """One frame as both networks see it: SAM's embedding, and dense CLIP features
    [1, dim, h, w] float32, unit vectors over the whole picture without padding."""

    sam: SamFeatures
    clip: Tensor

    @classmethod
    def of(
        cls, pixels: npt.NDArray[np.uint8], *, sam: SamNetwork, clip: ClipNetwork
    ) -> SamClipFeatures:
        """The features of a frame uint8 [H, W, 3] RGB; SAM's guide CLIP's attention."""
        features = sam.encode(pixels)
        rows, columns = features.grid_hw
        guide = features.embedding[..., :rows, :columns]
        return cls(sam=features, clip=clip.dense(pixels, guide=guide))


class Prompter(Protocol):
    """One way for text to reach SAM; called from one thread at a time."""

    @property
    def name(self) -> str:
        """The name as chosen with --prompter."""
        ...

    def embed(self, prompts: PromptSet) -> Any:
        """The prompts in the prompter's own terms; texts seen before come from a cache."""
        ...

    def decode(self, features: SamClipFeatures, prompts: PromptSet, vectors: Any) -> Decoded:
        """Logits and confidence of each prompt; vectors are what embed made of the same prompts."""
        ...
