"""What is fuzzed: a function of bytes, and the only errors that it may raise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from promptmatte.errors import PromptMatteError
from promptmatte_shm.errors import ShmError

OWN_ERRORS = (PromptMatteError, ShmError)
"""How a refusal looks; anything else that comes out is a finding."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """run: reads one input; OWN_ERRORS are refusals. seeds: valid inputs, of the real encoders.
    mutate: a changed input that keeps the outer form, for inputs that blind changes of bytes
    would hardly get past; None leaves all to the fuzzer. most_bytes: of an input."""

    run: Callable[[bytes], None]
    seeds: Callable[[], Sequence[bytes]]
    mutate: Callable[[bytes, Random], bytes] | None = None
    most_bytes: int = 4096
