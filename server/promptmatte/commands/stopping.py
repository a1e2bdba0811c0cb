"""When a command that runs on is to end."""

from __future__ import annotations

import os
import signal
import sys
import threading


def stop_event(*, after_input: bool = False) -> threading.Event:
    """Set by Ctrl-C and by a signal to end; after_input: also when standard input is closed, as it
    is when the program that started this one is gone."""
    stop = threading.Event()
    for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: stop.set())
    if after_input:
        threading.Thread(target=_set_after_input, args=(stop,), daemon=True).start()
    return stop


def _set_after_input(stop: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    stop.set()
