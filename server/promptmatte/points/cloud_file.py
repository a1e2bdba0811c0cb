"""The newest cloud of a live run, as a file that is replaced now and then."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import numpy.typing as npt

from promptmatte.commands.whole_file import whole_file
from promptmatte.errors import PromptMatteError
from promptmatte.points.masked import fit_into
from promptmatte.points.ply import vertices_of, write_ply

EVERY_S = 1.0


class CloudFile:
    """Writes a PLY file on a thread of its own, whole or not at all; close() ends it.

    written: files so far. error: why the last one could not be written, else "".
    """

    def __init__(self, path: Path) -> None:
        self.written = 0
        self.error = ""
        self._path = path
        self._due_s = 0.0
        self._texture = np.empty((0, 0, 4), np.float32)
        self._colours = np.empty((0, 0, 0), np.uint8)
        self._has_colours = False
        self._full = threading.Event()
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="promptmatte-cloud-file")
        self._thread.start()

    def offer(
        self,
        texture: npt.NDArray[np.float32],
        fill: npt.NDArray[np.uint8] | None,
        *,
        now_s: float,
    ) -> bool:
        """Copies a masked texture [H, W, 4], and the fill [h, w, 3 or 4] for its colours, to be
        written; False while the last one is not finished or not EVERY_S old. Never waits."""
        if now_s < self._due_s or self._full.is_set():
            return False
        self._due_s = now_s + EVERY_S
        self._take(texture, fill)
        return True

    def close(
        self,
        texture: npt.NDArray[np.float32] | None = None,
        fill: npt.NDArray[np.uint8] | None = None,
    ) -> None:
        """Ends the thread once the file in hand is written, and writes this last one."""
        self._closing = True
        self._wake.set()
        self._thread.join()
        if texture is not None:
            self._take(texture, fill)
            self._write()

    def _take(self, texture: npt.NDArray[np.float32], fill: npt.NDArray[np.uint8] | None) -> None:
        if self._texture.shape != texture.shape:
            self._texture = np.empty_like(texture)
        np.copyto(self._texture, texture)
        self._has_colours = fill is not None
        if fill is not None:
            shape = (*texture.shape[:2], fill.shape[2])
            if self._colours.shape != shape:
                self._colours = np.empty(shape, np.uint8)
            fit_into(fill, self._colours)
        self._full.set()
        self._wake.set()

    def _work(self) -> None:
        while not self._closing:
            self._wake.wait()
            self._wake.clear()
            if self._full.is_set():
                self._write()

    def _write(self) -> None:
        try:
            vertices = vertices_of(self._texture, self._colours if self._has_colours else None)
            with whole_file(self._path) as partial:
                write_ply(partial, vertices)
        except PromptMatteError as error:
            self.error = str(error)
        else:
            self.written += 1
            self.error = ""
        finally:
            self._full.clear()
