"""SAM 3's parts, called one by one: picture once, text once, then the detector for every term."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from promptmatte.models.combine import ABSENT_LOGITS
from promptmatte.models.precision import DTYPES, resolved

TEXT_TOKENS = 32
"""Tokens a phrase is filled up or cut to, start and end included, as SAM 3's processor does."""

KEPT_SCORE = 0.5
"""An instance from this score on is part of the mask whatever the best one has: the threshold
of SAM 3's own demo."""

KEPT_SHARE = 0.8
"""Where no score comes near that, instances count from this share of the best one on, so that
the confidence alone decides whether something is there, and here only what belongs to it."""

FAINT_SHARE = 0.6
"""An instance fades out down to this share of the score that is kept whole: one whose score
hovers about a limit must not blink."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sam3Features:
    """One picture as the detector reads it: feature maps [1, C, h, w] from fine to coarse, in
    the encoder's precision, and the position encoding [1, C, h, w] of the coarsest."""

    levels: tuple[Tensor, ...]
    position: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Sam3Words:
    """Phrases as the detector reads them: vectors float32 [N, TEXT_TOKENS, C] and a mask bool
    [N, TEXT_TOKENS], False where a phrase is filled up."""

    vectors: Tensor
    mask: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class _Instances:
    """What the detector proposes for N phrases: queries [N, Q, C], their scores float32 [N, Q],
    and the picture [N, h * w, C] as read with each phrase in mind."""

    queries: Tensor
    scores: Tensor
    picture: Tensor


