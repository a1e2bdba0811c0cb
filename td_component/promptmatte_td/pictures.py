"""The thread that moves pictures: frames to the server, mattes back, beside their own frames."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from promptmatte_shm import Frame, FrameInfo, ShmError

from promptmatte_td.links import Link, Received
from promptmatte_td.mixing import PLACES, Mixes
from promptmatte_td.pixels import Bytes, BytesPool, FloatsToBytes, upright

logger = logging.getLogger(__name__)

KEPT_FRAMES = 16
"""Frames kept for their mattes: a quarter of a second at 60 fps."""

POLL_S = 0.002
LOOK_EVERY_S = 0.05
UNTOLD_S = 0.5
"""How long mattes of prompts that are not announced yet are held back."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """A matte and what belongs to it, ready to be uploaded: uint8, rows bottom-up.

    alpha: [h, w, 1 or 4]. picture: the matte's own frame [h, w, 4], or None when it is not
    there. foreground: cut out and premultiplied [h, w, 4], when the server sends it.
    drawn_at: the number that came with the frame.
    """

    info: FrameInfo
    alpha: Bytes
    picture: Bytes | None
    foreground: Bytes | None
    drawn_at: int
    anchor_seq: int
    age_ms: float
    confidence: tuple[float, ...]
    prompts_version: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Offer:
    """A picture as TouchDesigner hands it out: float32 [h, w, 4], rows bottom-up."""

    floats: npt.NDArray[np.float32]
    captured_ns: int
    drawn_at: int


class PictureThread:
    """Exchanges arrays with the cooking thread, which never waits for it.

    One offer is worked on at a time: `ready` says whether the one before is done with, and
    until then its array must stay as it is. `take` gives the newest matte once.
    """

    def __init__(
        self, link: Link, mixes: Mixes, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._link = link
        self._mixes = mixes
        self._clock = clock
        self._offers: deque[Offer] = deque(maxlen=1)
        self._offered = threading.Event()
        self._shown: deque[Shown] = deque(maxlen=1)
        self._converter = FloatsToBytes()
        self._frames, self._mixed = BytesPool(), BytesPool()
        self._kept: dict[FrameInfo, tuple[Bytes, int]] = {}
        self._stream_id = 0
        self._size_hw = (0, 0)
        self._seq = 0
        self._untold: tuple[int, float] = (-1, 0.0)
        self._stop = threading.Event()
        self.ready = True
        self.connected = False
        """Whether the server shows life."""
        self.missed = 0
        """Mattes that newer ones replaced, or whose frame was no longer there."""
        self._lost_frames = 0
        self._look_at_s = 0.0
        self.error = ""
        self._thread = threading.Thread(
            target=self._run, name="promptmatte-td-pictures", daemon=True
        )
        self._thread.start()

    def offer(self, offer: Offer) -> None:
        """Hands over a picture; only while `ready`."""
        self.ready = False
        self._offers.append(offer)
        self._offered.set()

    def take(self) -> Shown | None:
        """The newest matte, if it was not taken yet."""
        return self._shown.pop() if self._shown else None

    def close(self) -> None:
        """Ends the thread, and waits for the picture it is at."""
        self._stop.set()
        self._offered.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                if self._offered.wait(POLL_S):
                    self._offered.clear()
                    self._send()
                self._receive()
                self._look()
        except Exception as error:
            logger.exception("the picture thread failed")
            self.error = f"pictures stopped: {type(error).__name__}: {error}"

    def _look(self) -> None:
        now_s = self._clock()
        if now_s >= self._look_at_s:
            self._look_at_s = now_s + LOOK_EVERY_S
            status = self._link.status
            self.connected = status.connected
            self.missed = status.missed + self._lost_frames

    def _send(self) -> None:
        if not self._offers:
            return
        offer = self._offers.pop()
        height, width = offer.floats.shape[:2]
        picture = self._frames.take((height, width, 4))
        self._converter.convert(offer.floats, picture)
        captured_ns, drawn_at = offer.captured_ns, offer.drawn_at
        del offer
        self.ready = True
        if (height, width) != self._size_hw:
            self._size_hw, self._stream_id = (height, width), secrets.randbits(62)
            self._kept.clear()
        self._seq += 1
        info = FrameInfo(
            stream_id=self._stream_id, seq=self._seq, pts_ns=captured_ns, captured_ns=captured_ns
        )
        self._kept[info] = (picture, drawn_at)
        if len(self._kept) > KEPT_FRAMES:
            del self._kept[next(iter(self._kept))]
        try:
            self._link.send_frame(Frame(info=info, pixels=upright(picture)))
            self.error = ""
        except (ShmError, OSError) as error:  # no memory for this size, a link just closed
            self.error = str(error)

    def _receive(self) -> None:
        received = self._link.receive()
        if received is None:
            return
        shown = self._mixed_of(received)
        if shown is not None:
            self._shown.append(shown)

    def _mixed_of(self, received: Received) -> Shown | None:
        matte = received.matte
        mix = self._mixes.of(matte.prompts_version)
        alpha, confidence = received.alpha, matte.confidence
        if mix is None and self._waits_for(matte.prompts_version):
            return None
        if mix is not None:
            mix.begin()
            if not mix.plain:
                mixed = self._mixed.take((*alpha.shape[:2], PLACES))
                mix.mixed(alpha, mixed)
                alpha = mixed
            confidence = mix.confidence(confidence)
        picture, drawn_at = self._picture_of(received)
        return Shown(
            info=matte.info,
            alpha=alpha,
            picture=picture,
            foreground=received.fill if received.fill_channels == 4 else None,
            drawn_at=drawn_at,
            anchor_seq=matte.anchor_seq,
            age_ms=matte.age_ms,
            confidence=confidence,
            prompts_version=matte.prompts_version,
        )

    def _picture_of(self, received: Received) -> tuple[Bytes | None, int]:
        kept = self._kept.get(received.matte.info)
        if kept is not None:
            return kept
        if received.fill_channels == 3:
            return received.fill, -1
        self._lost_frames += bool(self._kept)
        return None, -1

    def _waits_for(self, version: int) -> bool:
        """Whether what a new version means may still be told: for a short time only, as
        somebody else may have changed the prompts."""
        now_s = self._clock()
        if self._untold[0] != version:
            self._untold = (version, now_s)
        return now_s - self._untold[1] < UNTOLD_S
