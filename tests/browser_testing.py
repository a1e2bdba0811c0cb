"""A real headless browser for tests of the page, and the page's process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

BROWSER_MS = 300_000.0
POLL_S = 0.2
"""Often enough; oftener, the looking takes the processor that the browser needs."""

T = TypeVar("T")

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome",
         "msedge", "microsoft-edge")  # fmt: skip
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
    r"C:\Program Files\Microsoft\Edge\Application\msedge.exe",
)
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-proxy-server",
)  # fmt: skip


def browser_path() -> str | None:
    """A Chromium, Chrome or Edge of this machine."""
    found = (shutil.which(name) for name in NAMES)
    return next((p for p in (*found, *PLACES) if p and Path(p).exists()), None)


def fetched(url: str) -> bytes:
    """What is there, asked for without any proxy."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=BROWSER_MS / 1000) as reply:
        return bytes(reply.read())


@contextmanager
def browser() -> Iterator[Any]:
    """The browser, driven by playwright; skips where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    path = browser_path()
    if path is None:
        pytest.skip("needs Chromium, Chrome or Edge on this machine")
    with sync_api.sync_playwright() as driver:
        opened = driver.chromium.launch(
            executable_path=path, headless=True, args=list(ARGUMENTS), timeout=BROWSER_MS
        )
        try:
            yield opened
        finally:
            opened.close()


def wait_for(look: Callable[[], T | None]) -> T:
    """The first true thing that look returns; fails if none comes in BROWSER_MS."""
    deadline_s = time.monotonic() + BROWSER_MS / 1000
    while time.monotonic() < deadline_s:
        found = look()
        if found:
            return found
        time.sleep(POLL_S)
    raise AssertionError(f"nothing came in {BROWSER_MS / 1000:g} s")


class Page:
    """`promptmatte web` with these arguments on a free port, ended at the end of a with block."""

    def __init__(self, *arguments: object, log: Path, folder: Path, **environment: str) -> None:
        """folder: for its pads."""
        self._log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "promptmatte", "web", "--port", "0",
                 *map(str, arguments)],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env={**os.environ, "PROMPTMATTE_CACHE": str(folder), **environment},
            )  # fmt: skip

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(BROWSER_MS / 1000)

    @property
    def url(self) -> str:
        """Its address, once it is there."""

        def look() -> str | None:
            said = self.said()
            assert self.process.poll() is None, said
            return next(
                (line.split()[1] for line in said.splitlines() if line.startswith("page: ")), None
            )

        return wait_for(look)

    def said(self) -> str:
        """Its output so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")
