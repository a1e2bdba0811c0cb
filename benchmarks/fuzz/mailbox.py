"""Commands as JSON in the mailbox, answered by the real handler over a real pipeline.

The pipeline is not started: no thread works, no model is loaded, and what a command changes is
seen at once.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from functools import cache
from random import Random

from promptmatte.clock import RealClock
from promptmatte.config import PipelineConfig
from promptmatte.control.commands import FIELDS, command_handler
from promptmatte.links.protocol import CommandHandler
from promptmatte.models.choice import ModelChoice
from promptmatte.pipeline import Pipeline
from promptmatte.sources import open_source
from promptmatte_shm.mailbox import packed, unpacked

from .target import Target
from .values import mutated, nested


@cache
def handler() -> CommandHandler:
    """The handler of a pipeline that stands still."""
    clock = RealClock()
    pipeline = Pipeline(
        open_source=lambda: open_source("test:", clock=clock), model=ModelChoice(), links=(),
        config=PipelineConfig(), clock=clock,
    )  # fmt: skip
    return command_handler(pipeline, threading.Event())


def run(data: bytes) -> None:
    """Answers one message; every answer is one that can be sent."""
    packed(handler()(unpacked(data)))


def seeds() -> Sequence[bytes]:
    """Every command, with all its fields."""
    filled = {
        "prompts": [{"text": "person + dog", "also": ["cat"], "negative": ["hair"]}],
        "controls": {"threshold": 0.4, "overlap": "independent"}, "prompt": 1, "name": "embedded",
        "clip": "ViT-B-16", "prompter": "dense", "words": ["cat", "dog"], "limit": 3, "on": True,
        "side": 64,
    }  # fmt: skip
    return [
        packed({"command": name, **{field: filled[field] for field in (*required, *optional)}})
        for name, (required, optional) in FIELDS.items()
    ]


def mutate(data: bytes, chance: Random) -> bytes:
    """The same command with something else in it."""
    try:
        message = json.loads(data)
        message = nested(message, chance) if chance.random() < 0.02 else mutated(message, chance)
        return json.dumps(message).encode()
    except (ValueError, RecursionError):
        return data


TARGET = Target(run=run, seeds=seeds, mutate=mutate)
