"""Compares models on pictures with masks: python compare_models.py DIR --model sam-vit-b ...

DIR holds images/, masks/ and, for prompts and ids to ignore, classes.json. Every model is
run with every CLIP and prompter that it has; a row each, as a table, Markdown and JSON:

    python compare_models.py data/street --model embedded --model sam-vit-b --model sam-vit-h \\
        --clip ViT-B-16 --clip ViT-L-14 --prompter dense --json out.json --markdown out.md

Models that are not here yet are fetched (promptmatte models list says how large they are).
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from promptmatte import __version__
from promptmatte.errors import ConfigError, PromptMatteError
from promptmatte.evaluation.pictures import Evaluation
from promptmatte.evaluation.truth import LabelledPrompt
from promptmatte.frame import Frame
from promptmatte.models import load_model
from promptmatte.models.choice import DEFAULT_CLIP, MODEL_NAMES, PRECISIONS, PROMPTERS, ModelChoice
from promptmatte.models.protocol import Decoded, Model, PromptEmbedding, Scene
from promptmatte.training.datasets import read_classes

COLUMNS = ("model", "clip", "prompter", "mean IoU", "absent empty", "encode ms", "decode ms")


class Timed:
    """A model that notes how long each encode and decode takes, in ms."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.encode_ms: list[float] = []
        self.decode_ms: list[float] = []

    def __getattr__(self, name: str) -> Any:
        """Everything else is the model's own."""
        return getattr(self._model, name)

    def encode(self, frame: Frame) -> Scene:
        """The model's."""
        start = time.perf_counter()
        scene = self._model.encode(frame)
        self._wait()  # a card works on after the call
        self.encode_ms.append(1e3 * (time.perf_counter() - start))
        return scene

    def decode(self, scene: Scene, embedding: PromptEmbedding) -> Decoded:
        """The model's; its result is in main memory, so there is nothing to wait for."""
        start = time.perf_counter()
        decoded = self._model.decode(scene, embedding)
        self.decode_ms.append(1e3 * (time.perf_counter() - start))
        return decoded

    def _wait(self) -> None:
        import torch

        if self._model.device.startswith("cuda"):
            torch.cuda.synchronize(self._model.device)
        elif self._model.device.startswith("mps"):
            torch.mps.synchronize()


def main() -> int:
    """Runs, prints, writes; 2 for what cannot be used."""
    arguments = parsed()
    try:
        compare(arguments)
    except PromptMatteError as error:
        print(f"compare_models: {error}", file=sys.stderr)
        return 2
    return 0


def parsed() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument(
        "--prompt", dest="labelled", action="append", metavar="TEXT=IDS",
        help="a prompt and its mask ids (default: every class of classes.json)",
    )  # fmt: skip
    parser.add_argument("--model", action="append", choices=MODEL_NAMES)
    parser.add_argument("--clip", action="append", help=f"for SAM (default: {DEFAULT_CLIP})")
    parser.add_argument("--prompter", action="append", choices=PROMPTERS, help="for SAM")
    parser.add_argument("--projection", type=Path, help="weights for --prompter projection")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto", choices=PRECISIONS)
    parser.add_argument("--stride", type=int, default=1, help="every Nth picture")
    parser.add_argument("--limit", type=int, help="the first N of them")
    parser.add_argument("--json", type=Path, metavar="OUT")
    parser.add_argument("--markdown", type=Path, metavar="OUT")
    return parser.parse_args()


def compare(arguments: argparse.Namespace) -> None:
    """Measures every choice; what is done is written after each, so that none is lost."""
    prompts = prompts_of(arguments)
    rows: list[dict[str, Any]] = []
    for choice in choices(arguments):
        print(f"{choice.name} {choice.clip if choice.has_clip else ''}...", file=sys.stderr)
        rows.append(measured(choice, prompts, arguments))
        result = {
            "promptmatte": __version__,
            "python": platform.python_version(),
            "machine": f"{platform.system()} {platform.machine()}",
            "folder": arguments.folder.name,
            "rows": rows,
        }
        if arguments.json:
            arguments.json.write_text(json.dumps(result, indent=1), encoding="utf-8")
        if arguments.markdown:
            arguments.markdown.write_text(markdown(rows), encoding="utf-8")
    print(markdown(rows), end="")


def prompts_of(arguments: argparse.Namespace) -> list[LabelledPrompt]:
    """The prompts as given, else the classes of the folder."""
    if arguments.labelled:
        return [LabelledPrompt.parse(text) for text in arguments.labelled]
    names, ignored = read_classes(arguments.folder)
    prompts = [
        LabelledPrompt.parse(f"{name}={label}")
        for label, name in names.items()
        if label != 0 and label not in ignored
    ]
    if not prompts:
        raise ConfigError('expected --prompt "person=1" or a classes.json with names; got neither')
    return prompts


def choices(arguments: argparse.Namespace) -> Iterator[ModelChoice]:
    """Every model; SAM with every CLIP and prompter."""
    for name in arguments.model or ["embedded"]:
        common = {"name": name, "device": arguments.device, "precision": arguments.precision}
        if not ModelChoice(name=name).has_clip:
            yield ModelChoice(**common)
            continue
        for clip in arguments.clip or [DEFAULT_CLIP]:
            for prompter in arguments.prompter or ["dense"]:
                projection = arguments.projection if prompter == "projection" else None
                yield ModelChoice(**common, clip=clip, prompter=prompter, projection=projection)


def measured(
    choice: ModelChoice, prompts: list[LabelledPrompt], arguments: argparse.Namespace
) -> dict[str, Any]:
    """A row: what was run, IoU of each prompt and their mean, medians of the times."""
    evaluation = Evaluation(
        arguments.folder, prompts, stride=arguments.stride, limit=arguments.limit
    )
    model = Timed(load_model(choice))
    for _ in evaluation.pictures(model):
        print(".", end="", flush=True, file=sys.stderr)
    print(file=sys.stderr)
    found = evaluation.result(model)["prompts"]
    present = [row["miou"] for row in found.values() if row["miou"] is not None]
    absent = [row["absent_empty"] for row in found.values() if row["absent_empty"] is not None]
    return {
        "model": choice.name,
        "clip": choice.clip if choice.has_clip else None,
        "prompter": choice.prompter if choice.has_clip else None,
        "device": model.device,
        "precision": choice.precision,
        "pictures": len(evaluation.pairs),
        "mean IoU": round(statistics.fmean(present), 4) if present else None,
        "absent empty": round(statistics.fmean(absent), 4) if absent else None,
        # the first picture warms the device up
        "encode ms": round(statistics.median(model.encode_ms[1:] or model.encode_ms), 1),
        "decode ms": round(statistics.median(model.decode_ms[1:] or model.decode_ms), 1),
        "prompts": found,
    }


def markdown(rows: list[dict[str, Any]]) -> str:
    """A Markdown table: a row for each choice, then the IoU of each prompt."""
    texts = list(rows[0]["prompts"])
    heads = [*COLUMNS, *texts]
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    for row in rows:
        ious = [row["prompts"][text]["miou"] for text in texts]
        cells = [*(row[column] for column in COLUMNS), *ious]
        lines.append("| " + " | ".join("-" if c is None else str(c) for c in cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