class Sam3Network:
    """A Sam3Model or Sam3LiteTextModel with its processor, on one device in one precision.

    precision: auto, fp32, bf16 or fp16, of the weights of the image and the text encoder; the
    detector (4 % of the weights) keeps float32 ones and computes under autocast, as SAM 3's
    own code does: boxes in bfloat16 would lie on a grid of 4 px.
    """

    def __init__(
        self, detector: Any, processor: Any, *, device: str, precision: str = "fp32"
    ) -> None:
        # Any: transformers is an optional extra, and not typed.
        self._detector = detector.eval().requires_grad_(False)
        self._tokenizer = processor.tokenizer
        side = detector.config.image_size
        self._size_hw = [side, side] if isinstance(side, int) else list(side)
        self.device = torch.device(device)
        self.to_precision(precision)  # before the weights go to the device, where room is short
        self._detector.to(self.device)
        images = processor.image_processor
        self._mean = _channels(images.image_mean).to(self.device)
        self._deviation = _channels(images.image_std).to(self.device)

    @property
    def precision(self) -> str:
        """fp32, bf16 or fp16."""
        return self._precision

    def to_precision(self, precision: str) -> None:
        """Casts the encoders in place; digits given up do not come back. ModelError."""
        self._precision = resolved(precision, self.device)
        self._dtype = DTYPES[self._precision]
        # Weights only: the rotary embedding's positions stay float32, as when transformers
        # loads in bfloat16; cast, the last of 72 would lie at 23.625 in place of 23.667.
        for weight in self._detector.vision_encoder.parameters():
            weight.data = weight.data.to(self._dtype)
        self._detector.text_encoder.to(self._dtype)

    @torch.inference_mode()
    def encode(self, pixels: npt.NDArray[np.uint8]) -> Sam3Features:
        """The features of an RGB picture uint8 [H, W, 3], squeezed to the network's square as
        SAM 3's processor does: no padding anywhere."""
        # A copy, as frames are read-only, which torch does not take.
        tensor = torch.from_numpy(pixels.copy()).permute(2, 0, 1).unsqueeze(0)
        if self.device.type == "cuda":  # MPS may lack the filter, CUDA has it for floats only
            tensor = tensor.to(self.device).float()
        tensor = F.interpolate(tensor, self._size_hw, mode="bilinear", antialias=True)
        tensor = tensor.to(self.device).float().round_()  # the processor's pixels are uint8
        tensor = (tensor - self._mean) / self._deviation
        seen = self._detector.get_vision_features(pixel_values=tensor.to(self._dtype))
        # The last level, the coarsest of all, is the tracker's.
        return Sam3Features(
            levels=seen.fpn_hidden_states[:-1], position=seen.fpn_position_encoding[-2]
        )

    @torch.inference_mode()
    def texts(self, phrases: Sequence[str]) -> Sam3Words:
        """The words of one or more phrases; what exceeds TEXT_TOKENS is cut off."""
        tokens = self._tokenizer(
            list(phrases),
            padding="max_length",
            max_length=TEXT_TOKENS,
            truncation=True,
            return_tensors="pt",
        ).to(self.device)
        with self._computing():
            read = self._detector.get_text_features(
                input_ids=tokens.input_ids, attention_mask=tokens.attention_mask
            )
        return Sam3Words(vectors=read.pooler_output.float(), mask=tokens.attention_mask.bool())

    @torch.inference_mode()
    def find(self, features: Sam3Features, words: Sam3Words) -> tuple[Tensor, Tensor]:
        """Mask logits float32 [N, h, w] of all that each phrase names, over the whole picture,
        and the scores float32 [N] of the best instances."""
        with self._computing():
            found = self._instances(features, words)
            best = found.scores.amax(1, keepdim=True)
            kept = (KEPT_SHARE * best).clamp(max=KEPT_SCORE)
            faint = FAINT_SHARE * kept
            # Masks of those that are seen only: of 200 queries a few are.
            count = int((found.scores > faint).sum(1).max())
            scores, order = found.scores.topk(count, dim=1)
            masks = self._masks(features, words, found, order)
        absent = ((kept - scores) / (kept - faint)).clamp(0.0, 1.0)
        masks = masks.float() - ABSENT_LOGITS * absent[:, :, None, None]
        return masks.amax(1), best.squeeze(1)

    @torch.inference_mode()
    def scores(self, features: Sam3Features, words: Sam3Words) -> Tensor:
        """The scores float32 [N] of the best instances, without masks."""
        with self._computing():
            return self._instances(features, words).scores.amax(1)

    def _computing(self) -> torch.autocast:
        return torch.autocast(
            self.device.type, dtype=self._dtype, enabled=self._dtype is not torch.float32
        )

    def _instances(self, features: Sam3Features, words: Sam3Words) -> _Instances:
        detector, count = self._detector, len(words.vectors)
        read = detector.detr_encoder(
            vision_features=[_repeated(features.levels[-1].float(), count)],
            text_features=words.vectors,
            vision_pos_embeds=[_repeated(features.position.float(), count)],
            text_mask=words.mask,
        )
        decoded = detector.detr_decoder(
            vision_features=read.last_hidden_state,
            text_features=read.text_features,
            vision_pos_encoding=read.pos_embeds_flattened,
            text_mask=words.mask,
            spatial_shapes=read.spatial_shapes,
        )
        # Only the last layer's queries are used; the library scores those of every layer.
        queries = decoded.intermediate_hidden_states[-1]
        match = detector.dot_product_scoring(
            decoder_hidden_states=queries.unsqueeze(0),
            text_features=read.text_features,
            text_mask=words.mask,
        )[0].squeeze(-1)
        # The presence token says whether the thing is there, the match which query it is.
        presence = decoded.presence_logits[-1].float().sigmoid()
        return _Instances(
            queries=queries,
            scores=match.float().sigmoid() * presence,
            picture=read.last_hidden_state,
        )

    def _masks(
        self, features: Sam3Features, words: Sam3Words, found: _Instances, order: Tensor
    ) -> Tensor:
        """Mask logits [N, K, h, w] of the queries order [N, K]."""
        count, _, dim = found.queries.shape
        levels = [level.to(self._dtype) for level in features.levels]
        drawn = self._detector.mask_decoder(
            decoder_queries=found.queries.gather(1, order.unsqueeze(-1).expand(-1, -1, dim)),
            backbone_features=[_repeated(level, count) for level in levels],
            encoder_hidden_states=found.picture,
            prompt_features=words.vectors,
            prompt_mask=words.mask,
        )
        masks: Tensor = drawn.pred_masks
        return masks


def _repeated(feature_map: Tensor, count: int) -> Tensor:
    return feature_map.expand(count, -1, -1, -1)


def _channels(values: Sequence[float]) -> Tensor:
    """Per-channel values of 0..1 as those of uint8, [1, 3, 1, 1]."""
    return 255.0 * torch.tensor(values).view(1, 3, 1, 1)
