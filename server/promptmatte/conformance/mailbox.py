"""Requests of a candidate, and the mailbox as bytes for what no honest server does."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from promptmatte_shm.directory import (
    LANE_AREA_BYTES,
    LANE_COUNT,
    LANE_HEADER_BYTES,
    LANE_STRIDE,
    LANES_AT,
)
from promptmatte_shm.segment import Segment, fence

from promptmatte.conformance.candidate import Candidate
from promptmatte.conformance.check import CheckFailedError, expect, shortened

PATIENCE_MS = 5000


def text_of(command: Mapping[str, Any]) -> str:
    """The command as the text whose bytes go into the lane."""
    return json.dumps(command, separators=(",", ":"))


def tell_request(
    client: Candidate, command: Mapping[str, Any], timeout_ms: int = PATIENCE_MS
) -> None:
    """Has the candidate make a request, without waiting for it."""
    client.tell("request", command=text_of(command), timeout_ms=timeout_ms)


def reply_of(answer: Mapping[str, Any]) -> Any:
    """The reply in an answer; CheckFailedError if there is none."""
    if not answer["ok"]:
        raise CheckFailedError("a reply to a request", shortened(answer))
    try:
        return json.loads(answer["reply"])
    except (KeyError, TypeError, ValueError):
        raise CheckFailedError("a reply that is JSON text", shortened(answer)) from None


def request(client: Candidate, command: Mapping[str, Any], timeout_ms: int = PATIENCE_MS) -> Any:
    """The reply that the candidate got."""
    tell_request(client, command, timeout_ms)
    return reply_of(client.answer())


def expect_refusal(what: str, answer: Mapping[str, Any], *kinds: str) -> None:
    """CheckFailedError unless the answer is an error of one of these kinds."""
    got = "success" if answer["ok"] else answer.get("error")
    if got not in kinds:
        text = shortened(dict(answer))
        raise CheckFailedError(f"{what}: the error {' or '.join(kinds)}", f"{got}: {text}")


@dataclass(frozen=True, kw_only=True)
class RawRequest:
    """A request as it lies in a lane."""

    lane: int
    id: int
    payload: bytes


class RawMailbox:
    """The lanes of a directory, word by word."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._answered: set[int] = set()

    def waiting(self) -> RawRequest | None:
        """A request not seen before; CheckFailedError if its id or checksum is wrong."""
        for lane in range(LANE_COUNT):
            message_id, length, checksum = self._words(lane)
            if message_id == 0 or message_id in self._answered:
                continue
            fence()
            self._answered.add(message_id)
            at = LANES_AT + lane * LANE_STRIDE + LANE_HEADER_BYTES
            payload = self._segment.read(at, min(length, LANE_AREA_BYTES))
            expect("length of a request", length, len(payload))
            expect("checksum of a request", crc_of_letter(message_id, payload), checksum)
            return RawRequest(lane=lane, id=message_id, payload=payload)
        return None

    def _words(self, lane: int) -> list[int]:
        word = (LANES_AT + lane * LANE_STRIDE) // 8
        return list(self._segment.words[word : word + 3])

    def ids(self) -> list[int]:
        """The request id of every lane, 0 where there is none."""
        return [self._words(lane)[0] for lane in range(LANE_COUNT)]

    def reply(
        self,
        lane: int,
        message_id: int,
        payload: bytes,
        *,
        length: int | None = None,
        checksum: int | None = None,
    ) -> None:
        """Puts a reply; a length or checksum that is given is a wrong one."""
        at = LANES_AT + lane * LANE_STRIDE
        words, word = self._segment.words, (at + LANE_HEADER_BYTES // 2) // 8
        self._segment.write(at + LANE_HEADER_BYTES + LANE_AREA_BYTES, payload)
        words[word + 1] = len(payload) if length is None else length
        words[word + 2] = crc_of_letter(message_id, payload) if checksum is None else checksum
        fence()
        words[word] = message_id


def crc_of_letter(message_id: int, payload: bytes) -> int:
    """The checksum word of a message: crc32 of its id's eight bytes and of its payload."""
    return zlib.crc32(message_id.to_bytes(8, "little") + payload)
