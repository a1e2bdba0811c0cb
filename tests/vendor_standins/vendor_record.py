"""What the stand-ins of vendors' libraries share: a record of calls, and faults on demand.

VENDOR_RECORD: the file that calls are written to, a JSON line each. VENDOR_FAULT: "raise:N" lets
the first N pictures fail, "hang" lets the first never return.
"""

import json
import os
import time
from pathlib import Path

pictures = 0


def record(call: str, **values: object) -> None:
    with Path(os.environ["VENDOR_RECORD"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"call": call, **values}) + "\n")


def picture_fault() -> None:
    """Raises or hangs where a picture is sent, as VENDOR_FAULT says."""
    global pictures
    pictures += 1
    kind, _, count = os.environ.get("VENDOR_FAULT", "").partition(":")
    if kind == "hang":
        record("hangs")
        time.sleep(3600)
    if kind == "raise" and pictures <= int(count):
        raise RuntimeError("the driver\nis gone")
