# ruff: noqa: N815
"""Time: absTime, an operator's time, the project, the application."""

from __future__ import annotations

import sys
from pathlib import Path

from .guard import Guarded
from .session import current


class AbsTime(Guarded):
    """Since the application started. AbsTime Class."""

    frame = property(lambda time: float(current().frame))
    seconds = property(lambda time: current().seconds)
    step = property(lambda time: 1.0)
    stepSeconds = property(lambda time: current().step_seconds)


class Time(Guarded):
    """A component's timeline, which loops."""

    frame = property(lambda time: float(current().timeline_frame))
    seconds = property(lambda time: (current().timeline_frame - 1) / current().rate)
    rate = property(lambda time: current().rate)


class Project(Guarded):
    """The project. Project Class."""

    folder = property(lambda project: current().folder)
    name = property(lambda project: "standin.toe")
    realTime = property(lambda project: True)
    paths = property(lambda project: {})

    @property
    def cookRate(self) -> float:  # noqa: N802
        """Frames a second at most."""
        return current().rate

    @cookRate.setter
    def cookRate(self, rate: float) -> None:  # noqa: N802
        current().rate = float(rate)


class App(Guarded):
    """The application. App Class."""

    version = property(lambda app: "099")
    build = property(lambda app: {2023: "2023.12480", 2025: "2025.32460"}[current().build])
    product = property(lambda app: "TouchDesigner")
    osName = property(lambda app: "Linux" if sys.platform == "linux" else sys.platform)
    installFolder = property(lambda app: str(Path(sys.prefix)))
    pythonExecutable = property(lambda app: sys.executable)
    tempFolder = property(lambda app: current().folder)
