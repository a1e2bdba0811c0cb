"""Changes to a value of maps, lists, numbers and texts, as hostile JSON and msgpack have."""

from __future__ import annotations

from random import Random
from typing import Any

LEAVES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 4, 5, 255, 256, 16384, 16385, 2**31, 2**32, 2**63 - 1, -(2**63),
    0.5, -0.0, 1e308, float("inf"), float("nan"), "", "person", "person + dog - hair", " - ", "\0",
    "\ud800", "红色", "a" * 300, "../../etc/passwd", "local-dir:/tmp", "$(reboot)", "everything",
    "but not", "threshold", "sam-vit-b", [], {}, [[[[]]]], {"": {"": {}}}, ["x"] * 500,
)  # fmt: skip


def mutated(value: Any, chance: Random) -> Any:
    """The value with one place in it changed: exchanged, left out, added, renamed or doubled."""
    if isinstance(value, dict) and value and chance.random() < 0.85:
        return _mutated_map(dict(value), chance)
    if isinstance(value, list) and value and chance.random() < 0.85:
        return _mutated_list(list(value), chance)
    if isinstance(value, bool | int | float) and chance.random() < 0.3:
        return value + chance.choice((-1, 1, 0.5, 256))
    if isinstance(value, str) and value and chance.random() < 0.5:
        at = chance.randrange(len(value))
        return value[:at] + chr(chance.choice((0, 32, 43, 45, 127, 0x300, 0x4E00))) + value[at:]
    return chance.choice(LEAVES)


def _mutated_map(value: dict[Any, Any], chance: Random) -> dict[Any, Any]:
    key = chance.choice(list(value))
    match chance.randrange(8):
        case 0:
            del value[key]
        case 1:
            value[chance.choice(("", "command", "prompt", "\0", "x" * 70))] = chance.choice(LEAVES)
        case 2:
            value[str(key) + chance.choice(" _0\0")] = value.pop(key)
        case _:
            value[key] = mutated(value[key], chance)
    return value


def _mutated_list(value: list[Any], chance: Random) -> list[Any]:
    at = chance.randrange(len(value))
    match chance.randrange(6):
        case 0:
            del value[at]
        case 1:
            value.insert(at, chance.choice(LEAVES))
        case 2:
            value.append(value[at])
        case _:
            value[at] = mutated(value[at], chance)
    return value


def nested(value: Any, chance: Random) -> Any:
    """The value with something very deep in it."""
    deep: Any = 0
    for _ in range(chance.choice((10, 100, 600, 900))):
        deep = [deep] if chance.random() < 0.5 else {"a": deep}
    return {**value, "x": deep} if isinstance(value, dict) else deep
