# ruff: noqa: N803, N815
"""When operators cook. Cook: a request and a reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from .errors import refuse
from .session import current
from .wiring import Wired

if TYPE_CHECKING:
    from .operators import OP
    from .par_slot import Slot


class Cooks(Wired):
    """Pulled by whoever wants the data; computes when an input or parameter has changed."""

    _time_dependent: ClassVar[bool] = False

    def _start_cooking_state(self) -> None:
        self._dirty = True
        self._version = 0
        self._seen: tuple[Any, ...] = ()
        self._cook_frame = -1
        self._total_cooks = 0
        self._cook_errors: list[str] = []
        self._cook_warnings: list[str] = []
        self._cook_ms = 0.0
        self._depended: dict[Any, int] = {}

    def _touch(self) -> None:
        """A parameter or wire changed: a reason to cook."""
        self._dirty = True

    def _sources(self) -> list[OP]:
        """Operators whose data this one needs."""
        return [self._wires[slot] for slot in sorted(self._wires)]

    def _compute(self) -> None:
        """Makes the data; by operator type."""

    def _depends_on_par(self, slot: Slot) -> None:
        self._depended[slot] = slot.version

    def _depends_on_op(self, operator: OP) -> None:
        if operator is not self:
            self._depended[operator] = operator._version

    def _reasons(self) -> bool:
        seen = tuple((source._id, source._version) for source in self._sources())
        if self._dirty or seen != self._seen:
            return True
        if self._time_dependent and self._cook_frame != current().frame:
            return True
        return any(self._version_of(what) != version for what, version in self._depended.items())

    @staticmethod
    def _version_of(what: Any) -> int:
        return what._version if isinstance(what, Cooks) else what.version

    def _pull(self, *, force: bool = False) -> None:
        """A cook request."""
        session = current()
        if self in session.cooking:
            return
        with session.inside():
            for source in self._sources():
                source._pull()
            for what in [w for w in self._depended if isinstance(w, Cooks) and w._alive]:
                what._pull()
            if force or self._reasons():
                self._cook_now()

    def _cook_now(self) -> None:
        session = current()
        self._seen = tuple((source._id, source._version) for source in self._sources())
        self._dirty = False
        self._cook_errors, self._cook_warnings, self._depended = [], [], {}
        session.cooking.append(self)
        try:
            self._compute()
        finally:
            session.cooking.pop()
        self._version += 1
        self._total_cooks += 1
        self._cook_frame = session.frame

    def _read(self) -> None:
        """Somebody wants the data. OP Class, passive: access methods cook first."""
        cooking = current().cooking
        self._pull()
        if cooking:
            cooking[-1]._depends_on_op(self)

    def cook(
        self, force: bool = False, recurse: bool = False, includeUtility: bool = False
    ) -> None:
        """Cooks if there is a reason, or always with force."""
        if self in current().cooking:
            refuse(f"{self._path()}: cook dependency loop: it is cooking already")
        self._pull(force=force)
        if recurse and self.isCOMP:
            for child in list(self._children.values()):
                child.cook(force=force, recurse=True)

    cookFrame = property(lambda op: float(op._cook_frame))
    cookAbsFrame = property(lambda op: float(op._cook_frame))
    totalCooks = property(lambda op: op._total_cooks)
    cookedThisFrame = property(lambda op: op._cook_frame == current().frame)
    cookedPreviousFrame = property(lambda op: op._cook_frame == current().frame - 1)
    cookTime = property(lambda op: op._cook_ms)
    cpuCookTime = property(lambda op: op._cook_ms)
