"""Text vectors of CLIP: phrases in several sentences each, averaged, kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import open_clip
import torch
import torch.nn.functional as F
from open_clip.transformer import text_global_pool
from torch import Tensor, nn

from promptmatte.models.text_cache import TextCache

SENTENCES_AT_ONCE = 256
"""Sentences in one pass of the text tower; bounds the memory of a first fill of the cache."""

TEMPLATES = (
    "{}",
    "a photo of a {}.",
    "a photo of the {}.",
    "a photo of one {}.",
    "a photo of many {}.",
    "a photo of a {} in the scene.",
    "there is a {} in the scene.",
    "a close-up photo of a {}.",
    "a cropped photo of a {}.",
    "a bright photo of a {}.",
    "a dark photo of a {}.",
    "a low resolution photo of a {}.",
)
"""A dozen in the manner of CLIP's prompts for ImageNet, those for single things in scenes."""

CHINESE_TEMPLATES = ("{}", "{}的照片。", "一张{}的照片。", "一张有{}的照片。", "场景中的{}。")

Tokenizer = Callable[[list[str]], Tensor]


def sentences(phrase: str) -> list[str]:
    """The sentences that stand for a phrase: English or Chinese by its script, else as it is."""
    if any("\u4e00" <= character <= "\u9fff" for character in phrase):
        templates: tuple[str, ...] = CHINESE_TEMPLATES
    elif phrase.isascii() or all(ord(character) < 0x250 for character in phrase):
        templates = TEMPLATES
    else:
        templates = ("{}",)
    return [template.replace("{}", phrase) for template in templates]


class PhraseVectors:
    """Text vectors by phrase from one CLIP, the last ones kept; used from one thread at a time."""

    def __init__(self, clip: nn.Module, tokenizer: Tokenizer, device: torch.device) -> None:
        self._clip = clip
        self._tokenizer = tokenizer
        self._device = device
        self._cache = TextCache(self._encoded)

    def of(self, phrases: Sequence[str]) -> Tensor:
        """Unit vectors [N, dim] float32 of the phrases."""
        return torch.stack(self._cache.of(phrases))

    def _encoded(self, phrases: list[str]) -> list[Tensor]:
        groups = [sentences(phrase) for phrase in phrases]
        ids = self._tokenizer([sentence for group in groups for sentence in group])
        vectors = torch.cat(
            [
                F.normalize(encoded_text(self._clip, part.to(self._device)).float(), dim=-1)
                for part in torch.split(ids, SENTENCES_AT_ONCE)
            ]
        )
        parts = torch.split(vectors, [len(group) for group in groups])
        return [F.normalize(part.mean(dim=0), dim=0) for part in parts]


def encoded_text(clip: Any, ids: Tensor) -> Tensor:
    """The text features [N, dim] that clip.encode_text gives for token ids [N, context], from
    as many tokens as the longest has: a tenth of the work for a phrase.

    Exact for causal attention, where the end of the text cannot see the padding, and for towers
    of transformers, which mask it; other towers get the full length.
    """
    if isinstance(clip, open_clip.CLIP) and clip.attn_mask is not None:
        if clip.text_pool_type == "argmax":
            return _causal_text(clip, ids[:, : int(ids.argmax(dim=1).max()) + 1])
    elif isinstance(text := getattr(clip, "text", None), open_clip.hf_model.HFTextEncoder):
        longest = int((ids != text.config.pad_token_id).sum(dim=1).max())
        ids = ids[:, :longest]
    return clip.encode_text(ids)  # type: ignore[no-any-return]


def _causal_text(clip: Any, ids: Tensor) -> Tensor:
    length = ids.shape[1]
    dtype = clip.transformer.get_cast_dtype()
    tokens = clip.token_embedding(ids).to(dtype) + clip.positional_embedding[:length].to(dtype)
    tokens = clip.transformer(tokens, attn_mask=clip.attn_mask[:length, :length])
    pooled = text_global_pool(clip.ln_final(tokens), ids, "argmax")
    projection = clip.text_projection
    if isinstance(projection, nn.Linear):
        return projection(pooled)  # type: ignore[no-any-return]
    return pooled if projection is None else pooled @ projection  # type: ignore[no-any-return]
