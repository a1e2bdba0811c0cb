"""The command line that starts the server, from what a person gives: a Python, uv, or a folder."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from promptmatte_td.links import LinkChoice

INSTALL = (
    "install PromptMatte on this machine (see Help) and give its folder, its Python or its "
    "promptmatte program in Server > Program"
)


class LaunchError(ValueError):
    """The server cannot be started as asked: what was expected and what to do."""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """How to start the server.

    program: a folder (a checkout, or a virtual environment), a Python interpreter or
    promptmatte itself; empty to look for one. source: as of `promptmatte serve`; empty for
    frames that come over the link. options: more of `promptmatte serve`, as typed.
    """

    program: str
    link: LinkChoice
    source: str = ""
    model: str = ""
    options: str = ""

    def command(self) -> list[str]:
        """The program and its arguments; LaunchError."""
        address = self.link.address
        try:
            more = shlex.split(self.options, posix=os.name != "nt")
        except ValueError as error:
            raise LaunchError(f"expected options as on a command line; {error}") from error
        return [
            *program_command(self.program), "serve", "--source", self.source or address,
            "--out", address,
            *(["--model", self.model] if self.model else []), "--until-input-ends", *more,
        ]  # fmt: skip


def program_command(program: str) -> list[str]:
    """What runs promptmatte; LaunchError when there is no such program."""
    program = program.strip().strip('"')
    if not program:
        return _found()
    path = Path(program).expanduser()
    if path.is_dir():
        return _of_folder(path)
    if not path.is_file() and shutil.which(program) is None:
        raise LaunchError(f"expected a program or folder at {program}; found none: {INSTALL}")
    name = path.name.lower()
    if name.startswith("python"):
        return [program, "-m", "promptmatte"]
    if name.startswith("promptmatte"):
        return [program]
    if name.removesuffix(".exe") in ("uv", "uvx"):
        raise LaunchError(
            f"expected PromptMatte's folder, which uv runs in; got {program}: give the folder "
            "with its pyproject.toml instead"
        )
    raise LaunchError(f"expected a folder, a Python or promptmatte; got {path.name}: {INSTALL}")


def _of_folder(folder: Path) -> list[str]:
    for base in (folder / ".venv", folder):
        for inside in ("Scripts/python.exe", "bin/python"):
            if (base / inside).is_file():
                return [str(base / inside), "-m", "promptmatte"]
    if (folder / "pyproject.toml").is_file():
        uv = shutil.which("uv") or _usual_uv()
        if uv is None:
            raise LaunchError(
                f"expected uv, to set up {folder}; found none: in a terminal, "
                f'cd "{folder}", then python -m pip install uv && python -m uv sync'
            )
        return [uv, "run", "--project", str(folder), "promptmatte"]
    raise LaunchError(
        f"expected PromptMatte in {folder}: a pyproject.toml or a Python; found neither: {INSTALL}"
    )


def _found() -> list[str]:
    program = shutil.which("promptmatte")
    if program is None:
        raise LaunchError(f"expected promptmatte on the path; found none: {INSTALL}")
    return [program]


def _usual_uv() -> str | None:
    """Where uv's installers put it, which need not be on a program's path."""
    for folder in (".local/bin", ".cargo/bin"):
        for name in ("uv", "uv.exe"):
            path = Path.home() / folder / name
            if path.is_file():
                return str(path)
    return None


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what would make another Python read TouchDesigner's libraries."""
    kept = {
        name: value
        for name, value in environment.items()
        if not name.upper().startswith(("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP"))
    }
    return kept | {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
