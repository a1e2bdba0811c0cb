"""Threads that stand back for the mattes."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from promptmatte.priority import Niceness, stand_back


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells a thread's niceness")
def test_a_thread_stands_back_alone_and_takes_along_what_it_starts() -> None:
    seen: dict[str, int] = {}

    def look(name: str) -> None:
        seen[name] = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def work() -> None:
        stand_back(Niceness.ASIDE)
        look("itself")
        child = threading.Thread(target=look, args=("child",))
        child.start()
        child.join()

    before = os.getpriority(os.PRIO_PROCESS, 0)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    look("caller")
    lowered = max(before, Niceness.ASIDE)  # to raise one is for administrators
    assert seen == {"itself": lowered, "child": lowered, "caller": before}


def test_it_may_be_asked_for_twice_anywhere() -> None:
    with ThreadPoolExecutor(1) as pool:
        for _ in range(2):
            pool.submit(stand_back, Niceness.KEYFRAMES).result()
