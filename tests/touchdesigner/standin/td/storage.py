# ruff: noqa: N802
"""What is kept with an operator. OP Class, Storage."""

from __future__ import annotations

from typing import Any

from .errors import refuse
from .op_errors import Complains
from .pattern import matches

_NOTHING = object()


class Stores(Complains):
    """A dictionary that is saved with the operator."""

    _storage: dict[str, Any]

    @property
    def storage(self) -> dict[str, Any]:
        """The dictionary; its contents may be changed."""
        return self._storage

    def store(self, key: str, value: Any) -> Any:
        """Keeps a value."""
        self._storage[key] = value
        return value

    def fetch(
        self, key: str, default: Any = _NOTHING, search: bool = True, storeDefault: bool = False,  # noqa: N803
    ) -> Any:  # fmt: skip
        """A kept value, of this operator or of a parent."""
        owner = self.fetchOwner(key) if search else (self if key in self._storage else None)
        if owner is not None:
            return owner._storage[key]
        if default is _NOTHING:
            refuse(f"{self._path()}: nothing is stored under {key!r}")
        if storeDefault:
            self._storage[key] = default
        return default

    def fetchOwner(self, key: str) -> Any:
        """The operator that keeps the key, or None."""
        place: Any = self
        while place is not None and key not in place._storage:
            place = place._parent
        return place

    def unstore(self, *keys: str) -> None:
        """Forgets what matches."""
        for pattern in keys:
            for key in [k for k in self._storage if matches(k, pattern)]:
                del self._storage[key]
