"""Stands in for SpoutGL 0.1.1: the methods and signatures of its binding, which takes positional
arguments only, and an OpenGL context that belongs to the thread that made it.

Its receiver sees one sender, "Stage", of VENDOR_SIZE=HEIGHTxWIDTH, whose every byte is its place.
"""

import os
import threading

from vendor_record import picture_fault, record


class _End:
    def __init__(self) -> None:
        self._gl: int | None = None

    def createOpenGL(self, /) -> bool:
        self._gl = threading.get_ident()
        return os.environ.get("VENDOR_FAULT") != "no GL"

    def closeOpenGL(self, /) -> bool:
        self._check()
        self._gl = None
        record("closeOpenGL")
        return True

    def _check(self) -> None:
        assert self._gl == threading.get_ident(), "no OpenGL context in this thread"


class SpoutSender(_End):
    def setSenderName(self, name: str, /) -> None:
        record("setSenderName", name=name)

    def sendImage(
        self, pixels: object, width: int, height: int, glFormat: int, invert: bool, hostFbo: int, /
    ) -> bool:
        self._check()
        view = memoryview(pixels)
        assert view.c_contiguous
        if view.nbytes < width * height * {0x1908: 4, 0x80E1: 4, 0x1907: 3}[glFormat]:
            raise BufferError("Buffer not large enough")
        if os.environ.get("VENDOR_FAULT") == "refuse":
            return False
        picture_fault()
        record(
            "sendImage", pixels=view.tobytes().hex(), width=width, height=height,
            format=glFormat, invert=invert, fbo=hostFbo,
        )  # fmt: skip
        return True

    def releaseSender(self, /) -> None:
        self._check()
        record("releaseSender")


class SpoutReceiver(_End):
    def __init__(self) -> None:
        super().__init__()
        self._size = tuple(map(int, os.environ.get("VENDOR_SIZE", "4x6").split("x")))
        self._name = ""
        self._updated = self._connected = self._new = False

    def setReceiverName(self, name: str, /) -> None:
        self._name = name

    def receiveImage(self, buffer: object, glFormat: int, invert: bool, hostFbo: int, /) -> bool:
        self._check()
        assert (glFormat, invert, hostFbo) == (0x1908, False, 0)
        self._updated = self._new = False
        if self._name != "Stage":
            return False
        if not self._connected:
            self._connected = self._updated = True
            return True
        height, width = self._size
        if memoryview(buffer).nbytes < height * width * 4:
            raise BufferError("Buffer not large enough")
        memoryview(buffer).cast("B")[:] = bytes(i % 256 for i in range(height * width * 4))
        self._new = True
        return True

    def isUpdated(self, /) -> bool:
        return self._updated

    def isConnected(self, /) -> bool:
        return self._connected

    def isFrameNew(self, /) -> bool:
        return self._new

    def getSenderWidth(self, /) -> int:
        return self._size[1]

    def getSenderHeight(self, /) -> int:
        return self._size[0]

    def getSenderList(self, /) -> list[str]:
        return ["Stage", "Other"]

    def releaseReceiver(self, /) -> None:
        self._check()
        record("releaseReceiver")
