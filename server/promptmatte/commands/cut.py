"""promptmatte cut: a picture or video file with the named thing cut out, alpha in the file."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Iterable, Iterator
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
from promptmatte.config import PipelineConfig
from promptmatte.controls import Controls
from promptmatte.errors import ConfigError
from promptmatte.prompts import PromptSet

if TYPE_CHECKING:
    from promptmatte.frame import Frame, Matte


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
    parser.add_argument(
        "--quality", choices=("fast", "best"), default="fast",
        help="fast: as live; best: masks carried from the keyframes before and after, edges "
        "solved by closed-form matting, the thing's own colours in half-covered pixels; about "
        "a second a frame (default: %(default)s)",
    )  # fmt: skip
    add_model_options(parser)
    add_control_options(parser, without=("fill", "latency"))
    parser.set_defaults(run=run)


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
        with _ended_as_interrupted():
            confidence = cut(arguments, prompts, controls, console)
    except KeyboardInterrupt:
        console.print(f"interrupted: {output} was not written")
        raise
    console.print(f"wrote {output}", highlight=False)
    for prompt, best, channel in zip(prompts.prompts, confidence, controls.channels, strict=False):
        if best < channel.confidence_floor:
            console.print(
                f"[yellow]nothing in {arguments.file.name} matches {prompt.text!r} "
                f"(confidence {best:.2f}): its alpha is empty[/yellow]"
            )
    return 0


@contextmanager
def _ended_as_interrupted() -> Iterator[None]:
    """SIGTERM leaves as little behind as Ctrl-C."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


class _Best:
    """Passes mattes on and remembers the highest confidence of each prompt."""

    def __init__(self, prompts: PromptSet) -> None:
        self.confidence = [0.0] * len(prompts.prompts)

    def watch(self, mattes: Iterable[tuple[Frame, Matte]]) -> Iterator[tuple[Frame, Matte]]:
        for frame, matte in mattes:
            self.confidence = [
                max(pair) for pair in zip(self.confidence, matte.confidence, strict=True)
            ]
            yield frame, matte


def _mattes(
    frames: Iterable[Frame],
    arguments: argparse.Namespace,
    prompts: PromptSet,
    controls: Controls,
    keyframe_every: int,
    console: Console,
) -> Iterator[tuple[Frame, Matte]]:
    """The frames, with the colours to write, and their mattes. Says first what the model does
    not know of the prompts."""
    from promptmatte.commands.cut_best import best_mattes
    from promptmatte.commands.cut_video import offline_mattes
    from promptmatte.notes import notes_on

    model = model_from(arguments)
    for note in notes_on(prompts, model, change="--model"):
        console.print(note, markup=False, highlight=False, soft_wrap=True)
    mattes = best_mattes if arguments.quality == "best" else offline_mattes
    return mattes(
        frames,
        model=model,
        prompts=prompts,
        config=PipelineConfig(),
        controls=controls,
        keyframe_every=keyframe_every,
    )


def _cut_picture(
    arguments: argparse.Namespace,
    prompts: PromptSet,
    controls: Controls,
    console: Console,
) -> list[float]:
    """Writes an RGBA PNG; the highest confidence of each prompt."""
    import cv2

    from promptmatte.commands.whole_file import whole_file
    from promptmatte.sources.image import read_image

    if arguments.output.suffix.lower() != ".png":
        raise ConfigError(
            f"expected an output ending in .png for a picture; got {arguments.output.name!r}"
        )
    picture = read_image(arguments.file)
    best = _Best(prompts)
    with whole_file(arguments.output) as partial, console.status("cutting out"):
        mattes = _mattes([picture], arguments, prompts, controls, 1, console)
        for frame, matte in best.watch(mattes):
            bgra = cv2.cvtColor(frame.pixels, cv2.COLOR_RGB2BGRA)
            bgra[..., 3] = matte.alpha.max(axis=2)
            partial.write_bytes(cv2.imencode(".png", bgra)[1].tobytes())
    return best.confidence


def _cut_video(
    arguments: argparse.Namespace,
    prompts: PromptSet,
    controls: Controls,
    console: Console,
) -> list[float]:
    """Writes a video with alpha, frame for frame; the highest confidence of each prompt."""
    from rich.progress import Progress

    from promptmatte.commands.cut_video import AlphaVideoWriter, alpha_codec
    from promptmatte.commands.whole_file import whole_file
    from promptmatte.sources.video import probe_video, read_video

    codec = alpha_codec(arguments.output)
    info = probe_video(arguments.file)
    best = _Best(prompts)
    with (
        whole_file(arguments.output) as partial,
        AlphaVideoWriter(partial, codec=codec, size_hw=info.size_hw, fps=info.fps) as writer,
    ):
        every = max(1, round(info.fps / controls.stream.encode_hz))
        frames = read_video(arguments.file)
        mattes = _mattes(frames, arguments, prompts, controls, every, console)
        with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
            task = bars.add_task("cutting out", total=info.frames or None)
            for frame, matte in best.watch(mattes):
                writer.write(frame, matte.alpha.max(axis=2))
                bars.advance(task)
    return best.confidence
