"""Values that stand for a number or a string: Par, Cell and Channel Class, Casting to a Value."""

from __future__ import annotations

from typing import Any

from .guard import Guarded


def plain(value: Any) -> Any:
    """The number or string that a castable object stands for."""
    return value._cast() if isinstance(value, Castable) else value


class Castable(Guarded):
    """Takes part in arithmetic and comparisons with its value of now."""

    def _cast(self) -> Any:
        raise NotImplementedError

    def __float__(self) -> float:
        return float(self._cast())

    def __int__(self) -> int:
        return int(self._cast())

    def __index__(self) -> int:
        return int(self._cast())

    def __bool__(self) -> bool:
        return bool(self._cast())

    def __str__(self) -> str:
        return str(self._cast())

    def __eq__(self, other: object) -> bool:
        return bool(self._cast() == plain(other))

    __hash__ = None  # type: ignore[assignment]

    def __lt__(self, other: Any) -> bool:
        return bool(self._cast() < plain(other))

    def __le__(self, other: Any) -> bool:
        return bool(self._cast() <= plain(other))

    def __gt__(self, other: Any) -> bool:
        return bool(self._cast() > plain(other))

    def __ge__(self, other: Any) -> bool:
        return bool(self._cast() >= plain(other))

    def __add__(self, other: Any) -> Any:
        return self._cast() + plain(other)

    def __radd__(self, other: Any) -> Any:
        return plain(other) + self._cast()

    def __sub__(self, other: Any) -> Any:
        return self._cast() - plain(other)

    def __rsub__(self, other: Any) -> Any:
        return plain(other) - self._cast()

    def __mul__(self, other: Any) -> Any:
        return self._cast() * plain(other)

    def __rmul__(self, other: Any) -> Any:
        return plain(other) * self._cast()

    def __truediv__(self, other: Any) -> Any:
        return self._cast() / plain(other)

    def __rtruediv__(self, other: Any) -> Any:
        return plain(other) / self._cast()

    def __neg__(self) -> Any:
        return -self._cast()

    def __abs__(self) -> Any:
        return abs(self._cast())

    def __round__(self, digits: int | None = None) -> Any:
        return round(self._cast(), digits)
