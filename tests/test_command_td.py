"""promptmatte td: the line, the export, and docs that say what the component is."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from promptmatte.cli import main
from promptmatte.commands.td import COMPONENT
from promptmatte_td.osc import PLACED, PULSES, SHARED
from promptmatte_td.parameters import PAGES

REPOSITORY = Path(__file__).parents[1]


def line_in(output: str) -> str:
    return next(line for line in output.splitlines() if line.startswith("import runpy"))


def test_the_line_names_the_builder(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["td"]) == 0
    line = line_in(capsys.readouterr().out)
    path = re.search(r'r"(.+?)"', line)
    assert path is not None
    assert Path(path[1]) == COMPONENT / "build_component.py"
    assert Path(path[1]).is_file()
    compile(line, "textport", "exec")


def test_an_export_has_all_sources_and_can_be_made_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "for the show"
    assert main(["td", "--export", str(folder)]) == 0
    assert str(folder / "promptmatte_td" / "build_component.py") in line_in(capsys.readouterr().out)
    stale = folder / "promptmatte_td" / "stale.py"
    stale.touch()
    assert main(["td", "--export", str(folder)]) == 0
    assert not stale.exists()
    assert (folder / "README.md").read_text(encoding="utf-8").startswith("# PromptMatte")
    elsewhere = tmp_path / "elsewhere"
    folder.rename(elsewhere)
    builder = runpy.run_path(str(elsewhere / "promptmatte_td" / "build_component.py"))
    embedding = runpy.run_path(str(elsewhere / "promptmatte_td" / "embedding.py"))
    assert embedding["read_sources"](builder["ROOTS"]) == embedding["read_sources"](
        [REPOSITORY / name for name in ("td_component", "shared_memory", "server")]
    )


def test_an_export_does_not_touch_other_folders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "show.toe").touch()
    assert main(["td", "--export", str(tmp_path)]) == 2
    assert "expected a new or empty folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["show.toe"]
    assert main(["td", "--export", str(tmp_path / "show.toe")]) == 2
    assert main(["td", "--export", str(tmp_path / "show.toe" / "inside")]) == 2


def test_the_drawn_pictures_are_those_of_the_description(tmp_path: Path) -> None:
    subprocess.run([sys.executable, REPOSITORY / "td_component" / "draw.py", tmp_path], check=True)
    for path in tmp_path.iterdir():
        kept = REPOSITORY / "docs" / path.name
        assert path.read_text(encoding="utf-8") == kept.read_text(encoding="utf-8"), (
            "python td_component/draw.py docs"
        )


def test_the_docs_name_every_page_and_every_osc_address() -> None:
    text = (REPOSITORY / "docs" / "touchdesigner.md").read_text(encoding="utf-8")
    osc = text.split("## OSC")[1].split("\n## ")[0]
    for name in (*PLACED, *SHARED, *PULSES):
        assert re.search(rf"[/`]{name}`", osc), name
    for page in ("Server", "Advanced"):
        assert page in PAGES
        assert page in text
