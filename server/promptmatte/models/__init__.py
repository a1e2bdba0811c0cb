"""Models by name."""

from __future__ import annotations

from pathlib import Path

from promptmatte.errors import ConfigError
from promptmatte.models.device import choose_device
from promptmatte.models.protocol import Model

MODEL_NAMES = ("embedded",)


def load_model(name: str, *, device: str = "auto", weights: Path | None = None) -> Model:
    """The model of this name on a device; ConfigError for an unknown one, ModelError."""
    if name not in MODEL_NAMES:
        raise ConfigError(f"expected a model of {', '.join(MODEL_NAMES)}; got {name!r}")
    from promptmatte.models.embedded import EmbeddedModel

    return EmbeddedModel.load(device=choose_device(device), weights=weights)
