"""Plays a show in a process of its own: numpy, the stand-in, an export, nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from promptmatte.cli import main

HERE = Path(__file__).parent
STANDIN = HERE / "standin"
PATIENCE_S = 600


class ShowRunner:
    """Shows in a folder of their own, in one session."""

    def __init__(self, folder: Path, session: str) -> None:
        self.folder = folder
        self.session = session
        packages = folder / "packages"
        packages.mkdir()
        for entry in Path(np.__file__).parents[1].glob("numpy*"):
            (packages / entry.name).symlink_to(entry)
        self._paths = [str(STANDIN), str(HERE), str(packages)]
        (folder / "project" / "elsewhere").mkdir(parents=True)

    def play(self, show: str, **settings: Any) -> dict[str, Any]:
        """What a show finds, as the JSON of its last line."""
        export = self.folder / "export"
        assert main(["td", "--export", str(export)]) == 0
        path = self.folder / f"{show}.json"
        path.write_text(
            json.dumps({
                "paths": self._paths, "export": str(export), "session": self.session,
                "project": str(self.folder / "project"), **settings,
            }),
            encoding="utf-8",
        )  # fmt: skip
        return dict(json.loads(self._run(str(HERE / f"{show}.py"), str(path)).splitlines()[-1]))

    def run_code(self, code: str) -> str:
        """What Python code prints in such a process."""
        setting = f"import sys; sys.path[:0] = {self._paths!r}; "
        return self._run("-c", setting + code).strip()

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-S", *arguments],
            capture_output=True, text=True, encoding="utf-8", check=False, timeout=PATIENCE_S,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return done.stdout

    @contextmanager
    def keyer(self) -> Iterator[None]:
        """A server without a model, in another process."""
        process = subprocess.Popen(
            [sys.executable, str(HERE / "keyer.py"), f"shm:{self.session}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        with process:
            assert process.stdout is not None
            assert process.stdout.readline()
            yield
            process.kill()
