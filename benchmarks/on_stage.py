"""A whole show on one machine: both links read, page open, OSC, recording and metrics at once,
beside the same server without page, OSC, recording and metrics.

    python benchmarks/on_stage.py [--minutes N] [--plain-minutes N] [--source S] [--json FILE]

Plain servers before and after, the full one in between; all have two prompts and a reader process
at each link. In the full one a browser shows the page's live tab, an OSC client moves a control
twenty times a second and gets feedback, metrics are scraped every five seconds, and everything is
recorded as ProRes 4444. The browser runs on this machine too, where a phone would bring its own
processor; so it gets what the others leave (chrt --idle). Linux only: memory, files and threads are
read from /proc.

Prints JSON: of each run mattes a second, latency, drops and what the readers saw; of the full one
also the memory, files and threads of server and page over time (slope in MB a minute over its
second half), and the ratio of its matte rate to the mean of the plain ones.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from footprint import Footprint
from playwright.sync_api import sync_playwright
from processes import at_work, free_port, free_session, serving, started, status_of
from promptmatte.bench.machine import machine
from promptmatte.links import open_client_link
from pythonosc.udp_client import SimpleUDPClient

PROMPTS = ("person", "sky")
SAMPLE_S = 10.0
SCRAPE_S = 5.0
OSC_HZ = 20.0
WARM_UP_S = 20.0
CHANNELS = 4
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER_ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--no-proxy-server")


@contextmanager
def stage(source: str, log: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server with both links, and its shared-memory address; it has made mattes."""
    session = f"shm:{free_session()}"
    zmq = f"zmq:tcp://127.0.0.1:{free_port()}"
    words = [word for prompt in PROMPTS for word in ("--prompt", prompt)]
    with (
        serving(
            log, "--source", source, *words, "--out", session, "--out", zmq, *options, threads=None
        ) as process,
        ExitStack() as stack,
    ):
        at_work(process, session, log)
        process.readers = [  # type: ignore[attr-defined]
            stack.enter_context(
                started(
                    "-m", "benchmarks.link_reader", address, CHANNELS,
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                )
            )
            for address in (session, zmq)
        ]  # fmt: skip
        yield process, session


def measured(
    process: Any, session: str, minutes: float, usages: dict[int, Footprint]
) -> dict[str, Any]:
    """Rate, latency, drops and readers of so many minutes after warming up."""
    time.sleep(WARM_UP_S)
    link = open_client_link(session)
    before, began_s = status_of(link), time.monotonic()
    while time.monotonic() - began_s < 60 * minutes:
        for pid, usage in usages.items():
            usage.sample(pid)
        time.sleep(SAMPLE_S)
    after, seconds = status_of(link), time.monotonic() - began_s
    link.close()
    seen = [json.loads(reader.communicate("")[0]) for reader in process.readers]
    return {
        "minutes": round(seconds / 60, 2),
        "mattes_a_second": round((after["mattes_out"] - before["mattes_out"]) / seconds, 2),
        "keyframes_a_second": round((after["encodes"] - before["encodes"]) / seconds, 2),
        "frames_a_second": round((after["frames_in"] - before["frames_in"]) / seconds, 2),
        "latency_ms": after["latency_ms"],
        "dropped": after["dropped"],
        "errors": after["errors"],
        "links": [
            {name: entry[name] for name in ("address", "torn", "rejected", "errors")}
            for entry in after["links"]
        ],
        "readers": seen,
        "recording": after["recording"],
    }


def plain(source: str, minutes: float, folder: Path) -> dict[str, Any]:
    """The server with its links alone."""
    with stage(source, folder / "plain.log") as (process, session):
        return measured(process, session, minutes, {})


