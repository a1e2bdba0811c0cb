"""Which model to run and how: what the options and the command `model` choose between."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from promptmatte.errors import ConfigError, shown

SAM_NAMES = ("sam-vit-b", "sam-vit-l", "sam-vit-h", "mobile-sam")
MODEL_NAMES = ("embedded", *SAM_NAMES, "sam3")
PROMPTERS = ("dense", "projection")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
DEFAULT_CLIP = "ViT-B-16"


@dataclass(frozen=True, kw_only=True)
class ModelChoice:
    """One model by name; ConfigError for what does not exist.

    device: auto, cpu, cuda, cuda:1, mps. weights: a local file (for sam3 a folder) in place
    of the shipped or downloaded one. For SAM with CLIP: clip, an open_clip model by its name
    in the catalogue or as local-dir:/path; prompter, how text reaches SAM; projection, the
    weights of that prompter. precision: of the image encoders (auto: bf16 on a card that has
    it, else fp16 on a card, fp32 on a CPU). compiled: torch.compile and CUDA graphs where
    they work.
    """

    name: str = "embedded"
    device: str = "auto"
    weights: Path | None = None
    clip: str = DEFAULT_CLIP
    prompter: str = "dense"
    projection: Path | None = None
    precision: str = "auto"
    compiled: bool = False

    def __post_init__(self) -> None:
        for field, known in (
            ("name", MODEL_NAMES),
            ("prompter", PROMPTERS),
            ("precision", PRECISIONS),
        ):
            value = getattr(self, field)
            if value not in known:
                what = "model" if field == "name" else field
                raise ConfigError(f"expected a {what} of {', '.join(known)}; got {shown(value)}")
        if self.projection is not None and self.prompter != "projection":
            raise ConfigError("expected --projection together with --prompter projection")

    @property
    def has_clip(self) -> bool:
        """True for SAM models, whose words come from CLIP."""
        return self.name in SAM_NAMES
