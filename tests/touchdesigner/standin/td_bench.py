"""Makes a project for the stand-in of td and runs its frames. Not part of TouchDesigner."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import td
from td import errors as td_errors
from td import finder, frame_loop, guard
from td import session as td_session
from td.errors import Refusal
from td.session import CallbackError

Picture = np.ndarray | Callable[[], np.ndarray]
PEER = ("127.0.0.1", 50000)


class CallbackFailedError(AssertionError):
    """A callback of the project raised; TouchDesigner would print it and go on."""


class Bench:
    """A project with the component /project1, as a new TouchDesigner has it.

    folder: of the project. build: 2023 or 2025. rate: frames a second of the timeline. cuda:
    whether cudaMemory() works. poison_arrays: whether arrays of numpyArray() are overwritten
    with NaN at the end of the frame.
    """

    def __init__(
        self, folder: Path | str, *, build: int = 2025, rate: float = 60, cuda: bool = False,
        poison_arrays: bool = True,
    ) -> None:  # fmt: skip
        if build not in (2023, 2025):
            raise ValueError(f"expected build 2023 or 2025; got {build}")
        guard.cook_on_this_thread()
        self.session = td_session.Session(folder=str(folder), build=build, rate=rate, cuda=cuda)
        td_session.open_session(self.session)
        self.session.root = td.baseCOMP("", None)
        self.project: Any = self.session.root.create(td.containerCOMP, "project1")
        self.frame_ms: list[float] = []
        """Milliseconds that the project's own code took in each frame."""
        self.late_frames = 0
        """Frames that were over later than their time."""
        self._watched: list[Any] = []
        self._loop = frame_loop.FrameLoop(poison=poison_arrays)
        self._errors_told = 0
        self._refused_before = len(td_errors.refusals)

    def __enter__(self) -> Bench:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()

    # --- looking

    @property
    def root(self) -> Any:
        """The root."""
        return self.session.root

    @property
    def textport(self) -> list[str]:
        """Lines that scripts have printed."""
        return self.session.textport.lines

    @property
    def errors(self) -> list[CallbackError]:
        """Callbacks that raised."""
        return self.session.errors

    @property
    def refusals(self) -> list[Refusal]:
        """What the stand-in has refused since the start, whether or not it was caught."""
        return td_errors.refusals[self._refused_before :]

    def op(self, path: str) -> Any:
        """The operator at a path."""
        found = finder.resolve(path, self.session.root, inside=True)
        if not found:
            raise LookupError(f"no operator at {path}")
        return found[0]

    def watch(self, operator: Any) -> None:
        """Somebody looks at an operator from here on: it is pulled every frame."""
        self._watched.append(self._the(operator))

    def picture(self, operator: Any) -> np.ndarray:
        """A copy of a TOP's picture, float32 [h, w, 4], the bottom row first."""
        top = self._the(operator)
        top._pull()
        if top._picture is None:
            raise LookupError(f"{top.path} has no picture")
        return np.array(top._picture)

    def component_ms(self) -> float:
        """Milliseconds of the project's own code since the last frame or call of this."""
        return self.session.stopwatch.take_ms()

    # --- acting

    def camera(self, picture: Picture, name: str = "camera", place: Any = None) -> Any:
        """A TOP that shows a picture, or in each frame what a function returns.

        Pictures are [h, w, 1 to 4] of uint8, uint16 or float32, the bottom row first.
        """
        top = (place or self.project).create(td.constantTOP, name)
        self.feed(top, picture)
        return top

    def feed(self, top: Any, picture: Picture) -> None:
        """Another picture, or function, for a camera."""
        top._fed = picture if callable(picture) else lambda: picture
        top._touch()

    def set(self, par: Any, value: Any) -> None:
        """Sets a parameter as a person does, who cannot set read-only ones."""
        if par.readOnly or not par.enable:
            raise PermissionError(f"{par.name} is read only")
        par.val = value

    def pulse(self, par: Any) -> None:
        """Presses a button as a person does."""
        self._check_button(par)
        par.pulse()

    def _check_button(self, par: Any) -> None:
        if par.readOnly or not par.enable:
            raise PermissionError(f"{par.name} is read only")

    def osc(self, dat: Any, address: str, *values: Any) -> None:
        """A message for an OSC In DAT, in the next frame."""
        self._loop.messages.append((self._the(dat), address, values, PEER))

    # --- time

    def start(self) -> None:
        """A project is opened: extensions that start by themselves, Execute DATs' onStart."""
        for operator in list(self.session.root._all()):
            if operator.isCOMP and operator.par.initextonstart:
                operator.initializeExtensions()
        frame_loop.tell("onStart", "start")

    def run(
        self, frames: int = 1, *, fps: float | None = None, until: Callable[[], bool] | None = None,
        raise_errors: bool = True,
    ) -> int:  # fmt: skip
        """Runs frames, as fast as it goes or at fps; ends early once until() is true.

        The number of frames run. CallbackFailedError when a callback raised, unless
        raise_errors is false.
        """
        begun_s = time.perf_counter()
        for done in range(frames):
            if until is not None and until():
                return done
            self._frame()
            if raise_errors:
                self._raise_new()
            if fps is not None:
                self._wait_until(begun_s + (done + 1) / fps)
        return frames

    def _frame(self) -> None:
        self.session.stopwatch.take_ms()
        self._loop.frame(self._watched)
        self.frame_ms.append(self.session.stopwatch.take_ms())

    def _wait_until(self, due_s: float) -> None:
        left_s = due_s - time.perf_counter()
        if left_s > 0:
            time.sleep(left_s)
        else:
            self.late_frames += 1

    def _raise_new(self) -> None:
        fresh = self.session.errors[self._errors_told :]
        self._errors_told = len(self.session.errors)
        if fresh:
            first = fresh[0]
            raise CallbackFailedError(
                f"{first.path} {first.function}: {first.text}"
            ) from first.error

    # --- the end

    def quit(self) -> None:
        """The application ends: Execute DATs' onExit, and nothing else that is documented."""
        frame_loop.tell("onExit", "exit")

    def close(self) -> None:
        """Removes everything in the project, so that extensions end."""
        if td_session._Current.session is not self.session:
            return
        for operator in list(self.session.root.children):
            operator.destroy()
        self._loop.end_of_memory()
        td_session.open_session(None)

    def _the(self, operator: Any) -> Any:
        return self.op(operator) if isinstance(operator, str) else operator
