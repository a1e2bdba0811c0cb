"""Clients that break one rule each: python conformance_mutants.py RULE."""

from __future__ import annotations

import sys
import time
import zlib
from typing import Any

import numpy as np
from promptmatte.conformance import python_client
from promptmatte.conformance.python_client import PythonClient, main
from promptmatte_shm import LayoutError, channel, directory, mailbox, ring, segment, slot
from promptmatte_shm.client_session import ClientSession


class OldMattes(PythonClient):
    """Tells the last matte again when there is no new one."""

    def __init__(self) -> None:
        super().__init__()
        self.last: dict[str, Any] = {"got": False}

    def do(self, asked: dict[str, Any]) -> dict[str, Any]:
        answer = super().do(asked)
        if asked["do"] == "read":
            self.last = answer = answer if answer["got"] else self.last
        return answer


class Hanging(PythonClient):
    """Reads for ever."""

    def do(self, asked: dict[str, Any]) -> dict[str, Any]:
        while asked["do"] == "read":
            time.sleep(1.0)
        return super().do(asked)


class Exiting(PythonClient):
    """Ends when it shall read."""

    def do(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["do"] == "read":
            sys.exit("out of order")
        return super().do(asked)


class Chatting(PythonClient):
    """Says more than its answers."""

    def do(self, asked: dict[str, Any]) -> dict[str, Any]:
        sys.stdout.write("connecting ...\n")
        return super().do(asked)


class Doubles(PythonClient):
    """Takes all numbers for floating point."""

    def do(self, asked: dict[str, Any]) -> dict[str, Any]:
        doubles = {name: int(float(value)) for name, value in asked.items() if name == "pts_ns"}
        return super().do({**asked, **doubles})


def bottom_up_frames() -> PythonClient:
    made = python_client.pattern
    python_client.pattern = lambda *look: made(*look)[::-1]
    return PythonClient()


def bottom_up_mattes() -> PythonClient:
    crc_of = python_client.crc_of
    python_client.crc_of = lambda pixels: crc_of(pixels[::-1])
    return PythonClient()


def blue_first() -> PythonClient:
    made = python_client.pattern

    def swapped(*look: Any) -> Any:
        pixels = made(*look)
        return pixels[..., [2, 1, 0, 3]] if pixels.shape[2] == 4 else pixels

    python_client.pattern = swapped
    return PythonClient()


def no_tickets() -> PythonClient:
    def latest(self: Any, out: Any = None, **_: Any) -> Any:
        ticket = self._segment.words[8]
        if ticket == self._seen:
            return None
        self._seen = ticket
        stride = ring._slot_stride(self._slot_bytes)
        return self._copy(128 + ticket % self._slot_count * stride, out, True, None)

    ring.RingReader.latest = latest  # type: ignore[method-assign]
    return PythonClient()


def no_generations() -> PythonClient:
    follow = channel.ChannelReader._follow
    channel.ChannelReader._follow = (  # type: ignore[method-assign]
        lambda self: self._ring or follow(self)
    )
    return PythonClient()


def unlinks_directory() -> PythonClient:
    close = ClientSession.close

    def unlinking(self: ClientSession) -> None:
        close(self)
        segment.unlink(directory.directory_name(self.name))

    ClientSession.close = unlinking  # type: ignore[method-assign]
    return PythonClient()


def wrong_crc_seed() -> PythonClient:
    slot.sealed = lambda payload: payload + zlib.crc32(payload, 1).to_bytes(4, "little")
    return PythonClient()


def no_slot_checksum() -> PythonClient:
    slot.unsealed = lambda record: record[:-4]
    return PythonClient()


def any_version() -> PythonClient:
    directory.Directory._fields = (  # type: ignore[method-assign]
        lambda self: (1, int.from_bytes(self.segment.read(24, 8), "little"))
    )
    return PythonClient()


def any_reply() -> PythonClient:
    class Eager(int):
        def __ne__(self, other: object) -> bool:
            return self == 0

    there = mailbox._Letter.id.fget
    mailbox._Letter.id = property(lambda self: Eager(there(self)))  # type: ignore[misc,assignment]
    got = mailbox._Letter.get
    mailbox._Letter.get = (  # type: ignore[method-assign]
        lambda self, message_id: got(self, int(self.id))
    )
    return PythonClient()


def no_withdrawal() -> PythonClient:
    mailbox._Letter.withdraw = lambda self: None  # type: ignore[method-assign]
    return PythonClient()


def no_lane_locks() -> PythonClient:
    mailbox.LockFile.acquire = lambda self: True  # type: ignore[method-assign]
    return PythonClient()


def no_limit() -> PythonClient:
    mailbox.LANE_AREA_BYTES = 1 << 17
    return PythonClient()


def never_rests() -> PythonClient:
    channel.ChannelWriter._holds = lambda self: True  # type: ignore[method-assign]
    return PythonClient()


def leaves_ring() -> PythonClient:
    ring.RingWriter.close = lambda self: None  # type: ignore[method-assign]
    return PythonClient()


def no_visits() -> PythonClient:
    directory.Directory.visit = lambda self: None  # type: ignore[method-assign]
    return PythonClient()


def shows_the_dead() -> PythonClient:
    def latest_matte(self: ClientSession, timeout_s: float = 0.0) -> Any:
        connection = self._current()
        picture = connection.mattes.latest() if connection else None
        return picture.header.matte(picture.pixels, picture.fill) if picture else None

    ClientSession.latest_matte = latest_matte  # type: ignore[method-assign,assignment]
    return PythonClient()


def trusts_fields() -> PythonClient:
    unpack = slot.SlotHeader.unpack.__func__  # type: ignore[attr-defined]

    def trusting(cls: Any, record: bytes, slot_bytes: int) -> Any:
        try:
            return unpack(cls, record, slot_bytes)
        except LayoutError:
            return slot.SlotHeader.of_frame(
                python_client.Frame(
                    info=python_client.FrameInfo(stream_id=1, seq=1, pts_ns=1, captured_ns=1),
                    pixels=np.zeros((1, 1, 1), np.uint8),
                )
            )

    slot.SlotHeader.unpack = classmethod(trusting)  # type: ignore[assignment,method-assign]
    return PythonClient()


BREAKERS = {
    "old_mattes": OldMattes,
    "hanging": Hanging,
    "exiting": Exiting,
    "chatting": Chatting,
    "doubles": Doubles,
    **{
        rule.__name__: rule
        for rule in (
            bottom_up_frames, bottom_up_mattes, blue_first, no_tickets, no_generations,
            unlinks_directory, wrong_crc_seed, no_slot_checksum, any_version, any_reply,
            no_withdrawal, no_lane_locks, no_limit, never_rests, leaves_ring, no_visits,
            shows_the_dead, trusts_fields,
        )
    },
}  # fmt: skip

if __name__ == "__main__":
    main(BREAKERS[sys.argv[1]]())
