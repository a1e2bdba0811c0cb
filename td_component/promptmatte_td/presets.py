"""Presets: all that makes a look, kept in the component, recalled at once or over time."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from promptmatte_td.parameters import FLOAT, KEPT_IN_PRESETS, rows

_FADING = {name for row in rows() if row.kind == FLOAT for name in row.names}
"""Numbers that can be anything between; the rest changes at once."""

Settings = Mapping[str, Any]


class PresetError(ValueError):
    """A preset that cannot be saved or recalled: what to do."""


class Presets:
    """Presets by name, in a dictionary that is saved with the component."""

    def __init__(self, kept: MutableMapping[str, dict[str, Any]]) -> None:
        self._kept = kept

    @property
    def names(self) -> list[str]:
        """In alphabetical order."""
        return sorted(self._kept)

    def save(self, name: str, settings: Settings) -> None:
        """Keeps these parameters' values; PresetError without a name."""
        if not name.strip():
            raise PresetError("expected a name in Preset; got none: type one, then save")
        self._kept[name.strip()] = {key: settings[key] for key in KEPT_IN_PRESETS}

    def recall(self, name: str) -> dict[str, Any]:
        """The values of a preset, as far as they are parameters still; PresetError."""
        kept = self._kept.get(name.strip())
        if kept is None:
            known = ", ".join(self.names) or "none yet"
            raise PresetError(f"expected the name of a preset ({known}); got {name!r}")
        return {key: value for key, value in kept.items() if key in KEPT_IN_PRESETS}

    def delete(self, name: str) -> None:
        """Forgets a preset; PresetError if there is none of this name."""
        self.recall(name)
        del self._kept[name.strip()]


@dataclass(frozen=True, kw_only=True)
class Glide:
    """Numbers on their way from one preset to another, beside the prompts that fade."""

    start: Settings
    target: Settings
    begun_s: float
    duration_s: float

    def done(self, now_s: float) -> bool:
        """Whether the target is reached."""
        return now_s >= self.begun_s + self.duration_s

    def at(self, now_s: float) -> dict[str, Any]:
        """The values of the parameters that change, now."""
        share = 1.0
        if self.duration_s > 0:
            share = min(1.0, (now_s - self.begun_s) / self.duration_s)
        values = {}
        for name, target in self.target.items():
            start = self.start.get(name)
            if name in _FADING and start is not None and start != target:
                values[name] = start + (target - start) * share
        return values

    @property
    def at_once(self) -> dict[str, Any]:
        """The values that take effect when it begins."""
        return {name: value for name, value in self.target.items() if name not in _FADING}
