"""promptmatte cut: a picture or video file with the named thing cut out, alpha in the file."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from promptmatte.commands.options import (
    Subparsers,
    add_control_options,
    add_model_options,
    add_prompt_options,
    checked_output,
    controls_from,
    model_from,
    prompts_from,
)
from promptmatte.controls import Controls
from promptmatte.errors import ConfigError
from promptmatte.prompts import PromptSet

if TYPE_CHECKING:
    from promptmatte.commands.cut_file import Cutter
    from promptmatte.models.protocol import Model


def add_parser(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """cut."""
    parser = commands.add_parser("cut", help="cut a thing out of a picture or video file")
    parser.add_argument("file", type=Path, metavar="FILE", help="a picture or a video")
    add_prompt_options(parser, required=True)
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="OUT",
        help="picture: .png; video: .mov (ProRes 4444) or .webm (VP9), without sound; "
        "straight alpha",
    )  # fmt: skip
    add_quality_option(parser)
    add_model_options(parser)
    add_control_options(parser, without=("fill", "latency"))
    parser.set_defaults(run=run)


def add_quality_option(parser: argparse.ArgumentParser) -> None:
    """--quality."""
    parser.add_argument(
        "--quality", choices=("fast", "best"), default="fast",
        help="fast: as live; best: masks carried from the keyframes before and after, edges "
        "solved by closed-form matting, the thing's own colours in half-covered pixels; about "
        "a second a frame (default: %(default)s)",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Cuts the file out and says where the result is."""
    from promptmatte.sources.image import IMAGE_SUFFIXES

    prompts = PromptSet(version=1, prompts=prompts_from(arguments))
    controls = controls_from(arguments, Controls())
    output = checked_output(arguments.output)
    if output.exists() and arguments.file.exists() and output.samefile(arguments.file):
        raise ConfigError(f"expected an output other than the input; got {output} for both")
    console = Console()
    is_picture = arguments.file.suffix.lower() in IMAGE_SUFFIXES
    cut = _cut_picture if is_picture else _cut_video
    try:
        with ended_as_interrupted():
            confidence = cut(arguments, prompts, controls, console)
    except KeyboardInterrupt:
        console.print(f"interrupted: {output} was not written", markup=False, soft_wrap=True)
        raise
    console.print(f"wrote {output}", markup=False, highlight=False, soft_wrap=True)
    tell_empty(console, arguments.file.name, prompts, confidence, controls)
    return 0


def tell_empty(
    console: Console,
    name: str,
    prompts: PromptSet,
    confidence: Sequence[float],
    controls: Controls,
) -> None:
    """Says of each prompt that nothing in the file of this name matched, if so."""
    for prompt, best, channel in zip(prompts.prompts, confidence, controls.channels, strict=False):
        if best < channel.confidence_floor:
            console.print(
                f"[yellow]nothing in {name} matches {prompt.text!r} "
                f"(confidence {best:.2f}): its alpha is empty[/yellow]"
            )


@contextmanager
def ended_as_interrupted() -> Iterator[None]:
    """SIGTERM leaves as little behind as Ctrl-C."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def cutter_from(
    arguments: argparse.Namespace, prompts: PromptSet, controls: Controls, console: Console
) -> Cutter:
    """A Cutter of the arguments' model and quality; it says, once it has its model, what that
    does not know of the prompts."""
    from promptmatte.commands.cut_file import Cutter
    from promptmatte.notes import notes_on

    def loaded() -> Model:
        model = model_from(arguments)
        for note in notes_on(prompts, model, change="--model"):
            console.print(note, markup=False, highlight=False, soft_wrap=True)
        return model

    return Cutter(model=loaded, prompts=prompts, controls=controls, quality=arguments.quality)


def _cut_picture(
    arguments: argparse.Namespace,
    prompts: PromptSet,
    controls: Controls,
    console: Console,
) -> list[float]:
    """Writes an RGBA PNG; the highest confidence of each prompt."""
    from promptmatte.commands.cut_file import rgba_png
    from promptmatte.commands.whole_file import whole_file
    from promptmatte.matte.masks import widest
    from promptmatte.sources.image import read_image

    if arguments.output.suffix.lower() != ".png":
        raise ConfigError(
            f"expected an output ending in .png for a picture; got {arguments.output.name!r}"
        )
    picture = read_image(arguments.file)
    cutter = cutter_from(arguments, prompts, controls, console)
    with whole_file(arguments.output) as partial, console.status("cutting out"):
        frame, matte = cutter.picture(picture)
        partial.write_bytes(rgba_png(frame, widest(matte.alpha)))
    return cutter.confidence


def _cut_video(
    arguments: argparse.Namespace,
    prompts: PromptSet,
    controls: Controls,
    console: Console,
) -> list[float]:
    """Writes a video with alpha, frame for frame; the highest confidence of each prompt."""
    from rich.progress import Progress

    cutter = cutter_from(arguments, prompts, controls, console)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("cutting out", total=None)
        cutter.video(
            arguments.file,
            arguments.output,
            told=lambda done, total: bars.update(task, completed=done, total=total or None),
        )
    return cutter.confidence
