"""What the stand-in says when something is not as the documentation has it."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

HERE = Path(__file__).parent


class tdError(Exception):  # noqa: N801  TouchDesigner's name
    """An operation that TouchDesigner does not allow."""


class tdAttributeError(tdError, AttributeError):  # noqa: N801  TouchDesigner's name
    """A member or parameter that does not exist, or that cannot be set."""


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """One thing that was refused. caller: file and line outside the stand-in."""

    text: str
    caller: str


refusals: list[Refusal] = []
"""Every refusal so far, even those whose exception was caught; a test looks through them."""


def refuse(message: str, *, error: type[tdError] = tdError) -> NoReturn:
    """Records the refusal and raises."""
    refusals.append(Refusal(text=message, caller=_caller()))
    raise error(message)


def no_attribute(kind: str, name: str) -> NoReturn:
    """A member that is not there. Not recorded: hasattr and getattr may ask."""
    raise tdAttributeError(f"'td.{kind}' object has no attribute {name!r}")


def _caller() -> str:
    for frame in reversed(traceback.extract_stack()):
        if not Path(frame.filename).is_relative_to(HERE):
            return f"{frame.filename}:{frame.lineno} in {frame.name}"
    return "unknown"
