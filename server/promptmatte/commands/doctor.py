"""promptmatte doctor: what works here, what does not, and what to do about it."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from promptmatte.commands.options import Subparsers

COLOURS = {"ok": "green", "note": "yellow", "problem": "red"}


def add_parser(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """doctor."""
    parser = commands.add_parser("doctor", help="check this machine and say what to do")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Shows the checks; 1 when a problem keeps the server from working."""
    from promptmatte.commands.doctor_checks import run_checks

    console = Console()
    with Console(stderr=True).status("checking"):
        checks = run_checks()
    blocked = any(check.state == "problem" for check in checks)
    if arguments.json:
        result = {"ok": not blocked, "checks": [asdict(check) for check in checks]}
        console.print_json(json.dumps(result))
        return int(blocked)
    table = Table("", "check", "found", box=None, pad_edge=False)
    for check in checks:
        colour = COLOURS[check.state]
        table.add_row(f"[{colour}]{check.state}[/{colour}]", check.name, escape(check.found))
    console.print(table)
    for check in checks:
        if check.remedy:  # unwrapped: it may be a command to copy
            console.print(f"\n[bold]{check.name}[/bold]: {escape(check.remedy)}", soft_wrap=True)
    return int(blocked)
