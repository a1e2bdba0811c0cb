"""Recording as the command line sees it: serve's options, and lines that say how it goes."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from promptmatte.clock import Clock
from promptmatte.commands.news import say
from promptmatte.errors import ConfigError

if TYPE_CHECKING:
    from promptmatte.recording.recorder import Recorder


def add_record_options(parser: argparse.ArgumentParser) -> None:
    """--record and what belongs to it."""
    group = parser.add_argument_group("recording", "while the mattes go on")
    group.add_argument("--record", type=Path, metavar="FILE",
                       help=".mov (ProRes 4444), .webm (VP9), or a name without an ending for a "
                       "folder of PNG files; a taken name becomes FILE-2")  # fmt: skip
    group.add_argument("--record-what", default="rgba", metavar="W",
                       help="rgba: each frame with its matte as alpha; matte: the matte alone "
                       "(default: rgba)")  # fmt: skip
    group.add_argument("--record-later", action="store_true",
                       help="begin only with `promptmatte record on`")  # fmt: skip


def recorder_from(
    arguments: argparse.Namespace, clock: Clock, console: Console
) -> tuple[Recorder | None, Callable[[], None]]:
    """The recorder that add_record_options' arguments ask for, at work unless it is to wait,
    and a function that prints what is new about it; ConfigError."""
    if arguments.record is None:
        if arguments.record_later:
            raise ConfigError("expected --record FILE with --record-later; got no FILE")
        return None, lambda: None

    from promptmatte.recording.recorder import Recorder
    from promptmatte.recording.target import RecordingTarget

    target = RecordingTarget(path=arguments.record)
    recorder = Recorder(target, what=arguments.record_what, clock=clock)
    recorder.switch(not arguments.record_later)
    shown = _news_of(recorder.status())

    def tell() -> None:
        nonlocal shown
        status = recorder.status()
        news = _news_of(status)
        if news != shown:
            shown = news
            say(console, recording_line(status))

    return recorder, tell


def recording_line(status: Mapping[str, Any]) -> str:
    """How a recording goes, for people, from Recorder.status."""
    if status["error"]:
        return str(status["error"])
    line = f"recording {status['state']}"
    if status["file"]:
        line += f": {status['file']}, {status['frames']} frames, {status['seconds']:.1f} s"
    if status["dropped"]:
        line += f", {status['dropped']} frames dropped: the disk or the encoder is too slow"
    return line


def _news_of(status: Mapping[str, Any]) -> tuple[Any, ...]:
    """What is worth a line when it changes."""
    return status["state"], status["file"], status["error"], status["dropped"] > 0
