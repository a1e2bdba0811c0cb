"""Writes docs/benchmarks.md from benchmarks/results/*.json.

    python -m benchmarks.report

A file of another name than the known ones comes after them; one that is not there is left out.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from promptmatte.bench.report import Cell, Report, Table
from promptmatte.bench.terminal import cell_text

RESULTS = Path(__file__).with_name("results")
PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
ORDER = (
    "end-to-end", "peers", "matte", "model", "links", "streams", "faults", "fuzz", "soak",
)  # fmt: skip
HEAD = """\
# Benchmarks

Written by `python -m benchmarks.report` from the files in `benchmarks/results`, which the command
above each table wrote. `promptmatte bench WHAT` measures your own machine, `--json FILE` keeps it;
iceoryx2 and the peers come with `uv run --group bench promptmatte bench peers`, and MediaPipe in
an environment of its own that uv makes. Every file of this page anew:

```sh
for what in links model matte end-to-end peers; do
    uv run --group bench promptmatte bench $what --json benchmarks/results/$what.json
done
python -m benchmarks.report
```

"-" is not measured. `promptmatte bench WHAT --help` tells what can be chosen.
"""


def page(folder: Path) -> str:
    """The page of the results in a folder; PromptMatteError for a file of another form."""
    places = {name: place for place, name in enumerate(ORDER)}
    files = sorted(
        folder.glob("*.json"), key=lambda file: (places.get(file.stem, len(ORDER)), file.stem)
    )
    found = [Report.of(json.loads(file.read_text(encoding="utf-8"))) for file in files]
    return "\n".join([HEAD, *map(section, found)])


def section(report: Report) -> str:
    """The part of one report."""
    facts = ", ".join(
        value if name == "device" else f"{name} {value}" for name, value in report.machine.items()
    )
    head = f"## {report.title}\n\n{report.about}\n\n```sh\n{report.command}\n```\n\n{facts}\n"
    return "\n".join([head, *map(table_text, report.tables)])


def table_text(table: Table) -> str:
    """A table in Markdown; columns of numbers stand to the right."""
    columns = range(len(table.columns))
    right = [all(isinstance(row[i], int | float | None) for row in table.rows) for i in columns]
    rule = ["---:" if number else "---" for number in right]
    lines = [table.columns, rule, *([_text(cell) for cell in row] for row in table.rows)]
    return "\n".join([f"**{table.title}**\n", *(f"| {' | '.join(line)} |" for line in lines), ""])


def _text(cell: Cell) -> str:
    return " ".join(cell_text(cell).split()).replace("|", "\\|")


def main() -> int:
    """Writes the page."""
    PAGE.write_text(page(RESULTS), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
