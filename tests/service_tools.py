"""Stand-ins for systemctl, launchctl and schtasks: real programs that note their arguments."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

PROGRAM = """\
import json, sys
from pathlib import Path
tool, *arguments = sys.argv[1:]
folder = Path({folder!r})
with (folder / "calls").open("a", encoding="utf-8") as calls:
    calls.write(json.dumps([tool, *arguments]) + "\\n")
answers = json.loads((folder / "answers").read_text(encoding="utf-8"))
for words, text, code in answers:
    if words in " ".join(arguments):
        print(text, file=sys.stderr if code else sys.stdout)
        sys.exit(code)
"""


def put_on_path(
    folder: Path, monkeypatch: pytest.MonkeyPatch, program: Path, *names: str, before: str = ""
) -> None:
    """Commands of these names first on PATH: Python programs that get `before` (a word or none),
    the name and the arguments."""
    folder.mkdir(exist_ok=True)
    for name in names:
        quoted = f'"{before}"' if before else ""
        words = f'"{sys.executable}" "{program}" {quoted} {name}'
        if os.name == "nt":
            (folder / f"{name}.cmd").write_text(f"@{words} %*\n", encoding="utf-8")
        else:
            script = folder / name
            script.write_text(f'#!/bin/sh\nexec {words} "$@"\n', encoding="utf-8")
            script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


class Tools:
    """Programs of these names first on PATH. calls: what they were run with."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
        self._folder = folder
        folder.mkdir()
        program = folder / "program.py"
        program.write_text(PROGRAM.format(folder=str(folder)), encoding="utf-8")
        self._answers: list[tuple[str, str, int]] = []
        self._save()
        put_on_path(folder, monkeypatch, program, *names)

    def answer(self, words: str, text: str, code: int = 0) -> None:
        """From now on arguments that contain the words are answered so."""
        self._answers.insert(0, (words, text, code))
        self._save()

    def _save(self) -> None:
        (self._folder / "answers").write_text(json.dumps(self._answers), encoding="utf-8")

    @property
    def calls(self) -> list[list[str]]:
        """The tool and its arguments, in order."""
        path = self._folder / "calls"
        if not path.exists():
            return []
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
