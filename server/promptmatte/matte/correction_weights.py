"""The weights of the correction network in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from promptmatte.errors import ModelError
from promptmatte.matte.correction_network import CorrectionNetwork

FORMAT = "promptmatte-correction-1"


def weights_path() -> Path:
    """The shipped weights."""
    return Path(__file__).parent / "weights" / "correction.safetensors"


def load_correction_network(path: Path | None = None) -> CorrectionNetwork:
    """The network of a weights file, by default the shipped one; ModelError."""
    path = path or weights_path()
    network = CorrectionNetwork()
    try:
        with safe_open(path, framework="pt") as file:
            found = (file.metadata() or {}).get("format")
            if found != FORMAT:
                raise ModelError(f"expected {path} to be {FORMAT}; got {found!r}")
            network.load_state_dict({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"expected the weights that correct carried masks in {path}; {error}: "
            "install promptmatte again"
        ) from error
    return network.float().eval().fused()


def save_correction_network(
    network: CorrectionNetwork, path: Path, metadata: dict[str, Any]
) -> None:
    """Writes fp16 weights with metadata (JSON values) in the file."""
    tensors = {
        name: value.half().contiguous() if value.is_floating_point() else value
        for name, value in network.state_dict().items()
    }
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, metadata={"format": FORMAT, "metadata": json.dumps(metadata)})
    partial.replace(path)
