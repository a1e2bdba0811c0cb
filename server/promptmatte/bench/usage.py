"""Processor time and memory of a process that lives, also of another one."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Usage:
    """cpu_s: processor seconds so far, of all its threads. rss_bytes: memory now. peak_bytes: the
    most it has had; on macOS, which does not tell it of others, what it has now. page_faults: times
    that it was given a page of memory for the first time, or again; None on macOS."""

    cpu_s: float
    rss_bytes: int
    peak_bytes: int
    page_faults: int | None


def usage_of(pid: int) -> Usage:
    """The usage of a process of this user; OSError when there is none such."""
    if sys.platform == "win32":
        return _of_windows(pid)
    if Path("/proc/self/stat").exists():
        return _of_proc(Path(f"/proc/{pid}"))
    return _of_ps(pid)


def _of_proc(folder: Path) -> Usage:
    """From Linux's /proc."""
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])  # utime and stime, the 14th and 15th of proc(5)
    lines = (folder / "status").read_text().splitlines()
    kib = {name: value.split()[0] for name, _, value in (line.partition(":") for line in lines)
           if name in ("VmRSS", "VmHWM")}  # fmt: skip
    return Usage(
        cpu_s=ticks / os.sysconf("SC_CLK_TCK"),
        rss_bytes=1024 * int(kib["VmRSS"]),
        peak_bytes=1024 * int(kib["VmHWM"]),
        page_faults=int(fields[7]),  # minflt, the 10th
    )


def _of_ps(pid: int) -> Usage:
    """From ps, as on macOS: [[days-]hours:]minutes:seconds and KiB."""
    told = subprocess.run(
        ["ps", "-o", "time=,rss=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    words = told.stdout.split()
    if len(words) != 2:
        raise ProcessLookupError(f"expected a process {pid}; ps found none")
    days, _, clock = words[0].rpartition("-")
    seconds = 86400.0 * int(days or 0)
    for power, part in enumerate(reversed(clock.split(":"))):
        seconds += float(part) * 60**power
    resident = 1024 * int(words[1])
    return Usage(cpu_s=seconds, rss_bytes=resident, peak_bytes=resident, page_faults=None)


def _of_windows(pid: int) -> Usage:
    """From GetProcessTimes and K32GetProcessMemoryInfo."""
    import ctypes
    from ctypes import wintypes

    class Counters(ctypes.Structure):
        _fields_ = (
            ("cb", wintypes.DWORD),
            ("page_faults", wintypes.DWORD),
            *((name, ctypes.c_size_t) for name in (
                "peak", "now", "peak_paged", "paged", "peak_nonpaged", "nonpaged", "pagefile",
                "peak_pagefile",
            )),
        )  # fmt: skip

    kernel = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined,unused-ignore]
    kernel.OpenProcess.restype = wintypes.HANDLE
    handle = wintypes.HANDLE(kernel.OpenProcess(0x1000, False, pid))  # query, limited
    if not handle:
        raise ProcessLookupError(f"expected a process {pid}; Windows opens none")
    try:
        times = [ctypes.c_uint64() for _ in range(4)]  # creation, exit, kernel, user
        memory = Counters(cb=ctypes.sizeof(Counters))
        if not (
            kernel.GetProcessTimes(handle, *map(ctypes.byref, times))
            and kernel.K32GetProcessMemoryInfo(handle, ctypes.byref(memory), memory.cb)
        ):
            raise OSError(f"Windows does not tell the usage of process {pid}")
    finally:
        kernel.CloseHandle(handle)
    cpu_s = (times[2].value + times[3].value) * 1e-7
    return Usage(
        cpu_s=cpu_s,
        rss_bytes=memory.now,
        peak_bytes=memory.peak,
        page_faults=memory.page_faults,
    )
