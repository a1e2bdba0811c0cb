"""Where each system wants a program's files in the user's home."""

from __future__ import annotations

import os
import sys
from pathlib import Path

OWN = "promptmatte"


def cache_folder() -> Path:
    """For what can be fetched again."""
    return _folder(("LOCALAPPDATA", "Local"), "Caches", ("XDG_CACHE_HOME", ".cache"))


def settings_folder() -> Path:
    """For what the user has made."""
    return _folder(("APPDATA", "Roaming"), "Application Support", ("XDG_CONFIG_HOME", ".config"))


def state_folder() -> Path:
    """For records and logs."""
    folder = _folder(("LOCALAPPDATA", "Local"), "Logs", ("XDG_STATE_HOME", ".local/state"))
    return folder / "logs" if sys.platform == "win32" else folder


def _folder(windows: tuple[str, str], library: str, xdg: tuple[str, str]) -> Path:
    """windows, xdg: the variable that names the place, and where it is below the home or its
    AppData without one; library: the place below macOS's Library."""
    if sys.platform == "win32":
        base = os.environ.get(windows[0])
        return (Path(base) if base else Path.home() / "AppData" / windows[1]) / OWN
    if sys.platform == "darwin":
        return Path.home() / "Library" / library / OWN
    base = os.environ.get(xdg[0], "")
    # a relative one is invalid and to be ignored (XDG base directories 0.8)
    return (Path(base) if Path(base).is_absolute() else Path.home() / xdg[1]) / OWN
