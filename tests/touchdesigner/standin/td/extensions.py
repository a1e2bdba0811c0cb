"""Extensions of a component. Extensions, COMP Extensions Page."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .dat_code import guarded
from .errors import refuse
from .scope import evaluate
from .session import CallbackError, current
from .stopwatch import COMPONENT

if TYPE_CHECKING:
    from .component import COMP

FIRST = "ext0"


class Extensions:
    """Compiled when they are first referenced, and anew when definition or code has changed."""

    def __init__(self, component: COMP) -> None:
        self._component = component
        self._objects: list[Any] = []
        self._definition = ""
        self._used: dict[Any, int] = {}
        self._compiled = False

    def _wanted(self) -> str:
        return str(self._component._slots[f"{FIRST}object"].val)

    def named(self) -> Iterator[tuple[str, Any]]:
        """(name, extension) of each."""
        name = str(self._component._slots[f"{FIRST}name"].val)
        for extension in self.objects():
            yield name or type(extension).__name__, extension

    def objects(self) -> list[Any]:
        """The extension objects, compiled if need be."""
        session = current()
        if self._component in session.compiling:
            refuse(
                f"{self._component._path()}: cannot use an extension during its initialization "
                "(Extensions, extensionsReady)"
            )
        changed = any(
            dat._alive and dat._code.version_of_text() != v for dat, v in self._used.items()
        )
        if not self._compiled or self._definition != self._wanted() or changed:
            self.initialize()
        return self._objects

    def initialize(self) -> Any:
        """Makes the objects anew; the old ones' onDestroyTD first. The first of them."""
        self.destroy()
        session, component = current(), self._component
        self._compiled, self._definition = True, self._wanted()
        if not self._definition:
            return None
        session.compiling.append(component)
        session.modules_used = []
        try:
            with session.stopwatch.of(COMPONENT), session.textport.capture():
                extension = evaluate(self._definition, component)
        except Exception as error:  # noqa: BLE001  TouchDesigner prints it and goes on
            text = traceback.format_exc()
            session.textport.write(text)
            session.errors.append(
                CallbackError(
                    path=component._path(), function=self._definition, error=error, text=text
                )
            )
            return None
        finally:
            session.compiling.pop()
            self._used = {dat: dat._code.version_of_text() for dat in session.modules_used}
        self._objects = [extension]
        session.inits.append((component, extension))
        return extension

    def destroy(self) -> None:
        """Ends the objects, with their onDestroyTD."""
        objects, self._objects, self._compiled = self._objects, [], False
        session = current()
        session.inits = [(c, e) for c, e in session.inits if not any(e is o for o in objects)]
        for extension in objects:
            end = getattr(extension, "onDestroyTD", None)
            if end is not None:
                component = self._component
                guarded(end, where=component, what="onDestroyTD", me=component)

    def promoted(self, name: str) -> tuple[bool, Any]:
        """(whether there is one, the member) of a promoted extension: capitalised names only."""
        if not name[:1].isupper() or not self._component._slots[f"{FIRST}promote"].val:
            return False, None
        for extension in self.objects():
            if hasattr(extension, name):
                return True, extension
        return False, None


def say_initialized() -> None:
    """Calls onInitTD of what was initialized in this frame; at its end."""
    session = current()
    while session.inits:
        component, extension = session.inits.pop(0)
        begin = getattr(extension, "onInitTD", None)
        if begin is not None and component._alive:
            guarded(begin, where=component, what="onInitTD", me=component)
