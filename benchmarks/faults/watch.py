"""A reader that looks at every matte it is given."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from promptmatte.frame import Matte
from promptmatte.links import open_client_link
from promptmatte.links.protocol import ClientLink

Look = Callable[[Matte], str | None]
PATIENCE_S = 120.0
MOST_COMPLAINTS = 1000


class Watch:
    """Reads a link on a thread of its own, for as long as it is open, and never opens it again:
    whatever happens to the server, the link itself must find back.

    look: what is wrong with a matte, if anything. The order within a stream is watched too.
    """

    def __init__(self, address: str, look: Look) -> None:
        self.link: ClientLink = open_client_link(address)
        self.looked_at = 0
        self.wrong: list[str] = []
        self.newest: Matte | None = None
        self._look = look
        self._order: dict[int, int] = {}
        self._right: deque[tuple[int, int]] = deque(maxlen=4096)
        self._over = threading.Event()
        self._counting = threading.Lock()
        self._thread = threading.Thread(target=self._read, name="fault-watch", daemon=True)
        self._thread.start()

    def right_after(self, moment_ns: int, patience_s: float = PATIENCE_S) -> int | None:
        """When the first right matte came whose frame was captured after a moment, both of
        time.monotonic_ns; None if none came in time."""
        deadline_s = time.monotonic() + patience_s
        while time.monotonic() < deadline_s:
            for captured_ns, came_ns in list(self._right):
                if captured_ns > moment_ns:
                    return came_ns
            time.sleep(0.001)
        return None

    def taken(self) -> tuple[int, list[str]]:
        """How many mattes were looked at and what was wrong since the last call."""
        with self._counting:
            taken = self.looked_at, self.wrong
            self.looked_at, self.wrong = 0, []
        return taken

    def close(self) -> None:
        """Ends it; safe to call twice."""
        self._over.set()
        self._thread.join()
        self.link.close()

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _read(self) -> None:
        while not self._over.is_set():
            matte = self.link.latest_matte(0.05)
            if matte is None:
                continue
            came_ns = time.monotonic_ns()
            fault = self._look(matte) or self._backwards(matte)
            with self._counting:
                self.looked_at += 1
                if fault is not None and len(self.wrong) < MOST_COMPLAINTS:
                    self.wrong.append(fault)
            self.newest = matte
            if fault is None:
                self._right.append((matte.info.captured_ns, came_ns))

    def _backwards(self, matte: Matte) -> str | None:
        info = matte.info
        last = self._order.get(info.stream_id, -1)
        self._order[info.stream_id] = info.seq
        return None if info.seq > last else f"matte {info.seq} after {last}"
