"""The demo's reader, a process of its own: takes mattes from shared memory and keeps them.

Writes FOLDER/mattes.bin (records, see demo_record) and FOLDER/reader.json. Run by
`promptmatte demo`; it knows nothing of the server but the name of the session.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from promptmatte_shm import ClientSession, Matte

from promptmatte.commands.demo_record import record_of

MATTES_FILE = "mattes.bin"
COUNTS_FILE = "reader.json"
FIRST_MATTE_S = 60.0
GONE_S = 3.0
NO_MATTE = 3
"""Exit code when no matte came."""


@dataclass(kw_only=True)
class ReaderCounts:
    """frames: mattes read. torn: reads thrown away because they were overwritten
    meanwhile. stale: mattes not newer than the one before. size_hw: of the mattes."""

    frames: int = 0
    torn: int = 0
    stale: int = 0
    size_hw: tuple[int, int] | None = None


def arriving(session: ClientSession, seconds: float) -> Iterator[Matte]:
    """Mattes for this long from the first one; ends when none comes any more."""
    end_s: float | None = None
    while end_s is None or time.monotonic() < end_s:
        matte = session.latest_matte(FIRST_MATTE_S if end_s is None else GONE_S)
        if matte is None:
            return
        end_s = end_s or time.monotonic() + seconds
        yield matte


def keep(session: ClientSession, *, seconds: float, folder: Path) -> ReaderCounts:
    """Reads and keeps mattes of the first one's size; the counts."""
    counts = ReaderCounts()
    last: Matte | None = None
    with (folder / MATTES_FILE).open("wb") as file:
        for matte in arriving(session, seconds):
            counts.frames += 1
            counts.size_hw = counts.size_hw or matte.size_hw
            same_stream = last is not None and last.info.stream_id == matte.info.stream_id
            if last is not None and same_stream and matte.info.seq <= last.info.seq:
                counts.stale += 1
            elif matte.size_hw == counts.size_hw:
                file.write(record_of(matte))
            last = matte
    counts.torn = session.status.torn
    return counts


def main() -> int:
    """0, or NO_MATTE."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--session", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    arguments = parser.parse_args()
    with ClientSession(arguments.session) as session:
        counts = keep(session, seconds=arguments.seconds, folder=arguments.folder)
    (arguments.folder / COUNTS_FILE).write_text(json.dumps(asdict(counts)), encoding="utf-8")
    return 0 if counts.frames else NO_MATTE


if __name__ == "__main__":
    sys.exit(main())
