"""docs/shm-protocol.md says what the code does: every table is compared with it."""

import re
import struct
import zlib
from pathlib import Path

import pytest
from promptmatte.conformance import raw_memory
from promptmatte_shm import (
    PixelFormat,
    channel,
    client_session,
    directory,
    mailbox,
    ring,
    segment,
    server_session,
    slot,
)
from promptmatte_shm import frame as frame_module

PAGE = Path(__file__).parents[1] / "docs" / "shm-protocol.md"
TYPES = {"char[8]": "8s", "u32": "I", "u64": "Q", "i64": "q", "f64": "d", "f64[4]": "4d"}


def table(heading: str) -> list[dict[str, str]]:
    """The rows of the first table under a heading, by column."""
    text = re.split(rf"^##+ {heading}$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1]
    lines = re.search(r"^\|.*?(?=\n[^|])", text, flags=re.MULTILINE | re.DOTALL)
    assert lines is not None, heading
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[0].split("\n")]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


def single_fields(layout: str) -> str:
    """A struct layout with a letter for each field, as "8s" or "4d" or "q"."""
    fields = re.findall(r"(\d*)([a-zA-Z])", layout.removeprefix("<"))
    return " ".join(
        f"{count}{kind}" if kind in "sd" and count else " ".join(kind * int(count or 1))
        for count, kind in fields
    )


@pytest.mark.parametrize(
    ("heading", "layout"),
    [
        ("Directory header", directory._HEADER),
        ("Channel record", directory._RECORD),
        ("Ring header", ring._HEADER),
        ("Slot header", slot._FIELDS),
    ],
)
def test_the_records_are_as_the_page_says(heading: str, layout: struct.Struct) -> None:
    *rows, crc = table(heading)
    at = 0
    for row in rows:
        assert int(row["offset"]) == at, row
        at += struct.calcsize(f"<{TYPES[row['type']]}")
    assert " ".join(TYPES[row["type"]] for row in rows) == single_fields(layout.format)
    assert (crc["field"], crc["type"], int(crc["offset"])) == ("crc", "u32", layout.size)


def test_the_suites_own_offsets_are_those_of_the_page() -> None:
    rows = {row["field"]: row for row in table("Slot header")}
    for name, (offset, kind) in raw_memory.SLOT_FIELDS.items():
        assert (int(rows[name]["offset"]), TYPES[rows[name]["type"]][-1]) == (offset, kind)
    for heading, layout in (
        ("Directory header", raw_memory.DIRECTORY_HEADER),
        ("Ring header", raw_memory.RING_HEADER),
    ):
        assert int(table(heading)[-1]["offset"]) == layout.size


def offsets(heading: str) -> list[int]:
    return [int(row["offset"]) for row in table(heading)]


def test_the_maps_are_as_the_page_says() -> None:
    frames, mattes = directory.Channel.FRAMES.at, directory.Channel.MATTES.at
    assert offsets("Directory") == [
        0,
        directory._HEARTBEAT_WORD * 8,
        directory._OPEN_WORD * 8,
        directory._VISITORS_WORD * 8,
        frames,
        frames + directory._SENT_AT,
        mattes,
        mattes + directory._SENT_AT,
        directory.LANES_AT,
    ]
    header_bytes = directory.LANE_HEADER_BYTES
    half = header_bytes // 2
    assert offsets("Lane") == [
        *(0, 8, 16),
        *(half, half + 8, half + 16),
        header_bytes,
        header_bytes + directory.LANE_AREA_BYTES,
    ]
    assert offsets("Ring") == [0, ring._NEWEST_WORD * 8, ring._SLOTS_AT]
    assert offsets("Slot") == [0, 8, ring._SLOT_HEADER_AT, ring._PIXELS_AT]
    assert table("Slot")[2]["bytes"] == str(slot.HEADER_BYTES)
    assert ring._slot_stride(65) == 192 + 128


def test_the_numbers_are_as_the_page_says() -> None:
    told = {row["name"].strip("`"): float(row["value"]) for row in table("Numbers")}
    assert told == {
        "layout_version": ring.LAYOUT_VERSION,
        "max_name_chars": segment.MAX_NAME_CHARS,
        "min_slots": ring.MIN_SLOTS,
        "max_slots": ring.MAX_SLOTS,
        "default_slots": server_session.DEFAULT_SLOTS,
        "max_confidences": frame_module.MAX_CHANNELS,
        "lane_count": directory.LANE_COUNT,
        "lane_area_bytes": directory.LANE_AREA_BYTES,
        "lane_stride": directory.LANE_STRIDE,
        "directory_bytes": directory.DIRECTORY_BYTES,
        "beat_s": server_session._BEAT_S,
        "server_silence_s": client_session._SERVER_SILENCE_S,
        "look_again_s": client_session._LOOK_AGAIN_S,
        "client_silence_s": server_session._CLIENT_SILENCE_S,
        "sender_silence_s": channel.SILENCE_S,
        "watch_s": directory._WATCH_S,
        "read_attempts": ring._ATTEMPTS,
    }


def test_the_pixel_formats_are_as_the_page_says() -> None:
    told = {
        (int(row["code"]), row["name"], row["type of a channel"], int(row["channels"]))
        for row in table("Pixel formats")
    }
    assert told == {(m.code, m.name.lower(), str(m.dtype), m.channels) for m in PixelFormat}


def test_magics_names_and_checksums_are_as_the_page_says() -> None:
    values = {row["field"]: row["value"] for row in table("Directory header")}
    assert values["magic"].strip("`").encode().decode("unicode_escape").encode() == directory._MAGIC
    values = {row["field"]: row["value"] for row in table("Ring header")}
    assert values["magic"].strip("`").encode().decode("unicode_escape").encode() == ring._MAGIC
    names = [row["name"].strip("`") for row in table("Names")]
    assert names == [
        directory.directory_name("NAME"),
        *(
            directory.ring_name("NAME", way, 0x12345678).replace("12345678", "GGGGGGGG")
            for way in directory.Channel
        ),
    ]
    assert mailbox._checksum(5, b"{}") == zlib.crc32(struct.pack("<Q", 5) + b"{}")
