"""Spout through SpoutGL: pictures between programs on one Windows machine."""

from __future__ import annotations

import time
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.errors import SourceError
from promptmatte.vendors.polling import polled

GL_RGBA = 0x1908

LOST_S = 3.0
"""A sender is waited for for this long."""


class SpoutSender:
    """The Spout sender NAME. It has an OpenGL context of its own, bound to its thread."""

    def __init__(self, library: Any, name: str, size_hw: tuple[int, int]) -> None:
        """library: SpoutGL. SourceError when there is no OpenGL."""
        self._height, self._width = size_hw
        self._sender = library.SpoutSender()
        _open_gl(self._sender)
        self._sender.setSenderName(name)

    def send(self, rgba: npt.NDArray[np.uint8]) -> bool:
        """Shows the picture, rows as they are; SourceError when Spout refuses it."""
        if not self._sender.sendImage(rgba, self._width, self._height, GL_RGBA, False, 0):
            raise SourceError("Spout did not take a picture: update the driver of the card")
        return True

    def close(self) -> None:
        """Takes the sender off Spout's list."""
        self._sender.releaseSender()
        self._sender.closeOpenGL()


class SpoutReceiver:
    """Pictures of the Spout sender NAME. A device of a LatestReader."""

    def __init__(self, library: Any, name: str) -> None:
        """library: SpoutGL."""
        self._library = library
        self._name = name
        self._receiver: Any = None
        self._rgba: npt.NDArray[np.uint8] | None = None
        self._seen_s = 0.0

    def grab(self) -> tuple[npt.NDArray[np.uint8], int | None] | None:
        """The next picture, rgb8, its alpha dropped; SourceError when there is no such sender."""
        if self._receiver is None:
            self._receiver = self._library.SpoutReceiver()
            _open_gl(self._receiver)
            self._receiver.setReceiverName(self._name)
            self._seen_s = time.monotonic()
        picture = polled(self._received)
        now_s = time.monotonic()
        if picture is not None or self._receiver.isConnected():
            self._seen_s = now_s
        elif now_s - self._seen_s > LOST_S:
            there = ", ".join(self._receiver.getSenderList()) or "none"
            raise SourceError(
                f"expected a Spout sender called {self._name}; found {there}: check that its "
                "program sends, on the same graphics card"
            )
        return None if picture is None else (picture, None)

    def release(self) -> None:
        """Lets go of the sender."""
        if self._receiver is not None:
            self._receiver.releaseReceiver()
            self._receiver.closeOpenGL()
            self._receiver = None

    def _received(self) -> npt.NDArray[np.uint8] | None:
        taken = self._receiver.receiveImage(self._rgba, GL_RGBA, False, 0)
        if self._receiver.isUpdated():
            size_hw = self._receiver.getSenderHeight(), self._receiver.getSenderWidth()
            self._rgba = np.empty((*size_hw, 4), np.uint8)
            return None
        if not taken or self._rgba is None or not self._receiver.isFrameNew():
            return None
        return np.asarray(cv2.cvtColor(self._rgba, cv2.COLOR_RGBA2RGB), np.uint8)


def _open_gl(end: Any) -> None:
    if not end.createOpenGL():
        raise SourceError("Spout could not open OpenGL: log in at the machine's own screen")
