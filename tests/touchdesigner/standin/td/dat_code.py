"""Runs the text of DATs: as modules, as scripts, as callbacks."""

from __future__ import annotations

import traceback
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .scope import names_for
from .session import CallbackError, current
from .stopwatch import COMPONENT

if TYPE_CHECKING:
    from .operators import OP
    from .table import DAT


class Code:
    """A DAT's text as a module, compiled anew when the text has changed."""

    def __init__(self, dat: DAT) -> None:
        self._dat = dat
        self._text: str | None = None
        self._module: ModuleType | None = None

    def version_of_text(self) -> int:
        """A number that changes with the text."""
        return self._dat._text_version

    def module(self) -> ModuleType:
        """The module; whatever the text raises."""
        text = self._dat._text_of()
        if current().compiling:
            current().modules_used.append(self._dat)
        if self._module is None or text != self._text:
            module = ModuleType(self._dat._name)
            module.__file__ = self._dat._path()
            vars(module).update(names_for(self._dat))
            self._text, self._module = text, module
            session = current()
            with session.as_me(self._dat), session.stopwatch.of(COMPONENT):
                exec(compile(text, self._dat._path(), "exec"), vars(module))
        return self._module

    def run(self, args: tuple[Any, ...], node: OP) -> None:
        """Runs the text as a script. DAT Class, run: args are a tuple named args."""
        names = {**names_for(node), "args": args}
        with current().as_me(node):
            exec(compile(self._dat._text_of(), self._dat._path(), "exec"), names)


def call(dat: DAT | None, function: str, *args: Any) -> None:
    """Calls a callback, if the DAT has it. What it raises goes to the Textport and on the DAT."""
    if dat is None:
        return

    def body() -> None:
        callback = getattr(dat.module, function, None)
        if callback is not None:
            callback(*args)

    guarded(body, where=dat, what=function, me=dat)


def guarded(body: Any, *, where: OP, what: str, me: OP) -> None:
    """Runs a piece of the component's code as TouchDesigner does."""
    session = current()
    try:
        with session.as_me(me), session.stopwatch.of(COMPONENT), session.textport.capture():
            body()
    except Exception as error:  # noqa: BLE001  TouchDesigner goes on after any error
        text = traceback.format_exc()
        session.errors.append(
            CallbackError(path=where._path(), function=what, error=error, text=text)
        )
        session.textport.write(text)
        where._script_errors.append(f"{type(error).__name__}: {error}")
