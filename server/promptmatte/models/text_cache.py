"""What a model made of the texts it was asked for last, so that none is encoded twice."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

KEPT_TEXTS = 512


class TextCache(Generic[T]):
    """Keeps the last 512 texts with what `make` gave for them; used from one thread at a time."""

    def __init__(self, make: Callable[[list[str]], Iterable[T]]) -> None:
        self._make = make
        self._kept: OrderedDict[str, T] = OrderedDict()

    def of(self, texts: Sequence[str]) -> list[T]:
        """What belongs to each text; those not seen lately are made in one go."""
        fresh = [text for text in dict.fromkeys(texts) if text not in self._kept]
        if fresh:
            self._kept.update(zip(fresh, self._make(fresh), strict=True))
        for text in texts:
            self._kept.move_to_end(text)
        found = [self._kept[text] for text in texts]
        while len(self._kept) > KEPT_TEXTS:
            self._kept.popitem(last=False)
        return found
