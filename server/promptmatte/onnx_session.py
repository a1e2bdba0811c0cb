"""A network in ONNX Runtime on the CPU."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnxruntime

from promptmatte.errors import ModelError

WEIGHTS_KEY = "weights_sha256"


class OnnxSession:
    """An ONNX file that was made from a weights file, ready to run."""

    def __init__(self, path: Path, *, threads: int) -> None:
        """ModelError if it cannot be loaded."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Threads that spin while they wait would take the cores from the matte of every frame.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise ModelError(f"expected {path} to be a network in ONNX; {error}") from error

    def belongs_to(self, weights: Path) -> bool:
        """True if it was made from this weights file."""
        known = self._session.get_modelmeta().custom_metadata_map.get(WEIGHTS_KEY)
        return bool(known == sha256_of(weights))

    def run(
        self, outputs: Sequence[str], inputs: Mapping[str, npt.NDArray[Any]]
    ) -> list[npt.NDArray[Any]]:
        """The outputs of these names, new arrays."""
        found: list[npt.NDArray[Any]] = self._session.run(outputs, inputs)
        return found


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
