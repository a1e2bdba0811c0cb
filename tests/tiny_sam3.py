"""SAM 3 with 270,000 seeded weights, transformers' own classes, and its answers to a picture."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from tokenizers.pre_tokenizers import ByteLevel
from torch import nn
from transformers import (
    CLIPTokenizer,
    Sam3Config,
    Sam3ImageProcessor,
    Sam3LiteTextConfig,
    Sam3LiteTextModel,
    Sam3Model,
    Sam3Processor,
    Sam3VideoConfig,
    Sam3VideoModel,
)
from transformers import logging as transformers_logging

SIDE = 112
MASK_SIDE = 56
TEXTS = ("cat", "red jacket", "a very long description of a person")

VISION = {
    "backbone_config": {
        "model_type": "sam3_vit_model",
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": SIDE,
        "patch_size": 8,
        "window_size": 4,
        "global_attn_indexes": [1],
        "pretrain_image_size": 56,
    },
    "fpn_hidden_size": 32,
    "backbone_feature_sizes": [[56, 56], [28, 28], [14, 14]],
}

DETECTOR = {
    "geometry_encoder_config": {
        "hidden_size": 32,
        "num_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 48,
    },
    "detr_encoder_config": {
        "hidden_size": 32,
        "num_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
    },
    "detr_decoder_config": {
        "hidden_size": 32,
        "num_layers": 2,
        "num_queries": 12,
        "num_attention_heads": 2,
        "intermediate_size": 48,
    },
    "mask_decoder_config": {"hidden_size": 32, "num_attention_heads": 2},
}

TEXT = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "projection_dim": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


def tiny_tokenizer() -> CLIPTokenizer:
    """CLIP's tokenizer with a token a byte and no merges."""
    letters = sorted(ByteLevel.alphabet())
    names = [*letters, *(f"{letter}</w>" for letter in letters)]
    names += ["<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={name: index for index, name in enumerate(names)}, merges=[])


def tiny_processor() -> Sam3Processor:
    """The processor that goes with the tiny models; its mean and deviation are not the default."""
    images = Sam3ImageProcessor(
        size={"height": SIDE, "width": SIDE}, image_mean=[0.5, 0.45, 0.4], image_std=[0.5, 0.4, 0.3]
    )
    return Sam3Processor(images, tiny_tokenizer())


def tiny_sam3(kind: str = "sam3", *, seed: int = 3) -> nn.Module:
    """A model of one kind (sam3, sam3_video, sam3_lite_text) with random weights, in float32."""
    tokenizer = tiny_tokenizer()
    vocabulary: dict[str, Any] = {"vocab_size": len(tokenizer)}
    clip = {
        "model_type": "clip_text_model",
        **TEXT,
        **vocabulary,
        "max_position_embeddings": 32,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.eos_token_id,
    }
    torch.manual_seed(seed)
    if kind == "sam3_lite_text":
        lite = {"model_type": "sam3_lite_text_text_model", **TEXT, **vocabulary}
        vision = {"model_type": "sam3_vision_model", **VISION}
        return _roused(
            Sam3LiteTextModel(
                Sam3LiteTextConfig(vision_config=vision, text_config=lite, **DETECTOR)
            )
        )
    config = Sam3Config(vision_config=VISION, text_config=clip, **DETECTOR)
    if kind == "sam3":
        return _roused(Sam3Model(config))
    return _roused(Sam3VideoModel(Sam3VideoConfig(detector_config=config.to_dict())))


def save_tiny_sam3(folder: Path, kind: str = "sam3", *, seed: int = 3) -> Path:
    """The folder, with a tiny model and its processor as save_pretrained lays them out."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    tiny_sam3(kind, seed=seed).save_pretrained(folder)
    tiny_processor().save_pretrained(folder)
    if shown:
        transformers_logging.enable_progress_bar()
    return folder


def _roused(model: nn.Module) -> nn.Module:
    """The model with weights large enough that its parts say different things of different words:
    those it is born with (deviation 0.02) give the same answer to everything."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1 and "norm" not in name:
                weight.mul_(4.0)
    return model.eval()


def picture(height: int = 90, width: int = 160) -> npt.NDArray[np.uint8]:
    noise = np.random.default_rng(4).integers(0, 256, (9, 16, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(noise, (width, height)), dtype=np.uint8)


def by_the_library(detector: Any, texts: tuple[str, ...] = TEXTS) -> Any:
    """The library's own way from pixels and text to masks, all in one call."""
    processor = tiny_processor()
    inputs = processor(images=[picture()] * len(texts), text=list(texts), return_tensors="pt")
    with torch.inference_mode():
        return detector(
            pixel_values=inputs.pixel_values,
            input_ids=inputs.input_ids,
            attention_mask=inputs.attention_mask,
        )


def scores_of(outputs: Any) -> torch.Tensor:
    return outputs.pred_logits.sigmoid() * outputs.presence_logits.sigmoid()


@contextmanager
def counted(module: nn.Module) -> Iterator[list[int]]:
    """Counts the calls of a module, a 1 for each."""
    calls: list[int] = []
    handle = module.register_forward_hook(lambda *_: calls.append(1))
    yield calls
    handle.remove()


@contextmanager
def scored(detector: Any, logits: list[float], *, presence: float = 10.0) -> Iterator[None]:
    """Gives the first queries these match logits, the others the lowest there are, and the
    presence token its own: 10 is certainly there."""
    every = torch.full((detector.config.detr_decoder_config.num_queries,), -12.0)
    every[: len(logits)] = torch.tensor(logits)
    handles = [
        detector.dot_product_scoring.register_forward_hook(
            lambda _module, _inputs, out: every[:, None].expand_as(out).to(out.dtype)
        ),
        detector.detr_decoder.presence_head.register_forward_hook(
            lambda _module, _inputs, out: torch.full_like(out, presence)
        ),
    ]
    yield
    for handle in handles:
        handle.remove()
