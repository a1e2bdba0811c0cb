"""Loading CLIP from local files: OpenAI's archives, open_clip checkpoints, folders."""

from __future__ import annotations

import json
import warnings
import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import open_clip
from open_clip.openai import load_openai_model
from safetensors import SafetensorError
from torch import nn

from promptmatte.errors import ModelError
from promptmatte.models.clip.network import ClipNetwork
from promptmatte.models.protocol import Progress, no_progress

CONFIG_NAME = "open_clip_config.json"
TEXT_CONFIGS = Path(__file__).parent / "text_configs"
"""Sizes of text towers of transformers that folders of open_clip name but do not hold."""

READ_ERRORS = (
    OSError, RuntimeError, ValueError, KeyError, TypeError, EOFError, UnpicklingError,
    SafetensorError,
)  # fmt: skip
"""What open_clip, torch and safetensors raise for a file that is missing, broken, or another's."""


def load_clip(
    path: Path,
    *,
    name: str,
    device: str,
    precision: str = "fp32",
    progress: Progress = no_progress,
) -> ClipNetwork:
    """The CLIP at a path, ready to use; nothing is fetched from anywhere.

    path: a folder with open_clip_config.json, weights and, where the text tower has its own,
    tokenizer files (open_clip's local-dir); or a checkpoint file of open_clip or OpenAI, then
    name is the model's in open_clip, e.g. ViT-B-16. precision: auto, fp32, bf16, fp16, of the
    image tower. ModelError for a path that is missing, broken, of another model, or that has no
    usable image tower.
    """
    progress(f"reading {name}", 0.0)
    if not path.exists():
        raise ModelError(f"expected the CLIP {name} at {path}; there is nothing: give another path")
    try:
        if path.is_dir():
            clip, tokenizer = _from_folder(path)
        else:
            clip, tokenizer = _from_file(path, name)
    except READ_ERRORS as error:
        if isinstance(error, ModelError):
            raise
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"expected the CLIP {name} in {path}; cannot read it: {reason}") from error
    progress(f"reading {name}", 0.9)
    network = ClipNetwork(clip, tokenizer, name=name, device=device, precision=precision)
    progress(f"reading {name}", 1.0)
    return network


def _from_folder(path: Path) -> tuple[nn.Module, Any]:
    """A model and its tokenizer through open_clip's local-dir."""
    config = json.loads((path / CONFIG_NAME).read_text(encoding="utf-8"))
    if not any(path.glob("*.safetensors")) and not any(path.glob("*.bin")):
        raise ModelError(
            f"expected weights (open_clip_model.safetensors) in {path}; there are none: "
            "get the folder again"
        )
    place = f"local-dir:{path}"
    text = dict(config["model_cfg"]["text_cfg"])
    tower = text.get("hf_model_name")
    changes: dict[str, Any] = {}
    if tower:
        text["hf_model_name"] = str(_text_config(path, tower))
        text["hf_model_pretrained"] = False
        changes["text_cfg"] = text
    clip = open_clip.create_model(place, **changes)
    return clip, open_clip.get_tokenizer(place)


def _text_config(path: Path, tower: str) -> Path:
    """Where the sizes of a text tower of transformers are: in the folder, or known here."""
    own = path / "config.json"
    if own.is_file() and "hidden_size" in json.loads(own.read_text(encoding="utf-8")):
        return own
    known = TEXT_CONFIGS / f"{tower.rpartition('/')[2]}.json"
    if not known.is_file():
        raise ModelError(
            f"expected the sizes of the text tower {tower} as config.json in {path}; there is "
            f"none: copy that of {tower} there"
        )
    return known


def _from_file(path: Path, name: str) -> tuple[nn.Module, Any]:
    """A model of open_clip's list with the weights of a file, and its tokenizer."""
    config = open_clip.get_model_config(name)
    if config is None:
        raise ModelError(
            f"expected a CLIP that open_clip knows, such as ViT-B-16, for the file {path}; got "
            f"{name!r}: give its name in open_clip, or a folder with {CONFIG_NAME}"
        )
    if config["text_cfg"].get("hf_tokenizer_name") or "siglip" in name.lower():
        raise ModelError(
            f"expected a folder for {name}, whose text tower has its own tokenizer; got the file "
            f"{path}: give a folder with {CONFIG_NAME}, weights and tokenizer files"
        )
    if _is_torchscript(path):
        # Only OpenAI's own files are archives. They were trained with the quick GELU, which
        # open_clip's entries of these names do not have; this builds from the file's own sizes.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch.jit.load is on its way out.
            clip = load_openai_model(str(path), precision="fp32", device="cpu")
    else:
        clip = open_clip.create_model(name, pretrained=str(path))
    return clip, open_clip.get_tokenizer(name)


def _is_torchscript(path: Path) -> bool:
    """True for an archive of torch.jit.save, known by its table of constants."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(entry.endswith("/constants.pkl") for entry in archive.namelist())
