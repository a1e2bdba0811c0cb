"""Reports: their form, and docs/benchmarks.md as made of the committed ones."""

from __future__ import annotations

import importlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
from promptmatte.bench.report import Report, Table
from promptmatte.bench.size import parsed_size, size_text
from promptmatte.bench.terminal import shown
from promptmatte.errors import ConfigError, PromptMatteError
from rich.console import Console

FOUND = Report(
    command="promptmatte bench x",
    title="Something",
    about="What was measured.",
    machine={"device": "a machine", "commit": "abc"},
    tables=[Table(title="A table", columns=("who", "ms"), rows=[("a|b", 1.5), ("c", None)])],
    raw={"rounds": 3},
)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module that makes the page."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    return importlib.import_module("benchmarks.report")


def test_the_page_is_what_the_committed_results_give(made: Any) -> None:
    assert made.PAGE.read_text(encoding="utf-8") == made.page(made.RESULTS)


def test_a_report_comes_back_from_its_file(tmp_path: Path) -> None:
    FOUND.write(tmp_path / "found.json")
    values = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert values["rounds"] == 3
    assert Report.of(values).values() == values == json.loads(json.dumps(FOUND.values()))


def test_a_page_has_command_machine_and_tables_in_order(made: Any, tmp_path: Path) -> None:
    for name in ("zzz", "links", "peers"):
        FOUND.write(tmp_path / f"{name}.json")
        text = (tmp_path / f"{name}.json").read_text().replace("Something", name)
        (tmp_path / f"{name}.json").write_text(text)
    page = made.page(tmp_path)
    assert [line for line in page.splitlines() if line.startswith("## ")] == [
        "## peers", "## links", "## zzz",
    ]  # fmt: skip
    assert "```sh\npromptmatte bench x\n```\n\na machine, commit abc\n" in page
    assert "| who | ms |\n| --- | ---: |\n| a\\|b | 1.5 |\n| c | - |\n" in page


def test_other_forms_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 2 values"):
        Table(title="t", columns=("a", "b"), rows=[(1,)])
    broken = FOUND.values()
    del broken["about"]
    with pytest.raises(PromptMatteError, match="about"):
        Report.of(broken)


def test_a_report_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(PromptMatteError, match="cannot write"):
        FOUND.write(tmp_path / "nowhere" / "found.json")


def test_sizes() -> None:
    assert parsed_size("1920x1080") == (1080, 1920)
    assert size_text((540, 960)) == "960x540"
    for text in ("960", "960x", "x540", "8x8", "960x9999", "-1x540", "960x540x3", "axb"):
        with pytest.raises(ConfigError, match="960x540"):
            parsed_size(text)


def test_a_wide_row_stands_upright_in_a_narrow_terminal() -> None:
    columns = tuple(f"a long heading {index}" for index in range(17))
    wide = Table(title="Wide", columns=columns, rows=[tuple(range(100, 117))])
    report = Report(command="x", title="X", about="", machine={}, tables=[wide, *FOUND.tables])
    console = Console(width=60, record=True, file=io.StringIO())
    for part in shown(report):
        console.print(part)
    lines = [line.split() for line in console.export_text().splitlines()]
    assert ["a", "long", "heading", "16", "116"] in lines
    assert ["who", "ms"] in lines
