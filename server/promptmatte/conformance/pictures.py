"""Frames and mattes of the checks, and whether they came over whole."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from promptmatte_shm import Frame, FrameInfo, Matte, PixelFormat, ServerSession

from promptmatte.conformance.candidate import Candidate
from promptmatte.conformance.check import CheckFailedError, expect
from promptmatte.conformance.mailbox import request
from promptmatte.conformance.pattern import crc_of, likeness, pattern

READ_MS = 2000
QUIET_MS = 60

STREAM = 2**62 + 5
LARGEST, SMALLEST = 2**63 - 1, -(2**63)
SIZES_HW = ((1, 1), (1, 37), (61, 3), (45, 80))
VARYING_HW = ((6, 9), (60, 80), (6, 9), (61, 80), (200, 300), (1, 1), (300, 200))


def info(seq: int, **other: int) -> FrameInfo:
    """An identity that a program of 32 bits, or of double precision, cannot carry."""
    fields = {"stream_id": STREAM, "pts_ns": -(10**15) - seq, "captured_ns": 2**60 + seq, **other}
    return FrameInfo(seq=seq, **fields)


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a picture of the checks looks like."""

    height: int = 6
    width: int = 9
    format: PixelFormat = PixelFormat.GRAY8
    seed: int = 1
    fill_format: PixelFormat | None = None

    def matte(self, seq: int = 1, **fields: Any) -> Matte:
        """A matte of this look; its fill has the next seed."""
        fill = self.fill_format
        given = {
            "info": info(seq), "anchor_seq": seq - 1, "age_ms": 12.5, "confidence": (0.25,),
            "prompts_version": 3, **fields,
        }  # fmt: skip
        return Matte(
            alpha=pattern(self.height, self.width, self.format, self.seed),
            fill=pattern(self.height, self.width, fill, self.seed + 1) if fill else None,
            **given,
        )


def send(client: Candidate, look: Look, identity: FrameInfo) -> bool:
    """Whether the candidate sent a frame of this look."""
    answer = client.do(
        "send",
        width=look.width,
        height=look.height,
        format=look.format.code,
        seed=look.seed,
        **asdict(identity),
    )
    return bool(answer.get("sent"))


def read(client: Candidate, timeout_ms: int = READ_MS) -> dict[str, Any] | None:
    """What the candidate read."""
    answer = client.do("read", timeout_ms=timeout_ms)
    return answer if answer.get("got") else None


def expect_frame(
    server: ServerSession, client: Candidate, look: Look, identity: FrameInfo
) -> Frame:
    """The frame that the candidate sends, as the server gets it; CheckFailedError if it is
    another."""
    name = f"a {look.width}x{look.height} {look.format.name.lower()} frame"
    expect(f"{name} is sent", True, send(client, look, identity))
    frame = server.latest_frame(READ_MS / 1000)
    if frame is None:
        raise CheckFailedError(f"{name} at the server", "none")
    expect(f"identity of {name}", identity, frame.info)
    expect(f"size and format of {name}", (look.height, look.width, look.format),
           (*frame.size_hw, frame.format))  # fmt: skip
    wanted = pattern(look.height, look.width, look.format, look.seed)
    if not np.array_equal(wanted, frame.pixels):
        got = likeness(crc_of(frame.pixels), wanted)
        raise CheckFailedError(f"{name} with the pixels of seed {look.seed}", got)
    return frame


def expect_matte(client: Candidate, matte: Matte) -> None:
    """CheckFailedError unless the candidate reads this very matte."""
    height, width = matte.size_hw
    name = f"a {width}x{height} {matte.format.name.lower()} matte"
    got = read(client)
    if got is None:
        raise CheckFailedError(f"{name}, seq {matte.info.seq}", "none")
    wanted = {
        "width": width, "height": height, "format": matte.format.code,
        "fill_format": matte.fill_format.code if matte.fill_format else 0,
        **asdict(matte.info), "anchor_seq": matte.anchor_seq,
        "prompts_version": matte.prompts_version, "age_ms": matte.age_ms,
        "confidence": list(matte.confidence),
    }  # fmt: skip
    expect(f"fields of {name}", wanted, {field: got.get(field) for field in wanted})
    expect(f"alpha of {name}", "the picture", likeness(got.get("alpha_crc", -1), matte.alpha))
    if matte.fill is None:
        expect(f"fill_crc of {name} without a fill", 0, got.get("fill_crc"))
    else:
        expect(f"fill of {name}", "the picture", likeness(got.get("fill_crc", -1), matte.fill))


def expect_no_matte(client: Candidate, why: str, timeout_ms: int = QUIET_MS) -> None:
    """CheckFailedError if the candidate reads a matte."""
    got = read(client, timeout_ms)
    if got is not None:
        raise CheckFailedError(f"no matte {why}", f"one of seq {got.get('seq')}")


def exchange(server: ServerSession, client: Candidate, seq: int) -> None:
    """One picture each way, and a request; CheckFailedError if one goes wrong."""
    look = Look(seed=seq)
    expect_frame(server, client, look, info(seq))
    matte = look.matte(seq)
    server.send_matte(matte)
    expect_matte(client, matte)
    command = {"count": seq, "text": 'a "quoted" \\ text'}
    expect("reply to a request", {"ok": True, "command": command}, request(client, command))
