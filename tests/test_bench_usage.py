"""What a process uses, seen from outside and from inside."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import pytest
from promptmatte.bench.usage import usage_of

WORKS = """\
import sys, time
sys.stdin.readline()
memory = bytearray(b"x") * 80_000_000
end = time.process_time() + 0.5
while time.process_time() < end:
    pass
print("worked", flush=True)
sys.stdin.readline()
"""


def test_another_process_is_seen_to_work() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WORKS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        before = usage_of(process.pid)
        print(file=process.stdin, flush=True)
        assert process.stdout.readline() == "worked\n"
        after = usage_of(process.pid)
        process.stdin.close()
    assert 0.4 < after.cpu_s - before.cpu_s < 5
    assert after.rss_bytes - before.rss_bytes > 70e6
    assert after.peak_bytes >= after.rss_bytes
    if after.page_faults is not None:
        assert before.page_faults is not None
        assert after.page_faults - before.page_faults > 70e6 / (1 << 21)  # pages may be of 2 MB


def test_itself_agrees_with_the_processors_clock() -> None:
    end_s = time.process_time() + 0.2
    while time.process_time() < end_s:
        np.zeros(1000)
    assert usage_of(os.getpid()).cpu_s == pytest.approx(sum(os.times()[:2]), abs=0.2)


def test_a_process_that_has_ended_has_none() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    with pytest.raises(OSError, match=r".+"):
        usage_of(process.pid)
