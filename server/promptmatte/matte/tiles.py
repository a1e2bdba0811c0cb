"""Squares of a picture that lie outside a thing, inside it, or on its edge."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import numpy as np
import numpy.typing as npt

OUTSIDE, EDGE, INSIDE = 0, 1, 2


def runs(kinds: npt.NDArray[np.uint8]) -> Iterator[tuple[int, int, int, int]]:
    """Equal neighbours in a row of tiles together: row, first column, end, kind.

    kinds: [tiles down, tiles across]. What lies outside is left out.
    """
    for row, line in enumerate(kinds.tolist()):
        column = 0
        for kind, same in groupby(line):
            end = column + len(list(same))
            if kind != OUTSIDE:
                yield row, column, end, kind
            column = end
