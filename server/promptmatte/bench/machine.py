"""What a benchmark ran on."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch


def machine(*packages: str) -> dict[str, str]:
    """device, python, commit ("unknown" outside a checkout) and the versions of these packages.

    device: with the vector instructions that torch found; networks are slow without AVX512.
    """
    vectors = torch.backends.cpu.get_cpu_capability()
    found = {
        "device": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {vectors}",
        "python": platform.python_version(),
        "commit": _commit(),
    }
    return found | {name: text for name in packages if (text := _version(name))}


def _commit() -> str:
    # What is installed below somebody else's checkout is not part of it.
    tracked = _git("ls-files", "--error-unmatch", Path(__file__).name)
    return _git("rev-parse", "--short", "HEAD") if tracked else "unknown"


def _git(*words: str) -> str:
    """What git says of this folder; empty where it fails or there is none."""
    try:
        done = subprocess.run(
            ["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _version(package: str) -> str:
    """Empty where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
