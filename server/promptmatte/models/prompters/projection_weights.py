"""Weights of a projection in a file, with the ids of the SAM and CLIP that they fit."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from promptmatte.errors import ModelError
from promptmatte.models.prompters.projection_network import (
    ProjectionArchitecture,
    ProjectionNetwork,
)

if TYPE_CHECKING:
    from promptmatte.models.clip import ClipNetwork
    from promptmatte.models.sam import SamNetwork

FORMAT = "promptmatte-projection-1"
HASHED_ELEMENTS = 4096
"""Tensors up to this size make a fingerprint: the norms and biases of a network, which no two
trainings share, at a thousandth of the time that all of its weights take."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Which SAM and CLIP a projection fits: their names, for messages, and fingerprints."""

    sam: str
    sam_fingerprint: str
    clip: str
    clip_fingerprint: str

    @classmethod
    def of(cls, sam: SamNetwork, clip: ClipNetwork) -> Fit:
        """The ids of two networks."""
        return cls(
            sam=sam.kind,
            sam_fingerprint=fingerprint(sam._sam, encoder="image_encoder"),
            clip=clip.name,
            clip_fingerprint=fingerprint(clip._clip, encoder="visual"),
        )

    def holds_for(self, other: Fit) -> bool:
        """True if the networks are the same, whatever they are called."""
        return (self.sam_fingerprint, self.clip_fingerprint) == (
            other.sam_fingerprint,
            other.clip_fingerprint,
        )

    def __str__(self) -> str:
        return (
            f"{self.sam} ({self.sam_fingerprint}) with the CLIP {self.clip} "
            f"({self.clip_fingerprint})"
        )


def fingerprint(network: nn.Module, *, encoder: str) -> str:
    """Eight hex digits of sha256: the small tensors of a network, and the names and shapes of
    all of them.

    encoder: the part whose values are left out, since they depend on the precision it runs in.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        if not name.startswith(f"{encoder}.") and tensor.numel() <= HASHED_ELEMENTS:
            digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:8]


def save_projection(
    network: ProjectionNetwork, path: Path, *, fit: Fit, metadata: dict[str, Any]
) -> None:
    """Writes fp16 weights with the architecture, what they fit, and metadata (JSON values)."""
    partial = path.with_suffix(".partial")
    partial.parent.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: value.detach().half().contiguous().cpu()
        for name, value in network.state_dict().items()
    }
    save_file(
        tensors,
        partial,
        metadata={
            "format": FORMAT,
            "architecture": json.dumps(network.architecture.as_dict()),
            "fit": json.dumps(asdict(fit)),
            "metadata": json.dumps(metadata),
        },
    )
    partial.replace(path)


def load_projection(path: Path, *, fit: Fit) -> ProjectionNetwork:
    """The network of a weights file, in float32, ready to use; ModelError for a file that is
    missing, of something else, broken, or made for other networks than fit says."""
    if not path.is_file():
        raise ModelError(
            f"expected weights of the projection at {path}; there is no such file: make them "
            f"with promptmatte train projection --data DIR --sam {fit.sam} --clip {fit.clip}"
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise ModelError(
                    f"expected {path} to be weights of a projection ({FORMAT}); "
                    f"got {metadata.get('format', 'another file')!r}"
                )
            made_for = Fit(**json.loads(metadata["fit"]))
            if not made_for.holds_for(fit):
                raise ModelError(
                    f"expected a projection for {fit}; {path} fits {made_for}: choose those "
                    "models, or make one for these with promptmatte train projection"
                )
            architecture = ProjectionArchitecture(**json.loads(metadata["architecture"]))
            network = ProjectionNetwork(architecture)
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        network.load_state_dict(tensors)
    except ModelError:
        raise
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"expected weights of the projection in {path}; cannot read them: {error}"
        ) from error
    return network.float().eval().requires_grad_(requires_grad=False)
