"""promptmatte top: how a running server goes, seen live in a terminal."""

from __future__ import annotations

import argparse
import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from promptmatte.commands.control import ask
from promptmatte.commands.options import DEFAULT_SESSION, Subparsers
from promptmatte.commands.record import recording_line
from promptmatte.errors import ConfigError, PromptMatteError
from promptmatte.prompts import Prompt

INTERVAL_S = 0.5
SHORTEST_S = 0.1
HISTORY = 60
BARS = "▁▂▃▄▅▆▇█"
CONFIDENCE_CELLS = 20


def add_parser(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """top."""
    parser = commands.add_parser("top", help="how a running server goes, live; Ctrl-C ends it")
    parser.add_argument(
        "--link", default=DEFAULT_SESSION, metavar="ADDRESS",
        help=f"the server's link: shm:NAME or zmq:tcp://... (default: {DEFAULT_SESSION})",
    )  # fmt: skip
    parser.add_argument("--interval", type=float, default=INTERVAL_S, metavar="S",
                        help="seconds between looks (default: %(default)s)")  # fmt: skip
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Looks until Ctrl-C, through restarts of the server; once where there is no terminal."""
    if not arguments.interval >= SHORTEST_S:
        raise ConfigError(
            f"expected --interval as {SHORTEST_S:g} or more seconds; got {arguments.interval:g}"
        )
    console = Console()
    history = History()
    if not console.is_terminal:
        history.add(ask(arguments.link, {"command": "status"})["status"], time.monotonic())
        console.print(view(history, link=arguments.link))
        return 0
    with (
        suppress(KeyboardInterrupt),
        Live(console=console, screen=True, auto_refresh=False) as live,
    ):
        while True:
            try:
                status = ask(arguments.link, {"command": "status"})["status"]
                history.add(status, time.monotonic())
            except PromptMatteError as error:
                history.trouble = str(error)
            live.update(view(history, link=arguments.link), refresh=True)
            time.sleep(arguments.interval)
    return 0


@dataclass(kw_only=True)
class History:
    """What was seen so far.

    status: the newest. trouble: why there is no newer one. drops_per_s: by cause, since the look
    before. fps, latency_ms: one value a look, the newest last.
    """

    status: Mapping[str, Any] = field(default_factory=dict)
    trouble: str = ""
    drops_per_s: dict[str, float] = field(default_factory=dict)
    fps: deque[float] = field(default_factory=lambda: deque(maxlen=HISTORY))
    latency_ms: deque[float] = field(default_factory=lambda: deque(maxlen=HISTORY))
    _seen_s: float = 0.0

    def add(self, status: Mapping[str, Any], now_s: float) -> None:
        """Takes in the server's status."""
        before = self.status.get("dropped", {})
        if status["frames_in"] < self.status.get("frames_in", 0):
            before = {}  # another run of the server
        if self.status:
            elapsed_s = max(now_s - self._seen_s, 1e-3)
            self.drops_per_s = {
                cause: max(0, count - before.get(cause, 0)) / elapsed_s
                for cause, count in status["dropped"].items()
            }
        self.fps.append(status["matte_fps"])
        self.latency_ms.append(status["latency_ms"]["p50"] or 0.0)
        self.status, self.trouble, self._seen_s = status, "", now_s


def view(history: History, *, link: str) -> RenderableType:
    """Everything on one screen, after a first look; texts from outside are never markup."""
    status = history.status
    parts: list[RenderableType] = []
    if history.trouble:
        parts.append(Text(history.trouble, style="bold red"))
    if status:
        parts += [_rates(history), _prompts(status), _links(status), *_lines(status)]
    style = "red" if history.trouble else "green" if _runs(status) else "yellow"
    state = "no answer" if history.trouble else status["state"]
    title = Text(f"PromptMatte  {link}  {state}")
    return Panel(Group(*parts), title=title, title_align="left", border_style=style)


def sparkline(values: Collection[float]) -> str:
    """The values as a row of blocks, the highest one full."""
    highest = max(values, default=0.0)
    if highest <= 0:
        return BARS[0] * len(values)
    return "".join(BARS[round(value / highest * (len(BARS) - 1))] for value in values)


def _runs(status: Mapping[str, Any]) -> bool:
    return status.get("state") == "running"


def _rates(history: History) -> Table:
    status = history.status
    latency = status["latency_ms"]
    size = status["size"]
    table = Table.grid(padding=(0, 2))
    table.add_row("source", Text(f"{status['source']}  {f'{size[1]}x{size[0]}' if size else ''}"))
    table.add_row("model", Text(f"{status['model']} on {status['device']}"))
    table.add_row("mattes", f"{status['matte_fps']:6.1f} a second", sparkline(history.fps))
    age = "" if status["age_ms"] is None else f", the last {status['age_ms']:.0f} ms old"
    table.add_row("keyframes", f"{status['keyframe_hz']:6.1f} a second{age}")
    spans = ", ".join(f"{latency[p]:.0f} ms {p}" for p in ("p50", "p95", "p99") if latency[p])
    table.add_row("latency", spans or "-", sparkline(history.latency_ms))
    drops = ", ".join(
        f"{cause} {count} ({history.drops_per_s.get(cause, 0.0):.1f} a second)"
        for cause, count in status["dropped"].items()
    )
    table.add_row("frames", Text(f"{status['frames_in']} in, {status['mattes_out']} mattes"))
    table.add_row("dropped", Text(drops or "none"))
    return table


def _prompts(status: Mapping[str, Any]) -> Table:
    table = Table("", "prompt", "confidence", "", box=None, title_justify="left")
    for number, entry in enumerate(status["prompts"], start=1):
        text = Prompt.of_entry(entry).typed
        sure = entry["confidence"]
        filled = round((sure or 0.0) * CONFIDENCE_CELLS)
        bar = "█" * filled + "░" * (CONFIDENCE_CELLS - filled)
        table.add_row(str(number), Text(text), bar, "-" if sure is None else f"{sure:.0%}")
    return table


def _links(status: Mapping[str, Any]) -> Table:
    table = Table("link", "", "sent", "received", "missed", "torn", "rejected", "errors", box=None)
    for entry in status["links"]:
        counts = ("sent", "received", "missed", "torn", "rejected", "errors")
        table.add_row(
            Text(entry["address"]),
            "connected" if entry["connected"] else "nobody",
            *(str(entry[name]) for name in counts),
        )
    return table


def _lines(status: Mapping[str, Any]) -> Iterator[Text]:
    """What the server has to say, one line each."""
    if status["recording"] is not None:
        yield Text(recording_line(status["recording"]))
    for link in status["links"]:
        if link["error"]:
            yield Text(f"{link['address']}: {link['error']}", style="red")
    for note in (*status["notes"], status.get("notice"), status["errors"]):
        if note:
            yield Text(str(note), style="yellow")
