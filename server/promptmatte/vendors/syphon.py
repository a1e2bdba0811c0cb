"""Syphon through syphon-python: pictures between programs on one Mac.

Syphon's pictures have their origin at the bottom left, so rows are turned over both ways.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.errors import SourceError
from promptmatte.vendors.polling import polled

logger = logging.getLogger(__name__)

FIND_S = 3.0
"""A server is looked for for this long."""

LOOK_S = 0.05
RUN_LOOP_S = 0.001


class SyphonSender:
    """The Syphon server NAME."""

    def __init__(self, library: Any, name: str, size_hw: tuple[int, int]) -> None:
        """library: syphon."""
        self._objc = import_module("objc")
        self._raw = import_module("syphon.utils.raw")
        height, width = size_hw
        with self._objc.autorelease_pool():
            self._server = library.SyphonMetalServer(name)
            self._texture = self._raw.create_mtl_texture(self._server.device, width, height)

    def send(self, rgba: npt.NDArray[np.uint8]) -> bool:
        """Publishes the picture; False while no client is there, as then it is not."""
        with self._objc.autorelease_pool():
            if not self._server.has_clients:
                return False
            self._raw.copy_bytes_to_mtl_texture(rgba.tobytes(), self._texture)
            self._server.publish_frame_texture(self._texture, is_flipped=True)
        return True

    def close(self) -> None:
        """Ends the server."""
        with self._objc.autorelease_pool():
            self._server.stop()


class SyphonReceiver:
    """Pictures of the Syphon server NAME: its own name, or "APP - NAME" or "APP" where that is
    what tells it apart. A device of a LatestReader."""

    def __init__(self, library: Any, name: str) -> None:
        """library: syphon."""
        self._library = library
        self._name = name
        self._objc = import_module("objc")
        self._raw = import_module("syphon.utils.raw")
        self._metal = import_module("Metal")
        self._directory: Any = None
        self._client: Any = None

    def grab(self) -> tuple[npt.NDArray[np.uint8], int | None] | None:
        """The next picture, rgb8, its alpha dropped; SourceError when there is no such server."""
        with self._objc.autorelease_pool():
            if self._client is None:
                self._connect()
            if not self._client.is_valid:
                raise SourceError(f"the Syphon server {self._name} has ended")
            picture = polled(self._received)
        return None if picture is None else (picture, None)

    def release(self) -> None:
        """Lets go of the server."""
        with self._objc.autorelease_pool():
            if self._client is not None:
                self._client.stop()
            if self._directory is not None:
                self._directory.close()
        self._client = self._directory = None

    def _received(self) -> npt.NDArray[np.uint8] | None:
        if not self._client.has_new_frame:
            return None
        texture = self._client.new_frame_image
        if texture is None:
            return None
        data = self._raw.copy_mtl_texture_to_bytes(texture)
        pixels = np.frombuffer(data, np.uint8).reshape(texture.height(), texture.width(), 4)
        in_rgb_order = texture.pixelFormat() == self._metal.MTLPixelFormatRGBA8Unorm
        code = cv2.COLOR_RGBA2RGB if in_rgb_order else cv2.COLOR_BGRA2RGB
        return np.asarray(cv2.cvtColor(pixels[::-1], code), np.uint8)

    def _connect(self) -> None:
        self._directory = self._library.SyphonServerDirectory()
        self._directory.run_loop_interval = LOOK_S
        found = polled(self._found, wait_s=FIND_S, pace_s=LOOK_S)
        if found is None:
            there = ", ".join(map(_title, self._directory.servers)) or "none"
            raise SourceError(
                f"expected a Syphon server called {self._name}; found {there}: check that its "
                "program sends"
            )
        self._client = self._library.SyphonMetalClient(found)

    def _found(self) -> Any:
        servers = self._directory.servers
        for name_of in (lambda server: server.name, _title, lambda server: server.app_name):
            for server in servers:
                if name_of(server) == self._name:
                    return server
        return None


def _title(server: Any) -> str:
    return f"{server.app_name} - {server.name}"


class Announcer:
    """Answers, on the main thread, programs that ask which Syphon servers there are: macOS brings
    their questions, and the answers to ours, only to a run loop there."""

    def __init__(self, library: Any) -> None:
        """library: syphon."""
        self._directory = library.SyphonServerDirectory()
        self._directory.run_loop_interval = RUN_LOOP_S
        self._works = True

    def work(self) -> None:
        """One turn of the run loop; never raises."""
        try:
            if self._works:
                self._directory.update_run_loop()
        except Exception:
            self._works = False
            logger.exception("Syphon cannot be found by programs that start later")
