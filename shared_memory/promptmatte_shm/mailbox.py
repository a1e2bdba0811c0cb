"""JSON commands from clients to the server and back, through lanes of the directory.

A client holds a lane's lock file for one request, so the system frees the lane of a
killed client. A request carries a random id; the reply repeats it. Lengths, checksums
and JSON are checked on both sides: garbage gets an error reply and stops nobody.
"""

from __future__ import annotations

import json
import logging
import secrets
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from promptmatte_shm.directory import (
    LANE_AREA_BYTES,
    LANE_COUNT,
    LANE_HEADER_BYTES,
    LANE_STRIDE,
    LANES_AT,
    Directory,
)
from promptmatte_shm.errors import (
    LayoutError,
    MessageTooLargeError,
    RequestTimeoutError,
    SessionNotFoundError,
)
from promptmatte_shm.lockfile import LockFile
from promptmatte_shm.pace import POLL_S
from promptmatte_shm.segment import fence

logger = logging.getLogger(__name__)

Handler = Callable[[Mapping[str, Any]], dict[str, Any]]
"""Answers one JSON object with another."""

MAX_DEPTH = 16
"""Of lists and objects in one another, in a message; a status has five."""


def packed(message: Mapping[str, Any]) -> bytes:
    """The message as JSON bytes; MessageTooLargeError over 64 KiB, TypeError or
    ValueError if it is no JSON."""
    payload = json.dumps(dict(message), separators=(",", ":")).encode()
    if len(payload) > LANE_AREA_BYTES:
        raise MessageTooLargeError(
            f"expected a message of at most {LANE_AREA_BYTES} bytes of JSON; "
            f"got {len(payload)}: send less at once"
        )
    return payload


def unpacked(payload: bytes) -> dict[str, Any]:
    """The JSON object in these bytes; LayoutError if there is none."""
    try:
        message = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise LayoutError(f"expected a JSON object; got {payload[:40]!r}: {error}") from error
    if not isinstance(message, dict):
        raise LayoutError(f"expected a JSON object; got {type(message).__name__}")
    if not is_shallow(message):
        raise LayoutError(f"expected a JSON object at most {MAX_DEPTH} deep; got a deeper one")
    return message


def is_shallow(message: object, depth: int = MAX_DEPTH) -> bool:
    """Whether lists and maps lie in one another no deeper than this: what walks a deeper
    message, if only to show it, runs out of stack."""
    level = [message]
    for _ in range(depth):
        level = [
            inner
            for value in level
            if isinstance(value, dict | list)
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return True
    return not any(isinstance(value, dict | list) for value in level)


class _Letter:
    """One message of a lane: id, length and checksum as words, and an area of bytes."""

    def __init__(self, directory: Directory, words_at: int, area_at: int) -> None:
        self._segment = directory.segment
        self._word = words_at // 8
        self._area_at = area_at

    @property
    def id(self) -> int:
        """Id of the message that lies here; 0 for none."""
        return self._segment.words[self._word]

    def put(self, message_id: int, payload: bytes) -> None:
        words = self._segment.words
        self._segment.write(self._area_at, payload)
        words[self._word + 1] = len(payload)
        words[self._word + 2] = _checksum(message_id, payload)
        fence()
        words[self._word] = message_id

    def get(self, message_id: int) -> bytes:
        """The payload under this id; LayoutError if it is damaged."""
        fence()
        words = self._segment.words
        length, checksum = words[self._word + 1], words[self._word + 2]
        if length > LANE_AREA_BYTES:
            raise LayoutError(f"expected at most {LANE_AREA_BYTES} bytes; got {length}")
        payload = self._segment.read(self._area_at, length)
        if _checksum(message_id, payload) != checksum:
            raise LayoutError("expected a message with its checksum; got damaged bytes")
        return payload

    def withdraw(self) -> None:
        self._segment.words[self._word] = 0


def _checksum(message_id: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(message_id.to_bytes(8, "little")))


def _lane(directory: Directory, index: int) -> tuple[_Letter, _Letter]:
    """The request and the reply of a lane."""
    at = LANES_AT + index * LANE_STRIDE
    areas_at = at + LANE_HEADER_BYTES
    request = _Letter(directory, at, areas_at)
    return request, _Letter(directory, at + LANE_HEADER_BYTES // 2, areas_at + LANE_AREA_BYTES)


class MailboxServer:
    """Answers the requests in all lanes; called from one thread."""

    def __init__(self, directory: Directory) -> None:
        """Requests that already lie there were made to a server that died: never answered."""
        self._lanes = [_lane(directory, index) for index in range(LANE_COUNT)]
        self._handled = [request.id for request, _ in self._lanes]
        self.rejected = 0

    def poll(self, handler: Handler) -> bool:
        """Answers what has come; whether anything had."""
        busy = False
        for index, (request, reply) in enumerate(self._lanes):
            message_id = request.id
            if message_id in (0, self._handled[index]):
                continue
            self._handled[index] = message_id
            reply.put(message_id, self._answer(handler, request, message_id))
            busy = True
        return busy

    def _answer(self, handler: Handler, request: _Letter, message_id: int) -> bytes:
        try:
            command = unpacked(request.get(message_id))
        except LayoutError as error:
            self.rejected += 1
            return packed({"ok": False, "error": str(error)})
        try:
            return packed(handler(command))
        except Exception as error:
            logger.exception("a command failed")
            text = f"internal error: {type(error).__name__}: {error}"
            return packed({"ok": False, "error": text[:1000]})


@contextmanager
def _claimed_lane(session: str, deadline_s: float) -> Iterator[int]:
    """Holds a free lane; waits for one until the deadline."""
    while True:
        for index in range(LANE_COUNT):
            lock = LockFile(session, f"lane{index}")
            if lock.acquire():
                try:
                    yield index
                finally:
                    lock.release()
                return
        if time.monotonic() >= deadline_s:
            raise RequestTimeoutError(
                f"expected a free mailbox lane in session {session!r}; all {LANE_COUNT} were "
                "busy until the time-out: try again with fewer requests at once"
            )
        time.sleep(POLL_S)


def ask(directory: Directory, payload: bytes, deadline_s: float) -> dict[str, Any]:
    """The server's reply to a packed request by time.monotonic() = deadline_s.

    RequestTimeoutError without one, SessionNotFoundError when the server closes
    meanwhile, LayoutError for a damaged reply.
    """
    with _claimed_lane(directory.session, deadline_s) as index:
        request, reply = _lane(directory, index)
        message_id = secrets.randbits(63) | 1
        request.put(message_id, payload)
        try:
            while reply.id != message_id:
                if directory.closed:
                    raise SessionNotFoundError(f"session {directory.session!r} has been closed")
                if time.monotonic() >= deadline_s:
                    raise RequestTimeoutError(
                        f"expected an answer in session {directory.session!r} in time; got "
                        "none: see that the server runs, or allow more time"
                    )
                time.sleep(POLL_S)
            return unpacked(reply.get(message_id))
        finally:
            if reply.id != message_id and request.id == message_id:
                request.withdraw()  # never to be carried out later
