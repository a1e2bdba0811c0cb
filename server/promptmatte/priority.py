"""Less of the processor for threads that must not hold the mattes up."""

from __future__ import annotations

import logging
import os
import sys
import threading
from enum import IntEnum

logger = logging.getLogger(__name__)


class Niceness(IntEnum):
    """How far a thread stands back, as Unix counts it: a step of 5 is about a third of the time
    where the processor is wanted by all."""

    CORRECTIONS = 5
    KEYFRAMES = 7
    ASIDE = 10


WINDOWS_BELOW_NORMAL, WINDOWS_LOWEST = -1, -2


def stand_back(niceness: Niceness) -> None:
    """Lowers the priority of this thread, and of those that it starts on Linux, for good.

    On Linux and Windows; elsewhere, and where the system refuses, nothing happens.
    """
    if sys.platform == "win32":
        import ctypes

        level = WINDOWS_LOWEST if niceness == Niceness.ASIDE else WINDOWS_BELOW_NORMAL
        kernel = ctypes.WinDLL("kernel32")
        kernel.GetCurrentThread.restype = ctypes.c_void_p
        kernel.SetThreadPriority(ctypes.c_void_p(kernel.GetCurrentThread()), level)
    elif sys.platform == "linux":
        try:
            # Linux has a niceness for each thread (setpriority(2), "C library/kernel differences").
            thread = threading.get_native_id()
            now = os.getpriority(os.PRIO_PROCESS, thread)
            os.setpriority(os.PRIO_PROCESS, thread, max(now, niceness))
        except OSError as error:
            logger.debug("a thread keeps its priority: %s", error)
