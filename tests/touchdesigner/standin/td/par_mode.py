"""Parameter modes."""

from __future__ import annotations

from enum import Enum


class ParMode(Enum):
    """How a parameter gets its value. Par Class, mode."""

    CONSTANT = 0
    EXPRESSION = 1
    EXPORT = 2
    BIND = 3
