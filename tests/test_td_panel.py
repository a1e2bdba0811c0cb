"""The Status line of the component."""

from __future__ import annotations

from typing import Any

import pytest
import touchdesigner.stage  # noqa: F401  brings the stand-in's td

# after the stage
from promptmatte_td.conversation import Report  # isort: skip
from promptmatte_td.panel import status_line  # isort: skip


@pytest.mark.parametrize(
    ("notes", "line"),
    [
        ({}, "Running, 30 mattes/s, embedded on cpu"),  # a server of an older version
        ({"notes": []}, "Running, 30 mattes/s, embedded on cpu"),
        ({"notes": ["a", "b"]}, "Running, 30 mattes/s, embedded on cpu; a; b"),
    ],
)
def test_what_the_model_does_not_know_stands_after_the_rate(
    notes: dict[str, Any], line: str
) -> None:
    status = {"state": "running", "model": "embedded", "device": "cpu", "prompts": [{}]}
    report = Report(connected=True, status={**status, **notes})
    assert status_line(report, fps=30, process="", process_failed=False, trouble="") == line
