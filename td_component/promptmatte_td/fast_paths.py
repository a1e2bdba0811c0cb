"""Ways for the input to reach the server without a readback of floats, where a machine has them.

Both are the cooking thread's. The mattes come back over the link either way, under the frames'
own identity.
"""

from __future__ import annotations

import secrets
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import td
from promptmatte_shm import FrameInfo, ShmError
from promptmatte_shm.cuda_client import CudaFrameSender, DeviceImage
from promptmatte_shm.cuda_driver import CudaDevice, CudaDriver, available

READBACK, TOUCH, CUDA = "readback", "touch", "cuda"
LABELS = {
    READBACK: "Readback (everywhere)",
    TOUCH: "Shared Mem TOP (not in the free licence)",
    CUDA: "CUDA (NVIDIA)",
}
KEPT_IMAGES = 16
SHARED_MEM_OUT = "sharedmemout_sent"
UNREAD_AFTER_S = 3.0
RETRY_S = 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class KeptImage:
    """A frame on the card until its matte comes. drawn_at: the frame it was taken in."""

    image: DeviceImage
    drawn_at: int


class FastPath(Protocol):
    """One way, opened."""

    def send(self, frame: int) -> None:
        """Sends the input as it is now; never waits."""
        ...

    def image_of(self, info: FrameInfo) -> KeptImage | None:
        """The frame of a matte, where this way keeps them."""
        ...

    @property
    def trouble(self) -> str:
        """What keeps it from working, and what to do; empty when nothing does."""
        ...

    def close(self) -> None:
        """Frees what it holds, without waiting."""
        ...


def source_of(path: str, session: str) -> str:
    """What the server's --source must be for it."""
    return {TOUCH: f"touch:{touch_name(session)}", CUDA: f"cuda:{session}"}[path]


def touch_name(session: str) -> str:
    """The name of the Shared Mem Out TOP's memory."""
    return f"promptmatte_{session}"


class Offered:
    """What works on this machine; found out on a thread, as asking a card takes time."""

    def __init__(self) -> None:
        self.names: tuple[str, ...] = (READBACK,)
        threading.Thread(target=self._ask, name="promptmatte-td-paths", daemon=True).start()

    def _ask(self) -> None:
        found = [READBACK]
        if sys.platform == "win32":
            found.append(TOUCH)
        if available().usable:
            found.append(CUDA)
        self.names = tuple(found)


class SharedMemPath:
    """A Shared Mem Out TOP behind what is sent. Nothing in its memory numbers the pictures, so
    the server numbers them and sends each back with its matte."""

    def __init__(self, component: Any, sender: Any, session: str) -> None:
        self._top = component.op(SHARED_MEM_OUT)
        if self._top is None:
            self._top = component.create(td.sharedmemoutTOP, SHARED_MEM_OUT)
            self._top.nodeX, self._top.nodeY = sender.nodeX, sender.nodeY + 120
            self._top.setInputs([sender])
        self._top.par.name = touch_name(session)
        self._top.par.active = True

    def send(self, frame: int) -> None:  # noqa: ARG002  the operator sends by itself
        """Makes the operator cook, as nothing pulls on it."""
        self._top.cook()

    def image_of(self, info: FrameInfo) -> KeptImage | None:  # noqa: ARG002
        """The matte brings its picture along."""
        return None

    @property
    def trouble(self) -> str:
        """The operator's own error, such as a licence without it."""
        return str(self._top.errors())

    def close(self) -> None:
        """The operator goes."""
        self._top.destroy()


def card_of(pointer: int) -> CudaDevice:
    """The card that this memory is on; CudaError."""
    first = CudaDriver()
    ordinal = first.ordinal_of(pointer)
    if ordinal == 0:
        return first
    first.close()
    return CudaDriver(ordinal)


class CudaPath:
    """Frames that stay on the card: copied into memory the server has open, and kept for the
    delayed picture."""

    def __init__(
        self,
        sender: Any,
        session: str,
        *,
        card: Callable[[int], CudaDevice] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """card: the one a pointer belongs to. ShmError where there is no card, or another
        program sends."""
        self._top = sender
        self._session = session
        self._clock = clock
        # Which card TouchDesigner draws on shows in its memory only.
        pointer = sender.cudaMemory().ptr
        self._sender = CudaFrameSender(session, device=(card or card_of)(pointer))
        self._stream_id = secrets.randbits(62)
        self._seq = 0
        self._kept: dict[FrameInfo, KeptImage] = {}
        self._error = ""
        self._read_at_s = clock()

    def send(self, frame: int) -> None:
        """Begins the copy on the card."""
        self._sender.poll()
        image = self._top.cudaMemory(stream=self._sender.stream)
        if image is None:
            return
        self._seq += 1
        now_ns = time.monotonic_ns()
        info = FrameInfo(
            stream_id=self._stream_id, seq=self._seq, pts_ns=now_ns, captured_ns=now_ns
        )
        try:
            sent = self._sender.send(info, image)
            self._error = ""
        except ShmError as error:
            self._error = str(error)
            return
        if sent:
            self._kept[info] = KeptImage(image=image, drawn_at=frame)
            if len(self._kept) > KEPT_IMAGES:
                del self._kept[next(iter(self._kept))]
        self._sender.poll()

    def image_of(self, info: FrameInfo) -> KeptImage | None:
        """The frame of a matte, while it is kept."""
        return self._kept.get(info)

    @property
    def trouble(self) -> str:
        """A server that reads another source, or a fault of the card."""
        if self._error:
            return self._error
        if self._sender.status.connected:
            self._read_at_s = self._clock()
        elif self._clock() - self._read_at_s > UNREAD_AFTER_S:
            return f"the server does not read cuda:{self._session}: Restart it on the Server page"
        return ""

    def close(self) -> None:
        """Lets go of the card on a thread, as that waits for copies under way."""
        threading.Thread(
            target=self._sender.close, name="promptmatte-td-closing", daemon=True
        ).start()


class ChosenPath:
    """The way that is chosen, if it is one of these; tried again while it cannot be opened."""

    def __init__(self, component: Any, sender: Any) -> None:
        self._component = component
        self._sender = sender
        self._choice = ("", "")
        self._open: FastPath | None = None
        self._error = ""
        self._retry_s = 0.0

    def choose(self, path: str, session: str) -> None:
        """Opens this way in place of the one before; READBACK and "" open none."""
        self.close()
        self._choice = path, session
        self._retry_s = time.monotonic() + RETRY_S
        try:
            if path == TOUCH:
                self._open = SharedMemPath(self._component, self._sender, session)
            elif path == CUDA:
                self._open = CudaPath(self._sender, session)
        except (ShmError, td.tdError) as error:
            self._error = f"{LABELS[path]}: {error}"

    def send(self, frame: int) -> None:
        """Sends the input, where a way is open."""
        if self._open is not None:
            self._open.send(frame)

    def image_of(self, info: FrameInfo) -> KeptImage | None:
        """The frame of a matte, where it was kept on the card."""
        return self._open.image_of(info) if self._open is not None else None

    def trouble(self) -> str:
        """What keeps the chosen way from working; empty when nothing does."""
        if self._open is not None:
            return self._open.trouble
        if self._error and time.monotonic() > self._retry_s:
            self.choose(*self._choice)
        return self._error

    def close(self) -> None:
        """Leaves the way."""
        self._error = ""
        if self._open is not None:
            self._open.close()
            self._open = None
