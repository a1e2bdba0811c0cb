"""Show files: TOML as people, or others, write it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from random import Random

from promptmatte.commands.config import serve_parser
from promptmatte.commands.show_example import example_show
from promptmatte.commands.show_file import ShowFile

from .target import Target

PIECES = (
    "[[prompt]]", "[controls]", "text = 'person + dog'", "threshold = 0.4", "also = ['cat']",
    "source = 'test:'", "osc = 5573", "a.b.c = 1", "= ", "[", "[[", "]", "{", "}", "'''", '"""',
    "1979-05-27T07:32:00Z", "0x", "inf", "nan", "\\u0000", "9" * 4400, "[" * 900, "# ", "web = ''",
)  # fmt: skip


@cache
def _file() -> Path:
    return Path(tempfile.mkdtemp(prefix="promptmatte-fuzz-")) / "show.toml"


def run(data: bytes) -> None:
    """Reads the file with this in it."""
    _file().write_bytes(data)
    ShowFile.read(_file())


def seeds() -> Sequence[bytes]:
    """The file that `promptmatte config` writes, whole and with its lines switched on."""
    text = example_show(serve_parser())
    switched_on = "\n".join(line.removeprefix("# ") for line in text.splitlines())
    own = '[controls]\nthreshold = 0.4\n[[prompt]]\ntext = "red car"\nalso = ["cat"]\nexpand = 2\n'
    return [text.encode(), switched_on.encode(), own.encode()]


def mutate(data: bytes, chance: Random) -> bytes:
    """The same with a piece of TOML in it, or a line less."""
    lines = data.split(b"\n")
    at = chance.randrange(len(lines))
    match chance.randrange(4):
        case 0:
            del lines[at]
        case 1:
            lines[at] += chance.choice(PIECES).encode()
        case _:
            lines.insert(at, chance.choice(PIECES).encode())
    return b"\n".join(lines)


TARGET = Target(run=run, seeds=seeds, mutate=mutate, most_bytes=16384)
