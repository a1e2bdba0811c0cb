"""promptmatte keys: who may reach the ZeroMQ link from other machines."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from promptmatte.commands.options import Subparsers
from promptmatte.links.keys import FOLDER_VARIABLE, KeyFolder


def add_parser(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """keys new, client, list, revoke."""
    parser = commands.add_parser("keys", help="let other machines reach the ZeroMQ link")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    new = actions.add_parser("new", help="make this server's pair of keys")
    new.set_defaults(run=run_new)
    client = actions.add_parser("client", help="make a client's keys, and let it in")
    client.add_argument("name", metavar="NAME", help="what the client is called here")
    client.add_argument(
        "--out", type=Path, metavar="DIR",
        help="the folder to carry to the client (default: promptmatte-keys-NAME)",
    )  # fmt: skip
    client.set_defaults(run=run_client)
    listed = actions.add_parser("list", help="who is let in")
    listed.set_defaults(run=run_list)
    revoke = actions.add_parser("revoke", help="let a client in no more")
    revoke.add_argument("name", metavar="NAME")
    revoke.set_defaults(run=run_revoke)
    for action in (new, client, listed, revoke):
        action.add_argument(
            "--dir", type=Path, metavar="DIR",
            help=f"the server's folder of keys (default: {FOLDER_VARIABLE}, or `keys` in the "
            "folder of settings)",
        )  # fmt: skip


def run_new(arguments: argparse.Namespace) -> int:
    """Makes the server's pair and shows its public key."""
    keys = _folder(arguments)
    public = keys.make_server().decode()
    _say(f"public key of this server: {public}\nits keys are in {keys.path}")
    return 0


def run_client(arguments: argparse.Namespace) -> int:
    """Makes a client's pair, which is let in from now on."""
    out = arguments.out or Path(f"promptmatte-keys-{arguments.name}")
    public = _folder(arguments).make_client(arguments.name, out).decode()
    _say(
        f"public key of {arguments.name}: {public}\n"
        f"carry {out} to its machine, and say there where it is: {FOLDER_VARIABLE}=DIR"
    )
    return 0


def run_list(arguments: argparse.Namespace) -> int:
    """Shows the clients and their public keys."""
    for name, public in _folder(arguments).clients().items():
        _say(f"{name} {public.decode()}")
    return 0


def run_revoke(arguments: argparse.Namespace) -> int:
    """Takes a client's key away."""
    _folder(arguments).revoke(arguments.name)
    _say(f"{arguments.name} is let in no more; what it has open ends with the server's next start")
    return 0


def _folder(arguments: argparse.Namespace) -> KeyFolder:
    return KeyFolder(arguments.dir) if arguments.dir else KeyFolder.from_environment()


def _say(text: str) -> None:
    Console().print(text, markup=False, highlight=False, soft_wrap=True)
