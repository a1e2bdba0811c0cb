"""promptmatte demo: the real server on the test source, a reader beside it, pictures of both."""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import string
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress, track

from promptmatte.commands.options import Subparsers, add_model_options, choice_from, model_options
from promptmatte.errors import ConfigError, PromptMatteError
from promptmatte.prompts import clean_text

if TYPE_CHECKING:
    from promptmatte.commands.demo_replay import Replay
    from promptmatte.commands.demo_server import Child, DemoServer

MAX_SECONDS = 120
SPARE_S = 300
"""A server whose demo was killed ends by itself so many seconds after its time."""


def add_parser(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """demo."""
    parser = commands.add_parser("demo", help="see it work, on pictures that come with it")
    parser.add_argument("--headless", action="store_true", help="open no window")
    parser.add_argument("--seconds", type=float, default=10.0, metavar="N",
                        help=f"how long to run, up to {MAX_SECONDS} (default: 10)")  # fmt: skip
    parser.add_argument("--prompt", default="person", metavar="TEXT",
                        help="the thing to key (default: person)")  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("promptmatte-demo"), metavar="DIR",
                        help="folder for demo.mp4, contact-sheet.png and report.json "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--source", default="test:", metavar="S",
                        help="test:, test:person, test:cat, or a video or picture file "
                        "(default: test:)")  # fmt: skip
    add_model_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the server, reads its mattes in another process, writes pictures and report."""
    from promptmatte.commands.demo_replay import Replay

    prompt = clean_text(arguments.prompt)
    if not math.isfinite(arguments.seconds) or not 1 <= arguments.seconds <= MAX_SECONDS:
        raise ConfigError(f"expected --seconds of 1 to {MAX_SECONDS}; got {arguments.seconds:g}")
    folder = _made_folder(arguments.out)
    console = Console()
    with ExitStack() as stack:
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        stack.callback(signal.signal, signal.SIGTERM, before or signal.SIG_DFL)
        replay = Replay(arguments.source)
        stack.callback(replay.close)
        temporary = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="promptmatte-demo-", ignore_cleanup_errors=True)
        )
        kept = Path(temporary)
        status = _run_live(arguments, prompt, kept, console)
        report = _write_files(folder, kept, status, replay=replay, prompt=prompt, console=console)
    _summarise(console, folder, prompt, report)
    return 0


def _made_folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"expected a folder that can be made; got {path}: {error}") from error
    return path.absolute()


def session_name(process_id: int) -> str:
    """The session of a demo process's own: demo- and its id in base 36."""
    digits = ""
    while process_id:
        process_id, digit = divmod(process_id, 36)
        digits = (string.digits + string.ascii_lowercase)[digit] + digits
    return f"demo-{digits}"


def _run_live(
    arguments: argparse.Namespace, prompt: str, folder: Path, console: Console
) -> dict[str, Any]:
    """Server, reader and perhaps a window at work; the server's last status."""
    from promptmatte.commands.demo_server import Child, DemoServer

    session = session_name(os.getpid())
    with ExitStack() as stack:
        with _uninterrupted():
            server = DemoServer(session, _serve_arguments(arguments, prompt), folder=folder)
            stack.callback(server.close)
        with console.status("starting the server"):
            server.wait_until_running()
        with _uninterrupted():
            reader = Child(
                "reader",
                ["promptmatte.commands.demo_reader", "--session", session,
                 "--seconds", str(arguments.seconds), "--folder", str(folder)],
                folder=folder,
            )  # fmt: skip
            stack.callback(reader.close)
        window = None
        if not arguments.headless and _has_display(console):
            with _uninterrupted():
                window = Child(
                    "window",
                    ["promptmatte.commands.demo_preview", "--session", session,
                     "--source", arguments.source, "--prompt", prompt],
                    folder=folder,
                )  # fmt: skip
                stack.callback(window.close)
        _wait_for_reader(reader, arguments.seconds, console)
        if window is not None and window.exit_code:
            console.print("[yellow]no window could be opened; the files are the same[/yellow]")
        return _stopped(server, reader)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C waits for the end of the block: a process just being started would be lost."""
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt


def _serve_arguments(arguments: argparse.Namespace, prompt: str) -> list[str]:
    return [
        f"--source={arguments.source}", f"--prompt={prompt}",
        f"--seconds={arguments.seconds + SPARE_S}", *model_options(choice_from(arguments)),
    ]  # fmt: skip


def _has_display(console: Console) -> bool:
    if sys.platform in ("win32", "darwin"):
        return True
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        return True
    console.print("[yellow]there is no display here: no window (--headless says so too)[/yellow]")
    return False


def _wait_for_reader(reader: Child, seconds: float, console: Console) -> None:
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("reading mattes from shared memory", total=seconds)
        start_s = time.monotonic()
        while reader.exit_code is None:
            time.sleep(0.05)
            bars.update(task, completed=min(time.monotonic() - start_s, seconds))


def _stopped(server: DemoServer, reader: Child) -> dict[str, Any]:
    """The server's last status; PromptMatteError when the reader got no mattes."""
    from promptmatte.commands.demo_reader import NO_MATTE

    status = server.stop()
    if reader.exit_code == NO_MATTE:
        raise PromptMatteError(
            f"no matte came; the server got {status['frames_in']} frames, dropped "
            f"{status['dropped']}, error: {status['errors']}"
        )
    if reader.exit_code:
        raise PromptMatteError(
            f"the reader ended with code {reader.exit_code}: {reader.last_words()}"
        )
    return status


def _write_files(
    folder: Path,
    kept: Path,
    status: dict[str, Any],
    *,
    replay: Replay,
    prompt: str,
    console: Console,
) -> dict[str, Any]:
    """Video, contact sheet and report in `folder` from what the reader kept; the report."""
    from promptmatte.commands.demo_reader import COUNTS_FILE, MATTES_FILE, ReaderCounts
    from promptmatte.commands.demo_record import read_records
    from promptmatte.commands.demo_report import DemoFiles, report_of, write_report

    counts = ReaderCounts(**json.loads((kept / COUNTS_FILE).read_text(encoding="utf-8")))
    height, width = counts.size_hw or (0, 0)
    records = read_records(kept / MATTES_FILE, (height, width))
    files = DemoFiles(
        folder, records=records, size_hw=(height, width), replay=replay, prompt=prompt
    )
    files.write(
        track(
            records, "writing the video", console=console, transient=True,
            disable=not console.is_terminal,
        )
    )  # fmt: skip
    report = report_of(status, counts, files.miou)
    write_report(folder / "report.json", report)
    return report


def _summarise(console: Console, folder: Path, prompt: str, report: dict[str, Any]) -> None:
    latency_ms = report["latency_ms"]["p95"]
    dropped = sum(report["dropped"].values())
    loading = report["dropped"].get("loading_model", 0)
    quality = "" if report["miou"] is None else f", IoU {report['miou']:.2f}"
    console.print(
        f"{prompt}: {report['matte_fps']:.1f} mattes a second, "
        f"{report['keyframe_hz']:.1f} keyframes a second, latency p95 {latency_ms:.0f} ms, "
        f"{dropped} of {report['frames_in']} frames dropped "
        f"({loading} while the model was loaded), "
        f"{report['reader']['torn']} torn reads{quality} "
        f"({report['model']} on {report['device']})",
        highlight=False,
        soft_wrap=True,
    )
    for name in ("demo.mp4", "contact-sheet.png", "report.json"):
        console.print(str(folder / name), highlight=False, soft_wrap=True)