def full(source: str, minutes: float, folder: Path) -> dict[str, Any]:
    """The server with everything on, used."""
    web, osc, metrics = free_port(), free_port(), free_port()
    log = folder / "full.log"
    options = (
        "--web", str(web), "--osc", str(osc), "--metrics", str(metrics),
        "--record", str(folder / "show.mov"),
    )  # fmt: skip
    over = threading.Event()
    counts = {"osc_sent": 0, "scrapes": 0, "scrapes_failed": 0}

    def move_controls() -> None:
        client = SimpleUDPClient("127.0.0.1", osc)
        while not over.wait(1 / OSC_HZ):
            client.send_message("/promptmatte/1/threshold", 0.4 + 0.2 * (counts["osc_sent"] % 2))
            counts["osc_sent"] += 1

    def scrape() -> None:
        while not over.wait(SCRAPE_S):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics") as reply:
                    counts["scrapes"] += b"promptmatte_mattes_total" in reply.read()
            except OSError:
                counts["scrapes_failed"] += 1

    with stage(source, log, *options) as (process, session), browser_on(web) as tab:
        helpers = [threading.Thread(target=work) for work in (move_controls, scrape)]
        for helper in helpers:
            helper.start()
        server, page = Footprint(), Footprint()
        page_pid = child_of(process.pid)
        try:
            result = measured(process, session, minutes, {process.pid: server, page_pid: page})
        finally:
            over.set()
            for helper in helpers:
                helper.join()
        shown = tab.locator(".pm-matte img").count()
        result |= {"server": server.report(), "page": page.report(), "page_shows_mattes": shown > 0}
    size_mb = sum(path.stat().st_size for path in folder.glob("show*")) / 2**20
    said = log.read_text()
    return result | counts | {
        "recording_mb": round(size_mb),
        "tracebacks": said.count("Traceback"),
        "said": [line for line in said.splitlines() if "WARNING" in line or "ERROR" in line][:20],
    }  # fmt: skip


def child_of(pid: int) -> int:
    """The page's process, a child of the server's."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if parent == pid:
            return int(path.name)
    sys.exit("expected the page as a child of the server; found none")


@contextmanager
def browser_on(port: int) -> Iterator[Any]:
    """The page's live tab in a headless browser, of idle priority, with pictures in it."""
    url = f"http://127.0.0.1:{port}"
    deadline_s = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(url).close()
            break
        except OSError:
            if time.monotonic() > deadline_s:
                sys.exit(f"the page did not come to {url}")
            time.sleep(0.5)
    with sync_playwright() as driver, tempfile.TemporaryDirectory() as name:
        polite = Path(name) / "browser"
        polite.write_text(f'#!/bin/sh\nexec chrt --idle 0 {browser_path()} "$@"\n')
        polite.chmod(0o755)
        browser = driver.chromium.launch(
            executable_path=polite, headless=True, args=list(BROWSER_ARGUMENTS)
        )
        tab = browser.new_page(viewport={"width": 390, "height": 844})
        tab.goto(url)
        tab.wait_for_selector("#live-pictures img", timeout=120_000)
        yield tab
        browser.close()


def browser_path() -> str:
    """Chromium or Chrome; exits without one."""
    for folder in os.get_exec_path():
        for name in BROWSERS:
            if (Path(folder) / name).exists():
                return str(Path(folder) / name)
    return sys.exit(f"expected one of {', '.join(BROWSERS)} on PATH")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the three and prints them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--plain-minutes", type=float, default=2.0)
    parser.add_argument("--source", default="test:")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        before = plain(options.source, options.plain_minutes, folder)
        busy = full(options.source, options.minutes, folder)
        after = plain(options.source, options.plain_minutes, folder)
    rate = (before["mattes_a_second"] + after["mattes_a_second"]) / 2
    told = json.dumps(
        {
            **machine(),
            "plain_before": before,
            "full": busy,
            "plain_after": after,
            "matte_rate_ratio": round(busy["mattes_a_second"] / rate, 3),
        },
        indent=1,
    )
    if options.json:
        options.json.write_text(told, encoding="utf-8")
    print(told)


if __name__ == "__main__":
    main()
