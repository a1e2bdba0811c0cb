"""promptmatte models: what can be fetched, fetching it, checking it, where it lies."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from promptmatte.commands.options import Subparsers
from promptmatte.errors import ConfigError

if TYPE_CHECKING:
    from promptmatte.models.partial import BytesProgress
    from promptmatte.models.store import Store

COLOURS = {"ready": "green", "partial": "yellow", "damaged": "red"}


def add_parser(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """models, with list, pull, verify and path."""
    parser = commands.add_parser("models", help="fetch models and see which are there")
    actions = parser.add_subparsers(metavar="ACTION", required=True)

    listing = actions.add_parser("list", help="what there is, how large, and what is here")
    listing.add_argument("--json", action="store_true", help="as JSON")
    _add_clip(listing, "the CLIP to count with each SAM")
    listing.set_defaults(run=run_list)

    pulling = actions.add_parser(
        "pull", help="fetch models; goes on where it was cut off",
        description="Fetches models into the cache. A SAM comes with the CLIP that reads its "
        "words, so that it works with no network afterwards.",
    )  # fmt: skip
    pulling.add_argument("names", nargs="+", metavar="NAME", help="as models list shows them")
    _add_clip(pulling, "the CLIP to fetch with a SAM")
    pulling.set_defaults(run=run_pull)

    verifying = actions.add_parser("verify", help="read files that are here again, bit by bit")
    verifying.add_argument("names", nargs="*", metavar="NAME", help="default: all that is here")
    verifying.set_defaults(run=run_verify)

    locating = actions.add_parser("path", help="where a model lies, or the cache itself")
    locating.add_argument("name", nargs="?", metavar="NAME")
    locating.set_defaults(run=run_path)


def _add_clip(parser: argparse.ArgumentParser, text: str) -> None:
    from promptmatte.models.choice import DEFAULT_CLIP

    parser.add_argument(
        "--clip", default=DEFAULT_CLIP, metavar="NAME", help=f"{text} (default: {DEFAULT_CLIP})"
    )


def run_list(arguments: argparse.Namespace) -> int:
    """Shows a row for each model."""
    from promptmatte.models.store import Store

    store = Store.from_environment()
    rows = _rows(store, arguments.clip)
    if arguments.json:
        result = {"folder": str(store.folder), "clip": arguments.clip, "models": rows}
        sys.stdout.write(json.dumps(result, indent=1) + "\n")
        return 0
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("model", no_wrap=True)  # whole, to be copied
    table.add_column("what for")
    for heading in ("size", "with CLIP"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("here", no_wrap=True)
    for row in rows:
        word, size = row["state"], row["size_bytes"]
        share = f" {row['done_bytes'] / size:.0%}" if word == "partial" and size else ""
        colour = COLOURS.get(word, "default")
        total = _size_text(row["needs_bytes"]) if row["kind"] == "SAM" else ""
        table.add_row(
            row["name"], row["purpose"], _size_text(size) if size else "", total,
            f"[{colour}]{word}{share}[/{colour}]",
        )  # fmt: skip
    console = Console()
    console.print(table)
    console.print(
        f"with CLIP: with {escape(arguments.clip)}, which reads the words\n"
        f"fetch: promptmatte models pull NAME\nin {escape(str(store.folder))}",
        soft_wrap=True,
    )
    return 0


def _rows(store: Store, clip: str) -> list[dict[str, Any]]:
    """What list shows of each model, in bytes."""
    from promptmatte.models.catalogue import CATALOGUE

    rows = []
    for entry in CATALOGUE.values():
        state = store.state(entry.name)
        needs = _with_needs(entry.name, clip)
        rows.append(
            {
                "name": entry.name,
                "kind": entry.kind,
                "purpose": entry.purpose,
                "licence": entry.licence,
                "state": state.name,
                "done_bytes": state.done_bytes,
                "size_bytes": state.size_bytes,
                "sha256_published": entry.is_published if entry.files else None,
                "needs": needs,
                "needs_bytes": sum(store.state(name).size_bytes for name in needs),
                "by_hand": entry.by_hand or None,
            }
        )
    return rows


def _with_needs(name: str, clip: str) -> list[str]:
    """The entries to fetch for a name: a SAM needs a CLIP, a CLIP itself alone."""
    from promptmatte.models.catalogue import named_entry, needed
    from promptmatte.models.choice import SAM_NAMES, ModelChoice

    if name in SAM_NAMES:
        return list(needed(ModelChoice(name=name, clip=clip)))
    return [name] if named_entry(name).files else []


def run_pull(arguments: argparse.Namespace) -> int:
    """Fetches what is named and what it needs; says what comes along."""
    from promptmatte.models.catalogue import CATALOGUE, named_entry
    from promptmatte.models.store import Store

    console = Console()
    wanted: dict[str, None] = {}  # an ordered set
    for name in arguments.names:
        if name == "embedded":
            raise ConfigError(
                "expected a model to fetch; got embedded, which is part of the program"
            )
        if by_hand := named_entry(name).by_hand:
            raise ConfigError(f"expected a model that can be fetched; got {name}: {by_hand}")
        for entry in _with_needs(name, arguments.clip):
            if entry not in (name, *arguments.names, *wanted):
                console.print(
                    f"{name} reads words through {entry}: it comes along (--clip takes another)"
                )
            wanted[entry] = None
    store = Store.from_environment()
    for name in wanted:
        was_ready = store.state(name).name == "ready"
        with _progress(console) as bars:
            path = store.pulled(name, _told(bars, name))
        fetched = "was here" if was_ready else "fetched"
        trust = "" if CATALOGUE[name].is_published else (
            ", not checked against a published sha256 (there is none; its own is recorded)"
        )  # fmt: skip
        console.print(f"{name}: {fetched}{trust}, {escape(str(path))}", soft_wrap=True)
    return 0


def run_verify(arguments: argparse.Namespace) -> int:
    """Hashes files again; 2 when one is bad or missing."""
    from promptmatte.models.catalogue import CATALOGUE, named_entry
    from promptmatte.models.store import Store

    store, console, bad = Store.from_environment(), Console(), 0
    for name in arguments.names:
        if by_hand := named_entry(name).by_hand:
            raise ConfigError(f"expected a model that can be checked; got {name}: {by_hand}")
    here = [n for n in CATALOGUE if store.state(n).name in ("ready", "damaged")]
    if not (names := arguments.names or here):
        console.print(f"no models in {escape(str(store.folder))}", soft_wrap=True)
    for name in names:
        with _progress(console) as bars:
            verdicts = list(store.verified(name, _told(bars, name)))
        for verdict in verdicts:
            bad += not verdict.ok
            word = "[green]ok[/green]" if verdict.ok else "[red]bad[/red]"
            console.print(
                f"{word} {escape(str(verdict.path))}: {escape(verdict.found)}", soft_wrap=True
            )
    return 2 if bad else 0


def run_path(arguments: argparse.Namespace) -> int:
    """Prints the path of a model that is here, or of the cache; nothing else on the line."""
    from promptmatte.models.store import Store

    store = Store.from_environment()
    path = store.located(arguments.name) if arguments.name else store.folder
    sys.stdout.write(f"{path}\n")
    return 0


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
        TimeRemainingColumn(), console=console, transient=True,
    )  # fmt: skip


def _told(bars: Progress, name: str) -> BytesProgress:
    """A BytesProgress that draws a bar for each stage, so that speeds do not mix."""
    tasks: dict[str, Any] = {}

    def told(stage: str, done: int, total: int) -> None:
        if stage not in tasks:
            for task in tasks.values():
                bars.update(task, visible=False)
            # what was there before this run is no speed of this run
            tasks[stage] = bars.add_task(f"{stage} {name}", total=total, completed=done)
        bars.update(tasks[stage], completed=done, total=total, visible=True)

    return told


def _size_text(size_bytes: int) -> str:
    if size_bytes >= 1e9:
        return f"{size_bytes / 1e9:.2f} GB"
    return f"{size_bytes / 1e6:.0f} MB"
