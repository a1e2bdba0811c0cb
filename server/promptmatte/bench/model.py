"""A model by itself: encode a frame, embed and decode prompts on it."""

from __future__ import annotations

import os
import time

import torch

from promptmatte.bench.machine import machine
from promptmatte.bench.percentiles import percentiles, timed_ms
from promptmatte.bench.pictures import pictures
from promptmatte.bench.report import Cell, Report, Table
from promptmatte.bench.size import size_text
from promptmatte.bench.usage import usage_of
from promptmatte.frame import Frame, FrameInfo
from promptmatte.models import load_model
from promptmatte.models.choice import ModelChoice
from promptmatte.models.protocol import Decoded, Model, Scene
from promptmatte.prompts import Prompt, PromptSet

ROUNDS = 50
PROMPTS = ("person", "sky", "cat", "hair")
WARM_UP = 3
COLUMNS = ("model", "device", "stage", "p50 ms", "p95 ms", "p99 ms")


def report(
    command: str,
    choice: ModelChoice,
    *,
    size_hw: tuple[int, int] = (540, 960),
    rounds: int = ROUNDS,
) -> Report:
    """The stages of one model."""
    load_ms, model = timed_ms(load_model, choice)
    rows = measure(model, size_hw, rounds)
    used = usage_of(os.getpid())
    return Report(
        command=command,
        title="Model",
        about=f"{model.name} in a process by itself, {torch.get_num_threads()} threads, frames of "
        f"{size_text(size_hw)}, {rounds} rounds. encode: a frame to its embedding. decode: so many "
        "prompts on one. prompt change: all that a new prompt costs on a frame that is encoded, "
        f"its text included. Loading took {load_ms / 1000:.1f} s; the process, its libraries "
        f"included, had at most {used.peak_bytes / 1e6:.0f} MB.",
        machine=machine("numpy", "torch", "onnxruntime"),
        tables=[Table(title="Encode and decode", columns=COLUMNS, rows=rows)],
        raw={
            "size": size_text(size_hw),
            "threads": torch.get_num_threads(),
            "peak_mb": round(used.peak_bytes / 1e6),
            "load_s": round(load_ms / 1000, 2),
        },
    )


def measure(model: Model, size_hw: tuple[int, int], rounds: int) -> list[list[Cell]]:
    """A row for each stage."""
    seen = pictures(size_hw, min(rounds, 30))
    sets = {count: PromptSet(prompts=_prompts(PROMPTS[:count])) for count in (1, len(PROMPTS))}
    times: dict[str, list[float]] = {}
    for turn in range(rounds + WARM_UP):
        info = FrameInfo(stream_id=1, seq=turn, pts_ns=0, captured_ns=time.monotonic_ns())
        frame = Frame(info=info, pixels=seen[turn % len(seen)])
        encode_ms, scene = timed_ms(_encoded, model, frame)
        times.setdefault("encode", []).append(encode_ms)
        for count, prompts in sets.items():
            embedding = model.embed(prompts)
            ms, _ = timed_ms(model.decode, scene, embedding)
            times.setdefault(f"decode {count} prompt{'s' * (count > 1)}", []).append(ms)
        new = PromptSet(prompts=_prompts([model.words[turn % len(model.words)]]))
        ms, _ = timed_ms(_prompted, model, scene, new)
        times.setdefault("prompt change", []).append(ms)
    return [
        [model.name, model.device, stage, *percentiles(values[WARM_UP:], digits=2)]
        for stage, values in times.items()
    ]


def _prompts(texts: tuple[str, ...] | list[str]) -> tuple[Prompt, ...]:
    return tuple(Prompt(text=text) for text in texts)


def _prompted(model: Model, scene: Scene, prompts: PromptSet) -> Decoded:
    return model.decode(scene, model.embed(prompts))


def _encoded(model: Model, frame: Frame) -> Scene:
    """The scene, when the card has made it."""
    scene = model.encode(frame)
    if model.device.startswith("cuda"):
        torch.cuda.synchronize()
    return scene
