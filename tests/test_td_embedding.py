"""Packages kept as text: imported from memory, alone, beside others of the same name."""

from __future__ import annotations

import subprocess
import sys
import traceback
from pathlib import Path

import numpy as np
import promptmatte_shm
import pytest
from promptmatte_td import embedding
from promptmatte_td.embedding import EmbeddedCode, dat_name, module_name, read_sources

REPOSITORY = Path(__file__).parents[1]
ROOTS = [REPOSITORY / name for name in ("td_component", "shared_memory", "server")]


def test_every_source_is_found_and_named_as_operators_can_be() -> None:
    sources = read_sources(ROOTS)
    assert {"promptmatte_td.extension", "promptmatte_shm.ring", "promptmatte.controls"} <= set(
        sources
    )
    for module in sources:
        name = dat_name(module)
        assert name.isidentifier(), name
        assert module_name(name) == module


def test_a_missing_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="promptmatte_td"):
        read_sources([tmp_path])


def test_embedded_packages_leave_the_installed_ones_alone() -> None:
    before = {name: module for name, module in sys.modules.items() if "promptmatte" in name}
    code = EmbeddedCode(read_sources(ROOTS))
    session = code.module("promptmatte_shm.client_session").ClientSession
    assert session is not promptmatte_shm.ClientSession
    assert code.module("promptmatte_shm.client_session").ClientSession is session
    assert code.module("promptmatte_td.links").ClientSession is session, "shared within"
    after = {name: module for name, module in sys.modules.items() if "promptmatte" in name}
    assert after == before
    assert not any(isinstance(finder, EmbeddedCode) for finder in sys.meta_path)


def test_a_module_that_fails_leaves_nothing_behind_and_its_source_in_the_traceback() -> None:
    code = EmbeddedCode({"broken": "", "broken.part": "x = 1\nraise ValueError('in here')\n"})
    with pytest.raises(ValueError, match="in here") as failure:
        code.module("broken.part")
    shown = "".join(traceback.format_exception(failure.value))
    assert "raise ValueError('in here')" in shown
    assert not [name for name in sys.modules if name.startswith("broken")]
    with pytest.raises(ImportError):
        code.module("absent")


ALONE = """
import sys
sys.path[:0] = [sys.argv[1]]
import numpy
import runpy
embedding = runpy.run_path(sys.argv[2])
from pathlib import Path
code = embedding["EmbeddedCode"](embedding["read_sources"]([Path(p) for p in sys.argv[3:]]))
engine = code.module("promptmatte_td.engine").Engine
links = code.module("promptmatte_td.links")
choice = links.LinkChoice(session="nobody-there")
running = engine(choice, modules=code.module, folder=Path("."))
running.close().join()
try:
    engine(links.LinkChoice(kind="zmq"), modules=code.module, folder=Path("/project"))
except links.LinkUnavailableError as error:
    print(error)
foreign = {n.partition(".")[0] for n in sys.modules} & {"torch", "cv2", "zmq", "msgpack"}
assert not foreign, foreign
"""


def test_what_works_beside_the_cooking_thread_needs_numpy_only(tmp_path: Path) -> None:
    for entry in Path(np.__file__).parents[1].glob("numpy*"):
        (tmp_path / entry.name).symlink_to(entry)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-W", "error", "-c", ALONE, tmp_path, embedding.__file__,
         *ROOTS],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "pip install" in done.stdout, "ZeroMQ says how it is to be had"
    assert "promptmatte_packages" in done.stdout
