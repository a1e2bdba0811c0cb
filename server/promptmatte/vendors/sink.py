"""Cut-outs for another program, sent by a thread of their own while the mattes go on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from promptmatte.clock import Clock
from promptmatte.frame import Frame, Matte
from promptmatte.links.protocol import LinkStatus
from promptmatte.priority import Niceness, stand_back
from promptmatte.recording.pictures import paint_cut_out
from promptmatte.slot import LatestSlot

logger = logging.getLogger(__name__)

RETRY_S = 1.0
"""Between two tries to open a sender that failed."""

STALL_S = 2.0
"""A sender that has had a picture for this long hangs."""

JOIN_S = 2.0
IDLE_S = 0.5


class PictureSender(Protocol):
    """A vendor's sender of pictures of one size; the sink's thread alone opens and uses it."""

    def send(self, rgba: npt.NDArray[np.uint8]) -> bool:
        """Sends uint8 [H, W, 4], alpha straight, rows top-down: True unless the vendor knows
        that nobody takes it. The array is used again. Raises whatever the vendor raises."""
        ...

    def close(self) -> None:
        """Frees it."""
        ...


OpenSender = Callable[[tuple[int, int]], PictureSender]
"""Opens a sender for pictures of this height and width; raises whatever the vendor raises."""


class Sink:
    """Sends the newest cut-out: each frame's own picture with the mattes of all prompts as alpha.

    Whoever offers pictures never waits. One that comes before the last was taken replaces it and
    is counted as missed. What a sender raises is counted and shown, and another is opened a
    second later; so is one for frames of another size.
    """

    def __init__(
        self, address: str, open_sender: OpenSender, *, clock: Clock, retry_s: float = RETRY_S
    ) -> None:
        self._address = address
        self._open_sender = open_sender
        self._clock = clock
        self._retry_s = retry_s
        self._slot: LatestSlot[tuple[Frame, Matte]] = LatestSlot()
        self._stopping = threading.Event()
        self._connected = False
        self._sent = self._missed = self._errors = 0
        self._error: str | None = None
        self._busy_since_ns: int | None = None
        self._thread = threading.Thread(target=self._run, name=f"sink {address}", daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """The address as typed."""
        return self._address

    def offer(self, frame: Frame, matte: Matte) -> None:
        """Sends this frame, rgb8, with its matte, unless a newer one comes first; never waits."""
        if self._slot.put((frame, matte)) is not None:
            self._missed += 1

    def status(self) -> dict[str, Any]:
        """address, the counters of LinkStatus, errors and the error there is now: JSON values.
        connected: the last picture was taken, as far as the vendor can tell."""
        error = self._error
        busy_since_ns = self._busy_since_ns
        if busy_since_ns is not None:
            busy_s = (self._clock.now_ns() - busy_since_ns) / 1e9
            if busy_s > STALL_S:
                error = f"hangs: a picture was not taken for {busy_s:.0f} s"
        counters = LinkStatus(
            connected=self._connected and error is None, sent=self._sent, missed=self._missed
        )
        return {
            "address": self._address,
            **asdict(counters),
            "errors": self._errors,
            "error": error,
        }

    def close(self) -> None:
        """Ends the thread, which closes the sender; one that hangs is left to it. Safe to call
        twice."""
        self._stopping.set()
        self._slot.close()
        self._thread.join(JOIN_S)
        if self._thread.is_alive():
            logger.warning("%s still hangs in its library; it is left behind", self._address)

    def _run(self) -> None:
        stand_back(Niceness.ASIDE)
        sender: PictureSender | None = None
        rgba = np.empty((0, 0, 4), np.uint8)
        while not self._stopping.is_set():
            offered = self._slot.take(IDLE_S)
            if offered is None:
                continue
            frame, matte = offered
            self._busy_since_ns = self._clock.now_ns()
            try:
                if sender is None or rgba.shape[:2] != frame.size_hw:
                    old, sender = sender, None
                    if old is not None:
                        old.close()
                    rgba = np.empty((*frame.size_hw, 4), np.uint8)
                    sender = self._open_sender(frame.size_hw)
                paint_cut_out(frame, matte, rgba)
                self._taken(sender.send(rgba))
            except Exception as error:  # noqa: BLE001  vendors raise anything
                self._failed(error)
                self._let_go(sender)
                sender = None
            self._busy_since_ns = None
            if self._error is not None:
                self._stopping.wait(self._retry_s)
        self._let_go(sender)

    def _taken(self, taken: bool) -> None:
        if self._error is not None:
            logger.warning("%s works again", self._address)
            self._error = None
        self._connected = taken
        self._sent += taken

    def _failed(self, error: Exception) -> None:
        self._errors += 1
        self._connected = False
        told = " ".join(str(error).split()) or type(error).__name__
        if self._error is None:
            logger.warning("%s: %s; tried again every %g s", self._address, told, self._retry_s)
        self._error = told

    def _let_go(self, sender: PictureSender | None) -> None:
        try:
            if sender is not None:
                sender.close()
        except Exception as error:  # noqa: BLE001  it goes anyway
            logger.info("%s: closing failed: %s", self._address, error)
