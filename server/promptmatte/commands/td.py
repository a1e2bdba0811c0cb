"""promptmatte td: the TouchDesigner component, built there by one line or carried there."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import promptmatte_shm
import promptmatte_td
from promptmatte_td.embedding import PACKAGES, is_package, read_sources
from rich.console import Console

import promptmatte
from promptmatte.commands.options import Subparsers
from promptmatte.errors import ConfigError

COMPONENT = Path(promptmatte_td.__file__).parent
BUILDER = "build_component.py"
README = "COMPONENT.md"
ROOTS = tuple(
    Path(package.__file__).parents[1]
    for package in (promptmatte_td, promptmatte_shm, promptmatte)
    if package.__file__ is not None
)


def add_parser(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """td."""
    parser = commands.add_parser("td", help="make the TouchDesigner component")
    parser.add_argument(
        "--export", type=Path, metavar="DIR",
        help="write a folder to carry to the show machine, which needs nothing else",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Says the line to type in TouchDesigner, after an export if one is asked for."""
    folder = COMPONENT
    if arguments.export is not None:
        folder = export(arguments.export.expanduser()) / COMPONENT.name
    console = Console(soft_wrap=True, highlight=False)
    console.print("In TouchDesigner open the Textport (Alt+T), paste this line, press Enter:\n")
    console.print(textport_line(folder / BUILDER), markup=False)
    console.print(
        "\nIt makes the component PromptMatte, or brings the one there is up to date, and saves "
        "PromptMatte.tox beside the project."
    )
    if arguments.export is not None:
        console.print(f"On another machine put there where {arguments.export} is then.")
    return 0


def textport_line(builder: Path) -> str:
    """What runs the builder inside TouchDesigner."""
    return f'import runpy; _ = runpy.run_path(r"{builder.absolute()}", run_name="build")'


def export(folder: Path) -> Path:
    """Writes the builder, all sources that the component embeds and the readme; the folder.

    ConfigError for a folder that holds something else, or cannot be written.
    """
    if folder.exists() and not _may_be_overwritten(folder):
        raise ConfigError(f"expected a new or empty folder, or an export before; got {folder}")
    try:
        for package in (*PACKAGES, "promptmatte"):
            shutil.rmtree(folder / package, ignore_errors=True)
        sources = read_sources(ROOTS)
        for name, text in sources.items():
            path = folder.joinpath(*name.split("."))
            if is_package(name, sources):
                path /= "__init__"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_suffix(".py").write_text(text, encoding="utf-8")
        shutil.copyfile(COMPONENT / README, folder / COMPONENT.name / README)
        shutil.copyfile(COMPONENT / README, folder / "README.md")
    except OSError as error:
        raise ConfigError(f"cannot write to {folder}: {error.strerror or error}") from error
    return folder


def _may_be_overwritten(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    return not any(folder.iterdir()) or (folder / COMPONENT.name / BUILDER).is_file()
