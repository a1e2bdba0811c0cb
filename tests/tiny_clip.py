"""A small CLIP with seeded random weights, read from a folder as a user's would be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import torch
from promptmatte.models.clip import ClipNetwork, load_clip
from safetensors.torch import save_file

VISION = {"image_size": 64, "layers": 3, "width": 64, "head_width": 16, "patch_size": 8}
TEXT = {"context_length": 32, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}


def tiny_config(**changes: Any) -> dict[str, Any]:
    """An open_clip_config.json with a tiny CLIP; changes to vision_cfg and text_cfg as dicts."""
    model = {
        "embed_dim": 48,
        "vision_cfg": VISION | changes.get("vision_cfg", {}),
        "text_cfg": TEXT | changes.get("text_cfg", {}),
    }
    model |= {key: value for key, value in changes.items() if key not in model}
    return {
        "model_cfg": model,
        "preprocess_cfg": {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3]},
    }


def tiny_clip_folder(folder: Path, *, seed: int = 7, **changes: Any) -> Path:
    """The folder, filled with open_clip's config and weights of a tiny CLIP."""
    folder.mkdir(parents=True, exist_ok=True)
    config = tiny_config(**changes)
    (folder / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")
    torch.manual_seed(seed)
    clip = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    # As trained ones have it; open_clip starts at 14.
    clip.logit_scale.data.fill_(4.6052)
    save_file(clip.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def tiny_clip(
    folder: Path, *, precision: str = "fp32", device: str = "cpu", **changes: Any
) -> ClipNetwork:
    """A tiny ClipNetwork (dim 48, patches of 8 pixels, native side 64); folder is filled first."""
    path = tiny_clip_folder(folder, **changes)
    return load_clip(path, name="tiny", device=device, precision=precision)
