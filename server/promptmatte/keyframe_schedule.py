"""Whose frame is encoded next: the one thread that uses the model, for all streams of a server."""

from __future__ import annotations

import logging
import threading
from typing import NamedTuple

from promptmatte.keyframes import KeyframeWorker, Order
from promptmatte.models.protocol import BatchModel, Model, Scene

logger = logging.getLogger(__name__)

IDLE_S = 0.25


class Due(NamedTuple):
    """An order, whose it is, and how urgent."""

    urgency: float
    worker: KeyframeWorker
    order: Order


class KeyframeSchedule:
    """Gathers what the workers of all streams want encoded and does one pass at a time.

    First comes who has waited for most of its own periods, times its share. So while the model
    keeps up everyone has its own rate (`encode_hz`); when it does not, all rates go down together,
    in the proportion of rate times share, and as waiting counts without end nobody starves. Where
    the model takes several frames in a pass, the others that are due go along.

    A stream without prompts, or in which nothing moves, orders nothing and costs nothing. What
    goes wrong with one stream's frame is that worker's error alone.
    """

    def __init__(self) -> None:
        self._shares: dict[KeyframeWorker, float] = {}
        self._bell = threading.Event()
        self._never_together: Model | None = None

    def wake(self) -> None:
        """Ends a wait that is on, or else the next one; from any thread."""
        self._bell.set()

    def add(self, worker: KeyframeWorker, share: float) -> None:
        """Takes a stream in, before `run`; its worker wakes this schedule."""
        self._shares[worker] = share

    def set_model(self, model: Model | None) -> None:
        """The model for all of them from now on, if any; from any thread."""
        for worker in self._shares:
            worker.set_model(model)

    def run(self) -> None:
        """Until the `frames` of every worker are closed."""
        more = False
        while not all(worker.frames.closed for worker in self._shares):
            self._bell.wait(0.0 if more else IDLE_S)
            self._bell.clear()
            more = self.turn()

    def turn(self) -> bool:
        """One pass of the model at most, and what needs no encode; True when more waits."""
        at_work = [worker for worker in self._shares if not worker.frames.closed]
        due = [
            Due(order.periods_waited * self._shares[worker], worker, order)
            for worker in at_work
            if (order := worker.look()) is not None
        ]
        due.sort(key=lambda one: -one.urgency)
        passed = self._passed(due)
        for worker in at_work:
            worker.inquire()
        return len(due) > passed or any(worker.asked for worker in at_work)

    def _passed(self, due: list[Due]) -> int:
        """Encodes the most urgent, and those that go along; how many these were."""
        if not due:
            return 0
        model = due[0].worker.model
        together = due[:1]
        if isinstance(model, BatchModel) and model is not self._never_together:
            alike = [one for one in due if one.worker.model is model]
            together = alike[: model.encode_batch]
            if len(together) > 1:
                self._encode_together(model, together)
                return len(together)
        _, worker, order = together[0]
        worker.encode(order)
        return 1

    def _encode_together(self, model: BatchModel, due: list[Due]) -> None:
        """One pass for all; when it fails, one each, so that the error is its own stream's."""
        for _, worker, order in due:
            worker.begin(order)
        try:
            scenes: list[Scene] = model.encode_many([order.frame for _, _, order in due])
        except Exception as error:  # noqa: BLE001  a model may raise anything
            logger.warning(
                "model %s failed with %d frames at once, so it gets one at a time from now on: %s",
                model.name, len(due), error,
            )  # fmt: skip
            self._never_together = model
            for _, worker, order in due:
                worker.encode(order)
            return
        for (_, worker, order), scene in zip(due, scenes, strict=True):
            worker.finish(order, scene)
