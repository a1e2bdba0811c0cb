"""NDI through cyndilib: cut-outs with alpha to the network, and pictures from it."""

from __future__ import annotations

import time
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.errors import SourceError
from promptmatte.vendors.polling import polled

NOMINAL_FPS = Fraction(30, 1)
"""What receivers are told; pictures go out as mattes come."""

FIND_S = 3.0
LOST_S = 3.0
"""Sources are looked for, and waited for once they are gone, for this long."""


class NdiSender:
    """An NDI source with alpha, of the name NAME on this machine."""

    def __init__(self, library: Any, name: str, size_hw: tuple[int, int]) -> None:
        """library: cyndilib. SourceError for a name that this machine already sends."""
        height, width = size_hw
        picture = library.VideoSendFrame()
        picture.set_resolution(width, height)
        picture.set_fourcc(library.FourCC.RGBA)
        picture.set_frame_rate(NOMINAL_FPS)
        self._sender = library.Sender(ndi_name=name, clock_video=False)
        self._sender.set_video_frame(picture)
        # No sound is sent, but when NDI refuses, cyndilib 0.1.3 crashes without its frame.
        self._sender.set_audio_frame(library.AudioSendFrame())
        try:
            self._sender.open()
        except MemoryError as error:
            raise SourceError(
                f"NDI cannot send as {name}: another program of this machine may have the name"
            ) from error

    def send(self, rgba: npt.NDArray[np.uint8]) -> bool:
        """Sends a copy, encoded; False while no receiver is connected, as then nothing is."""
        if not self._sender.get_num_connections(0):
            return False
        return bool(self._sender.write_video(rgba.reshape(-1)))

    def close(self) -> None:
        """Takes the source off the network."""
        self._sender.close()


class NdiReceiver:
    """Pictures of the NDI source NAME: its whole name, "HOST (NAME)", or only that of the stream.
    A device of a LatestReader."""

    def __init__(self, library: Any, name: str) -> None:
        """library: cyndilib."""
        self._library = library
        self._name = name
        self._finder: Any = None
        self._receiver: Any = None
        self._picture: Any = None
        self._last: tuple[float, float] | None = None
        self._seen_s = 0.0

    def grab(self) -> tuple[npt.NDArray[np.uint8], int | None] | None:
        """The next picture, rgb8, its alpha dropped; SourceError when there is no such source."""
        if self._receiver is None:
            self._connect()
        picture = polled(self._received)
        now_s = time.monotonic()
        if picture is not None or self._receiver.get_num_connections():
            self._seen_s = now_s
        elif now_s - self._seen_s > LOST_S:
            raise SourceError(f"the NDI source {self._name} is gone: check its program and network")
        return None if picture is None else (picture, None)

    def release(self) -> None:
        """Disconnects."""
        if self._receiver is not None:
            self._receiver.disconnect()
        self._picture = self._receiver = self._finder = None

    def _received(self) -> npt.NDArray[np.uint8] | None:
        # Receiver.receive lets no other Python thread run while it waits, and gives next to no
        # pictures when it does not; a frame sync has the newest picture at once.
        self._receiver.frame_sync.capture_video()
        picture = self._picture
        if not picture.get_data_size():
            return None
        stamp = picture.get_timestamp_posix(), picture.get_timecode_posix()
        if stamp == self._last:
            return None
        self._last = stamp
        width, height = picture.get_resolution()
        rows = picture.get_array().reshape(height, picture.get_line_stride())
        rgba = rows[:, : 4 * width].reshape(height, width, 4)
        return np.asarray(cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB), np.uint8)

    def _connect(self) -> None:
        self._finder = self._finder or self._library.Finder()
        names = polled(self._found, wait_s=FIND_S, pace_s=0.1)
        if names is None:
            there = ", ".join(self._finder.get_source_names()) or "none"
            raise SourceError(
                f"expected an NDI source called {self._name}; found {there}: check that its "
                "program runs in the same network"
            )
        if len(names) > 1:
            raise SourceError(f"expected the whole name of one of {', '.join(names)}")
        self._receiver = self._library.Receiver(
            color_format=self._library.RecvColorFormat.RGBX_RGBA,
            bandwidth=self._library.RecvBandwidth.highest,
            allow_video_fields=False,
        )
        self._picture = self._library.VideoFrameSync()
        self._receiver.frame_sync.set_video_frame(self._picture)
        self._receiver.set_source(self._finder.get_source(names[0]))
        self._seen_s = time.monotonic()

    def _found(self) -> list[str] | None:
        names: list[str] = self._finder.update_sources()
        whole = [name for name in names if name == self._name]
        return whole or [name for name in names if name.endswith(f" ({self._name})")] or None
