"""Points live: the mattes of a server over the XYZ frames of a depth camera."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from promptmatte.clock import Clock
from promptmatte.errors import ConfigError, LinkError, SourceError
from promptmatte.frame import Frame, Matte, PixelFormat
from promptmatte.points.cloud_file import CloudFile
from promptmatte.points.geometry import DepthCamera, Unprojector
from promptmatte.points.inputs import MatteInput, XyzInput
from promptmatte.points.masked import Masker
from promptmatte.points.pairing import Pair, Pairing

Floats = npt.NDArray[np.float32]

WAIT_S = 0.004
"""For a matte, before the XYZ frames are looked at."""

SILENT_S = 2.0
"""Without mattes, frames or pairs for this long, news() says which."""


class LivePoints:
    """Pairs, masks and sends on, one picture a step; keeps going whatever comes or does not.

    counts: pairing. rejected: XYZ frames that could not be used.
    """

    def __init__(
        self,
        *,
        mattes: MatteInput,
        xyz: XyzInput,
        send: Callable[[Matte], None],
        masker: Masker,
        pairing: Pairing,
        clock: Clock,
        camera: DepthCamera | None = None,
        cloud_file: CloudFile | None = None,
    ) -> None:
        """send: takes the masked texture as a matte's alpha, rgba32f, and copies it at once.
        camera: the frames hold depth in their first channel; None: x, y and z."""
        self.counts = pairing
        self.rejected = 0
        self._mattes = mattes
        self._xyz = xyz
        self._send = send
        self._masker = masker
        self._clock = clock
        self._camera = camera
        self._cloud_file = cloud_file
        self._unprojector: Unprojector | None = None
        self._points = np.empty((0, 0, 4), np.float32)
        self._texture: Floats | None = None
        self._fill: npt.NDArray[np.uint8] | None = None
        self._is_offered = True
        self._matte_ns = self._frame_ns = self._pair_ns = clock.now_ns()
        self._frame_fault = self._pair_fault = self._note = ""
        self._told = ""

    def step(self) -> None:
        """Waits a moment for a matte, then sends the newest pair there is."""
        matte = self._mattes.read(WAIT_S)
        if matte is not None:
            self._matte_ns = self._clock.now_ns()
            self.counts.add_matte(matte)
        frame = self._read_frame()
        if frame is not None:
            self.counts.add_xyz(frame)
        pair = self.counts.newest()
        if pair is not None:
            self._pass_on(pair)
        if self._cloud_file is not None and self._texture is not None and not self._is_offered:
            now_s = self._clock.now_ns() / 1e9
            self._is_offered = self._cloud_file.offer(self._texture, self._fill, now_s=now_s)

    def _read_frame(self) -> Frame | None:
        try:
            frame = self._xyz.read()
            if frame is None:
                return None
            self._frame_ns = self._clock.now_ns()
            if frame.format is not PixelFormat.RGBA32F:
                raise SourceError(
                    f"expected XYZ frames as rgba32f; got {frame.format.name.lower()}: send 32-bit "
                    "float RGBA"
                )
        except (LinkError, SourceError) as error:
            self.rejected += 1
            self._frame_fault = str(error)
            return None
        self._frame_fault = ""
        return frame

    def _pass_on(self, pair: Pair) -> None:
        matte = pair.matte
        try:
            texture = self._masker.masked(self._points_of(pair.xyz), _levels(matte))
            self._send(
                Matte(
                    info=pair.xyz.info,
                    alpha=texture.view(),  # a matte makes what it is given read-only
                    anchor_seq=matte.anchor_seq,
                    age_ms=matte.age_ms,
                    confidence=matte.confidence,
                    prompts_version=matte.prompts_version,
                )
            )
        except (ConfigError, LinkError, SourceError) as error:
            self.rejected += 1
            self._pair_fault = str(error)
            return
        self._pair_ns, self._pair_fault = self._clock.now_ns(), ""
        self._note = _shapes_note(pair)
        self._texture, self._is_offered = texture, False
        if self._cloud_file is not None:
            self._keep_fill(matte)

    def _keep_fill(self, matte: Matte) -> None:
        """The colours of the last pair, until there is another one."""
        if matte.fill is None:
            self._fill = None
            return
        if self._fill is None or self._fill.shape != matte.fill.shape:
            self._fill = np.empty(matte.fill.shape, np.uint8)
        np.copyto(self._fill, matte.fill)

    def _points_of(self, frame: Frame) -> Floats:
        pixels = np.asarray(frame.pixels, np.float32)
        if self._camera is None:
            return pixels
        if self._unprojector is None or self._unprojector.size_hw != frame.size_hw:
            self._unprojector = Unprojector(self._camera, frame.size_hw, depth_dtype=np.float32)
            self._points = np.zeros(pixels.shape, np.float32)
        self._unprojector.unproject(pixels[..., 0], self._points)
        return self._points

    def news(self) -> str | None:
        """One line for people when something begins or stops to work; None while all is as told."""
        state, line = self._state()
        error = self._cloud_file.error if self._cloud_file is not None else ""
        if error:
            line = f"{line}; {error}"
        if state + error == self._told:
            return None
        self._told = state + error
        return line

    def _state(self) -> tuple[str, str]:
        """A word that changes with what there is to tell, and the line."""
        now_ns = self._clock.now_ns()

        def is_silent(since_ns: int) -> bool:
            return now_ns - since_ns > SILENT_S * 1e9

        if is_silent(self._frame_ns):
            return "frames", self._frame_fault or "no XYZ frames come: is their sender running?"
        fault = self._frame_fault or self._pair_fault
        if fault:
            return fault, fault
        if is_silent(self._matte_ns):
            return (
                "mattes",
                "no mattes come: is `promptmatte serve` running, and does it get frames?",
            )
        if is_silent(self._pair_ns):
            return "pairs", self._why_unpaired()
        if self._texture is None:
            return "waiting", "waiting for XYZ frames and mattes"
        return "points" + self._note, "points go out" + self._note

    def _why_unpaired(self) -> str:
        nearest_ns = self.counts.nearest_ns
        if nearest_ns is None:
            return "XYZ frames and mattes come, and no pair yet"
        return (
            f"no matte belongs to the XYZ frames: the nearest was captured {nearest_ns / 1e6:.0f} "
            "ms apart: send both pictures with one stream_id and seq, or with captured_ns of one "
            "clock, or allow more by --apart"
        )

    def close(self) -> None:
        """Writes the last cloud, if clouds are written."""
        if self._cloud_file is not None:
            self._cloud_file.close(self._texture, self._fill)


def _levels(matte: Matte) -> npt.NDArray[np.uint8]:
    if matte.alpha.dtype != np.uint8:
        raise SourceError(
            f"expected mattes of 8 bits; got {matte.format.name.lower()}: is --link the address "
            "of a PromptMatte server?"
        )
    return np.asarray(matte.alpha, np.uint8)


def _shapes_note(pair: Pair) -> str:
    """A remark where XYZ and matte cannot be of one view."""
    (height, width), (matte_height, matte_width) = pair.xyz.size_hw, pair.matte.size_hw
    if abs(width * matte_height / (height * matte_width) - 1) < 0.02:
        return ""
    return (
        f"; XYZ is {width}x{height} and the matte {matte_width}x{matte_height}: is the XYZ "
        "aligned to the colour picture?"
    )
