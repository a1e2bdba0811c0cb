"""ClipNetwork: dense image features, pooled image features and text vectors in one space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from torch import Tensor, nn

from promptmatte.models.clip.dense import (
    guide_attention,
    merged,
    neighbours_gathered,
    queries_keys_values,
    window,
)
from promptmatte.models.clip.texts import PhraseVectors, Tokenizer
from promptmatte.models.clip.tower import (
    checked_tower,
    input_hw,
    position_embedding,
    tokens_before_last,
)
from promptmatte.models.lane import Lane
from promptmatte.models.precision import DTYPES, resolved


class ClipNetwork:
    """An open_clip model on one device; called from one thread at a time.

    clip: a CLIP or CustomTextCLIP with open_clip's own VisionTransformer, which becomes this
    object's; ModelError for others. tokenizer: texts to token ids. precision of the image
    tower: auto, fp32, bf16, fp16; texts stay fp32, as they are few and kept. mean, std: of the
    pixels in 0..1; by default those that the model came with, else OpenAI's.
    """

    def __init__(
        self,
        clip: nn.Module,
        tokenizer: Tokenizer,
        *,
        name: str,
        device: str,
        precision: str = "fp32",
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        model: Any = clip
        self.name = name
        self.device = torch.device(device)
        self._visual: Any = checked_tower(model.visual, name)
        self._clip = clip.requires_grad_(False).eval().to(self.device)
        self._dtype = DTYPES[resolved(precision, self.device)]
        self._lane = Lane(device)
        self._visual.to(self._dtype)
        self._block: Any = self._visual.transformer.resblocks[-1]
        mean = mean or getattr(model.visual, "image_mean", None) or OPENAI_DATASET_MEAN
        std = std or getattr(model.visual, "image_std", None) or OPENAI_DATASET_STD
        self._mean, self._std = (
            torch.tensor(values, device=self.device).view(1, 3, 1, 1) * 255
            for values in (mean, std)
        )
        self._phrases = PhraseVectors(clip, tokenizer, self.device)
        self._position: tuple[tuple[int, int], Tensor, Tensor] | None = None
        self.dim: int = self._visual.proj.shape[1]
        self.patch: int = self._visual.patch_size[0]
        self.image_side: int = self._visual.image_size[0]
        self.logit_scale = float(model.logit_scale.detach().float().exp().reshape(-1)[0])

    @torch.no_grad()
    def dense(self, pixels: npt.NDArray[np.uint8], *, guide: Tensor | None = None) -> Tensor:
        """Unit vectors [1, dim, h, w] float32 of the places of a picture, uint8 [H, W, 3] RGB,
        in the space of the texts.

        h, w: patches of the picture shrunk to the tower's working size; with a guide, features
        [1, D, gh, gw] of another encoder over the same picture, gh, gw.
        """
        height, width = input_hw(self._visual, *pixels.shape[:2])
        shrinks = height * width < pixels.shape[0] * pixels.shape[1]
        small = cv2.resize(
            pixels, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        )
        tensor = self._lane.upload(small).permute(2, 0, 1).unsqueeze(0)
        rows, columns = height // self.patch, width // self.patch
        position, nearness = self._of_grid(rows, columns)
        tokens = tokens_before_last(self._visual, self._normalised(tensor), position)
        _, keys, values = queries_keys_values(self._block, tokens[:, 1:])
        if guide is None:
            gathered = neighbours_gathered(keys, values, nearness)
        else:
            gathered = guide_attention(guide, rows, columns).to(values.dtype) @ values
            rows, columns = guide.shape[-2:]
        features = self._visual.ln_post(merged(self._block, gathered)) @ self._visual.proj
        grid = features.float().transpose(1, 2).reshape(1, self.dim, rows, columns)
        return F.normalize(grid, dim=1)

    @torch.no_grad()
    def texts(self, phrases: Sequence[str]) -> Tensor:
        """Unit vectors [N, dim] float32 of phrases, each the mean of several sentences with it;
        the last 512 phrases are kept."""
        return (
            self._phrases.of(phrases) if phrases else torch.zeros(0, self.dim, device=self.device)
        )

    @torch.no_grad()
    def images(self, crops: Tensor) -> Tensor:
        """Unit vectors [N, dim] float32 of whole pictures, uint8 [N, 3, S, S] RGB; best with S
        of image_side, else resized to it."""
        pixels = crops.float()
        if pixels.shape[-2:] != (self.image_side, self.image_side):
            side = (self.image_side, self.image_side)
            pixels = F.interpolate(pixels, side, mode="bicubic", antialias=True).clamp(0, 255)
        model: Any = self._clip
        features = model.encode_image(self._normalised(pixels.to(self.device)))
        return F.normalize(features.float(), dim=-1)

    def _normalised(self, pixels: Tensor) -> Tensor:
        return ((pixels.float() - self._mean) / self._std).to(self._dtype)

    def _of_grid(self, rows: int, columns: int) -> tuple[Tensor, Tensor]:
        """Position embedding and Gaussian window of a grid; a stream has one grid, so one is
        kept."""
        if self._position is None or self._position[0] != (rows, columns):
            position = position_embedding(self._visual, rows, columns)
            self._position = ((rows, columns), position, window(rows, columns, position))
        return self._position[1:]
