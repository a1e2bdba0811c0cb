"""Keys people with the embedded model and with MediaPipe's selfie segmentation, on the same
pictures in the same run, and prints the mean IoU of each group.

    python -m benchmarks.people --data DIR [--weights FILE] [--json FILE] [--table FILE.md]
        [--sheet FILE.png]

DIR: the folders of pictures with masks that cases.py names. Of sets that the embedded model is
trained on, only held-out pictures; of the sport clip all frames. Pictures of which people cover
less than 1 % are left out, and pixels that a set leaves unknown are not counted; some sets leave
people in the background unlabelled, which counts against everybody who finds them. Every model is
shown the whole picture as it is, one after the other, on the same two CPU cores; ours has two
threads, MediaPipe as many as it takes by itself. Our time is encode, decode and the matte's edges;
MediaPipe's is its process(), which does the same. A pass over one picture before the first
is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import torch
from promptmatte.bench.machine import machine
from promptmatte.controls import MatteControls
from promptmatte.errors import PromptMatteError
from promptmatte.evaluation import iou
from promptmatte.models import load_model
from promptmatte.models.choice import MODEL_NAMES, ModelChoice
from rich.console import Console
from rich.progress import track

from .cases import SMALLEST_SHARE, Pixels, Place, places
from .contenders import Answer, MediaPipe, Ours
from .sheet import Ask, write_sheet
from .table import OVERALL, Row, best_of, markdown, summaries, terminal

CORES = 2


def main(arguments: Sequence[str] | None = None, *, worker: Sequence[str] | None = None) -> int:
    """Runs it and returns the exit status. worker: a command in place of MediaPipe's worker."""
    parser = argparse.ArgumentParser(prog="benchmarks.people", description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--model", choices=MODEL_NAMES, default="embedded")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="default: the shipped ones")
    parser.add_argument("--json", type=Path, metavar="FILE", help="everything, by picture")
    parser.add_argument("--table", type=Path, metavar="FILE.md", help="the table, for a README")
    parser.add_argument("--sheet", type=Path, metavar="FILE.png", help="the worst and the best")
    options = parser.parse_args(arguments)
    try:
        with two_cores():
            run(options, worker)
    except PromptMatteError as error:
        print(f"benchmarks.people: {error}", file=sys.stderr)
        return 2
    return 0


def run(options: argparse.Namespace, worker: Sequence[str] | None) -> None:
    """Measures, prints, writes what was asked for; PromptMatteError."""
    found = places(options.data)
    choice = ModelChoice(name=options.model, device="cpu", weights=options.weights)
    ours = Ours(load_model(choice))
    talk = Console(stderr=True)
    talk.print("starting MediaPipe (the first time uv fetches it, about 250 MB)")
    with MediaPipe(worker) as peer:

        def ask(pixels: Pixels) -> dict[str, Answer]:
            return ours.answers(pixels) | peer.masks(pixels)

        names = [ours.name, *peer.names]
        ask(found[0].case().pixels)
        measured = [
            (place, row)
            for place in track(found, "people", console=talk)
            if (row := row_of(place, ask)) is not None
        ]
        rows = [row for _, row in measured]
        groups = summaries(rows, names)
        Console().print(terminal(groups, names))
        if options.sheet:
            members = {g: [m for m in measured if m[1].group == g] for g in groups if g != OVERALL}
            peers = {group: best_of(groups[group], peer.names) for group in members}
            write_sheet(members, peers, ours.name, ask, options.sheet)
    if options.table:
        options.table.write_text(markdown(groups, names), encoding="utf-8")
    if options.json:
        result = report(options, groups, rows, peer.versions)
        options.json.write_text(json.dumps(result, indent=1), encoding="utf-8")


def row_of(place: Place, ask: Ask) -> Row | None:
    """What the contenders make of a picture; None for one with too little of a person."""
    case = place.case()
    share = float(case.truth.mean())
    if share < SMALLEST_SHARE:
        return None
    answers = ask(case.pixels)
    height, width = case.truth.shape
    ours = next(iter(answers.values()))
    return Row(
        group=place.group,
        dataset=place.dataset.name,
        file=place.picture.image.name,
        size=f"{width}x{height}",
        share=round(share, 4),
        confidence=round(ours.confidence, 4),
        iou={n: round(iou(a.mask & case.known, case.truth), 4) for n, a in answers.items()},
        ms={n: round(a.milliseconds, 3) for n, a in answers.items()},
    )


def report(
    options: argparse.Namespace,
    groups: dict[str, dict[str, Any]],
    rows: list[Row],
    versions: dict[str, str],
) -> dict[str, Any]:
    """Everything as JSON values."""
    return {
        "benchmark": "people",
        **machine(),
        "threads": CORES,
        "versions": {
            "promptmatte": version("promptmatte"),
            "torch": torch.__version__,
            "opencv": cv2.__version__,
            **{f"peer {name}": text for name, text in versions.items()},
        },
        "model": options.model,
        "weights": str(options.weights or "shipped"),
        "confidence_floor": MatteControls().confidence_floor,
        "groups": groups,
        "pictures": [asdict(row) for row in rows],
    }


@contextmanager
def two_cores() -> Iterator[None]:
    """Holds this process, and those it starts, to two threads and, where that can be said, to
    two cores."""
    threads = torch.get_num_threads(), cv2.getNumThreads()
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_setaffinity") else None
    torch.set_num_threads(CORES)
    cv2.setNumThreads(CORES)
    if cores:
        os.sched_setaffinity(0, sorted(cores)[:CORES])
    try:
        yield
    finally:
        torch.set_num_threads(threads[0])
        cv2.setNumThreads(threads[1])
        if cores:
            os.sched_setaffinity(0, cores)


if __name__ == "__main__":
    sys.exit(main())
