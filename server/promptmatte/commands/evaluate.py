"""promptmatte eval: how well prompts are keyed on pictures, or live on clips, with masks."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import Progress, track
from rich.table import Table

from promptmatte.commands.options import (
    Subparsers,
    add_control_options,
    add_model_options,
    checked_output,
    controls_from,
    model_from,
)
from promptmatte.controls import Controls
from promptmatte.errors import ConfigError


def add_parser(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """eval."""
    parser = commands.add_parser("eval", help="measure on a folder of pictures and masks")
    parser.add_argument(
        "folder", type=Path, metavar="DIR",
        help="images/ and masks/, flat or a folder a clip; classes.json may list ids to ignore",
    )  # fmt: skip
    parser.add_argument(
        "--prompt", dest="labelled", action="append", metavar="TEXT=IDS",
        help='a prompt and its mask ids, e.g. "person=255" or "sky=1,2"; may be repeated',
    )  # fmt: skip
    parser.add_argument("--stride", type=int, metavar="N", help="every Nth picture")
    parser.add_argument(
        "--limit", type=int, metavar="N", help="the first N of them; live: N frames of each clip"
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the result as JSON")
    _add_live_options(parser)
    add_control_options(parser, without=("encode_hz",))
    add_model_options(parser)
    parser.set_defaults(run=run, prompts=None)


def _add_live_options(parser: argparse.ArgumentParser) -> None:
    live = parser.add_argument_group("clips, as if they were live")
    live.add_argument(
        "--live", action="store_true",
        help="play the clips to the live engine under a simulated clock",
    )  # fmt: skip
    live.add_argument("--fps", type=float, metavar="F", help="frames a second (default: 30)")
    live.add_argument(
        "--encode-hz", type=float, metavar="H", help="keyframes a second (default: 5)"
    )  # fmt: skip
    live.add_argument(
        "--encode-ms", type=float, metavar="MS", help="how late a keyframe comes (default: 120)"
    )  # fmt: skip
    live.add_argument(
        "--oracle", action="store_true",
        help="keyframes are the true masks; without --prompt all that is labelled is one thing",
    )  # fmt: skip
    live.add_argument(
        "--only", dest="clips", action="append", metavar="NAME",
        help="only this clip; may be repeated",
    )  # fmt: skip
    live.add_argument(
        "--picture", type=Path, metavar="FILE.png",
        help="write frames of each clip, keyed in each way side by side",
    )  # fmt: skip


LIVE_ONLY = ("fps", "encode_hz", "encode_ms", "oracle", "clips", "picture", "controls")


def run(arguments: argparse.Namespace) -> int:
    """Measures, shows a table, writes JSON."""
    if arguments.json:
        checked_output(arguments.json)
    console = Console()
    result = (_run_live if arguments.live else _run_pictures)(arguments, console)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1), encoding="utf-8")
    return 0


def _run_pictures(arguments: argparse.Namespace, console: Console) -> dict[str, Any]:
    from promptmatte.evaluation import Evaluation, LabelledPrompt

    given = [name.replace("_", "-") for name in LIVE_ONLY if getattr(arguments, name)]
    if given:
        raise ConfigError(f"expected --live with the option for {given[0]}; got no --live")
    if not arguments.labelled:
        raise ConfigError('expected a prompt and its mask ids, --prompt "person=255"; got none')
    prompts = [LabelledPrompt.parse(text) for text in arguments.labelled]
    stride = 1 if arguments.stride is None else arguments.stride
    evaluation = Evaluation(arguments.folder, prompts, stride=stride, limit=arguments.limit)
    model = model_from(arguments)
    count = len(evaluation.pairs)
    for _ in track(evaluation.pictures(model), "measuring", total=count, console=console):
        pass
    result = evaluation.result(model)
    table = Table("prompt", "mean IoU", "n", "absent empty", "absent n")
    for text, row in result["prompts"].items():
        values = (row["miou"], row["n"], row["absent_empty"], row["absent_n"])
        table.add_row(text, *("-" if v is None else str(v) for v in values))
    console.print(table)
    console.print(f"{result['ms_per_image']} ms a picture, {result['model']} on {result['device']}")
    return result


def _run_live(arguments: argparse.Namespace, console: Console) -> dict[str, Any]:
    from promptmatte.commands.evaluate_strip import Strip
    from promptmatte.evaluation import LabelledPrompt
    from promptmatte.evaluation.live import LiveEvaluation
    from promptmatte.evaluation.settings import LiveSettings

    if arguments.picture and checked_output(arguments.picture).suffix.lower() != ".png":
        raise ConfigError(f"expected a picture ending in .png; got {arguments.picture.name!r}")
    if arguments.stride is not None:
        raise ConfigError("expected no --stride with --live, where every frame counts")
    given = {name: getattr(arguments, name) for name in ("fps", "encode_hz", "encode_ms")}
    evaluation = LiveEvaluation(
        arguments.folder,
        [LabelledPrompt.parse(text) for text in arguments.labelled or ()],
        settings=LiveSettings(**{name: v for name, v in given.items() if v is not None}),
        oracle=arguments.oracle,
        controls=controls_from(arguments, Controls()),
        clips=arguments.clips or (),
        limit=arguments.limit,
    )
    model = None if arguments.oracle else model_from(arguments)
    strip = Strip(len(evaluation.clips)) if arguments.picture else None
    with Progress(console=console, transient=True) as bars:
        task = bars.add_task("measuring", total=len(evaluation))
        for clip_run in evaluation.runs(model, keep=strip.frames_per_clip if strip else 0):
            bars.update(task, description=clip_run.name)
            for _ in clip_run:
                bars.advance(task)
            if strip:
                strip.add(clip_run)
    if strip:
        strip.write(arguments.picture)
    result = evaluation.result(model)
    console.print(_live_table(result))
    return result


def _live_table(result: dict[str, Any]) -> Table:
    """A row for each clip, their mean, and the mean of each baseline."""
    baselines = result["baselines"]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("clip", no_wrap=True)
    for heading in ("J", "F", "flicker", "stale", "ms", "J stale", "J chain", "J every"):
        table.add_column(heading, justify="right", no_wrap=True)

    def add(name: str, row: dict[str, float], others: list[dict[str, float]]) -> None:
        table.add_row(
            name, f"{row['J']:.3f}", f"{row['F']:.3f}", f"{row['flicker']:.4f}",
            f"{row['stale_share']:.0%}", f"{row['ms_per_frame']:.1f}",
            *(f"{other['J']:.3f}" for other in others),
        )  # fmt: skip

    for name, row in result["clips"].items():
        add(name, row, [other["clips"][name] for other in baselines.values()])
    table.add_section()
    add("mean", result["mean"], list(baselines.values()))
    table.add_section()
    for name, row in baselines.items():
        add(name.replace("_", " "), row, [])
    return table
