"""promptmatte eval: how well prompts are keyed on pictures with masks."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from promptmatte.commands.options import (
    Subparsers,
    add_model_options,
    checked_output,
    model_from,
)


def add_parser(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """eval."""
    parser = commands.add_parser("eval", help="measure on a folder of pictures and masks")
    parser.add_argument(
        "folder", type=Path, metavar="DIR",
        help="images/ and masks/, flat or a folder a clip; classes.json may list ids to ignore",
    )  # fmt: skip
    parser.add_argument(
        "--prompt", dest="prompts", action="append", required=True, metavar="TEXT=IDS",
        help='a prompt and its mask ids, e.g. "person=255" or "sky=1,2"; may be repeated',
    )  # fmt: skip
    parser.add_argument("--stride", type=int, default=1, metavar="N", help="every Nth picture")
    parser.add_argument("--limit", type=int, metavar="N", help="the first N of them")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the result as JSON")
    add_model_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measures, shows a table, writes JSON."""
    from promptmatte.evaluation import Evaluation, LabelledPrompt

    prompts = [LabelledPrompt.parse(text) for text in arguments.prompts]
    if arguments.json:
        checked_output(arguments.json)
    evaluation = Evaluation(
        arguments.folder, prompts, stride=arguments.stride, limit=arguments.limit
    )
    model = model_from(arguments)
    console = Console()
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
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1), encoding="utf-8")
    return 0
