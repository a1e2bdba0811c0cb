"""SAM 3 from a folder of the user's own, or from the hub's cache; nothing is fetched here."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from promptmatte.errors import ModelError
from promptmatte.models.choice import ModelChoice
from promptmatte.models.device import is_out_of_memory
from promptmatte.models.protocol import Progress
from promptmatte.models.sam3.network import Sam3Network

logger = logging.getLogger(__name__)

REPOSITORY = "facebook/sam3"

CLASSES = {
    "sam3": "Sam3Model",
    "sam3_video": "Sam3Model",
    "sam3_lite_text": "Sam3LiteTextModel",
}
"""By the model_type of a folder's config. The hub's sam3 is a video model, of which the
detector alone is read; lite_text has a lighter text encoder."""

READ_ERRORS = (
    OSError, ValueError, RuntimeError, TypeError, KeyError, AttributeError, SafetensorError,
)  # fmt: skip
"""What transformers and safetensors raise for a folder that is broken, or another model's."""

TO_INSTALL = (
    "expected transformers 5.23 or newer, which sam3 runs on; install the extra with: "
    'python -m uv sync --extra sam3 (or: python -m pip install "transformers>=5.23")'
)

TO_DOWNLOAD = (
    f"accept the licence at https://huggingface.co/{REPOSITORY}, then run: hf download "
    f"{REPOSITORY}; or name a folder with --weights"
)


def load_network(choice: ModelChoice, *, device: str, progress: Progress) -> Sam3Network:
    """The network of choice.weights, a folder as save_pretrained lays it out, or of the hub's
    cache; ModelError with what to do when it is not there or does not fit."""
    progress("starting transformers", 0.0)
    transformers = _transformers()
    folder = choice.weights or _cached_folder()
    name = _class_name(folder)
    progress("reading sam3", 0.2)
    detector, processor = _read(transformers, name, folder)
    progress(f"moving sam3 to {device}", 0.9)
    if choice.compiled:
        logger.info("sam3 runs uncompiled: --compiled has no effect on it")
    return Sam3Network(detector, processor, device=device, precision=choice.precision)


def _transformers() -> Any:
    """The library with SAM 3 in it; ModelError where it is missing or too old."""
    try:
        import transformers
        from transformers import Sam3LiteTextModel, Sam3Model, Sam3Processor  # noqa: F401
    except ImportError as error:
        raise ModelError(f"{TO_INSTALL} ({error})") from error
    return transformers


def _cached_folder() -> Path:
    """Where the hub's client keeps the downloaded repository; ModelError."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(REPOSITORY, local_files_only=True))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise ModelError(
            f"expected {REPOSITORY} in the hub's cache; it is not there: {TO_DOWNLOAD}"
        ) from error


def _class_name(folder: Path) -> str:
    """The transformers class that a folder's config asks for; ModelError."""
    path = folder / "config.json"
    if not path.is_file():
        raise ModelError(
            f"expected a folder with the config.json and weights of sam3 at {folder}; "
            f"there is none: {TO_DOWNLOAD}"
        )
    try:
        kind = json.loads(path.read_text(encoding="utf-8"))["model_type"]
        return CLASSES[kind]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"expected {path} to say model_type {', '.join(CLASSES)}; got {error}: "
            "give the folder of a SAM 3 with --weights"
        ) from error


def _read(transformers: Any, name: str, folder: Path) -> tuple[nn.Module, Any]:
    """The detector in float32 on the CPU and its processor; ModelError."""
    try:
        with _quiet(transformers):
            processor = transformers.Sam3Processor.from_pretrained(folder, local_files_only=True)
            detector, told = getattr(transformers, name).from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
                dtype=torch.float32,
            )
    except READ_ERRORS as error:
        if is_out_of_memory(error):
            raise
        reason = str(error).strip().partition("\n")[0]
        raise ModelError(f"expected a SAM 3 in {folder}; cannot read it: {reason}") from error
    if told["missing_keys"]:
        raise ModelError(
            f"expected all weights of {name} in {folder}; {len(told['missing_keys'])} are missing, "
            f"such as {min(told['missing_keys'])}: download it again"
        )
    return detector, processor


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """No progress bars and no advice on the terminal while the library loads."""
    told = transformers.logging
    verbosity, bars = told.get_verbosity(), told.is_progress_bar_enabled()
    told.set_verbosity_error()
    told.disable_progress_bar()
    try:
        yield
    finally:
        told.set_verbosity(verbosity)
        if bars:
            told.enable_progress_bar()
