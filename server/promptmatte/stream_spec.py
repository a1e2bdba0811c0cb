"""What one stream of a server is to be: its source, its links, what it keys."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from promptmatte.controls import Controls
from promptmatte.errors import ConfigError, shown
from promptmatte.prompts import Prompt

MAIN = "main"
"""The name of a server's only stream."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,23}")
SHARES = (0.1, 10.0)


@dataclass(frozen=True, kw_only=True)
class StreamSpec:
    """A stream to serve; ConfigError for a name or share that cannot be used.

    out: addresses of links and sinks. share: its weight among the streams when the model is too
    slow for all of them.
    """

    name: str = MAIN
    source: str
    out: tuple[str, ...]
    share: float = 1.0
    prompts: tuple[Prompt, ...] = ()
    controls: Controls = field(default_factory=Controls)

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ConfigError(
                "expected the name of a stream as up to 24 letters, digits, - and _; "
                f"got {shown(self.name)}"
            )
        low, high = SHARES
        if isinstance(self.share, bool) or not low <= self.share <= high:
            raise ConfigError(f"expected share as {low:g} to {high:g}; got {shown(self.share)}")


def check_together(specs: Sequence[StreamSpec]) -> None:
    """ConfigError unless there is a stream, and no two have a name or an output in common."""
    if not specs:
        raise ConfigError("expected a stream at least; got none")
    names = Counter(spec.name for spec in specs)
    outputs = Counter(address for spec in specs for address in set(spec.out))
    for what, counts in (("name", names), ("output", outputs)):
        twice = [value for value, count in counts.items() if count > 1]
        if twice:
            raise ConfigError(f"expected every stream with a {what} of its own; got {twice[0]!r} "
                              "twice")  # fmt: skip
