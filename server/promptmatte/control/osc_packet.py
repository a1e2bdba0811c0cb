"""OSC datagrams: the messages in one, and the datagram of a message."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from pythonosc.osc_message import OscMessage, ParseError
from pythonosc.osc_message_builder import OscMessageBuilder

from promptmatte.errors import CommandError, shown

Argument = bool | int | float | str | None

BUNDLE = b"#bundle\x00"
BUNDLE_HEAD = 16
"""Bytes before the first element: the word and a time tag."""

MOST_BYTES = 4096
"""Of one message; the longest prompt takes less than a fourth."""

MOST_MESSAGES = 128
"""In one datagram."""

MOST_DEPTH = 4
"""Of bundles in bundles."""

TYPES = "ifhdsTFN"
"""Type tags whose arguments some parameter takes."""

LEAST_BYTES = {"i": 4, "f": 4, "h": 8, "d": 8, "s": 4}
"""Of the argument of a type; the others have none."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """One OSC message: where to, and what."""

    address: str
    arguments: tuple[Argument, ...] = ()


def messages_of(datagram: bytes) -> list[Message]:
    """The messages of a datagram, those of bundles too, in order; their time tags are not
    waited for. CommandError, for the whole of it, if any part is not OSC or not of use."""
    messages = [_message(data) for data in _elements(datagram, 0)]
    if len(messages) > MOST_MESSAGES:
        raise CommandError(
            f"expected at most {MOST_MESSAGES} messages in a bundle; got {len(messages)}"
        )
    return messages


def encoded(address: str, *arguments: Argument) -> bytes:
    """The datagram of a message; floats have 32 bits, switches go as 1 or 0."""
    builder = OscMessageBuilder(address)
    for value in arguments:
        builder.add_arg(int(value) if isinstance(value, bool) else value)
    return builder.build().dgram


def _elements(data: bytes, depth: int) -> Iterator[bytes]:
    """What is in a bundle, or the message itself. python-osc 1.10 walks bundles too, but never
    ends on an element with a size below 0."""
    if not data.startswith(BUNDLE):
        yield data
        return
    if len(data) < BUNDLE_HEAD or depth == MOST_DEPTH:
        raise CommandError(
            f"expected a whole bundle, at most {MOST_DEPTH} deep; got {shown(data[:60])}"
        )
    start = BUNDLE_HEAD
    while start < len(data):
        size = struct.unpack_from(">i", data, start)[0] if start + 4 <= len(data) else -1
        start += 4
        if not 0 < size <= len(data) - start:
            raise CommandError(f"expected a whole bundle; got one cut off: {shown(data[:60])}")
        yield from _elements(data[start : start + size], depth + 1)
        start += size


def _message(data: bytes) -> Message:
    if len(data) > MOST_BYTES:
        raise CommandError(
            f"expected an OSC message of at most {MOST_BYTES} bytes; got {len(data)} from "
            f"{shown(data[:40])}"
        )
    address, _, rest = data.partition(b"\0")
    tags = rest.lstrip(b"\0").partition(b"\0")[0]
    if not address.startswith(b"/") or (tags and not tags.startswith(b",")):
        raise CommandError(f"expected an OSC message; got {shown(data[:60])}")
    if tags[1:].strip(TYPES.encode()):  # python-osc writes a line into the log for each
        raise CommandError(
            f"expected numbers, texts or switches after {shown(address.decode(errors='replace'))}; "
            f"got OSC types {shown(tags[1:].decode(errors='replace'))}"
        )
    head = sum(len(text) + 4 - len(text) % 4 for text in (address, tags))
    least = sum(LEAST_BYTES.get(chr(tag), 0) for tag in tags)
    if len(data) % 4 or (tags and head + least > len(data)):  # python-osc takes a half float as 0
        raise CommandError(f"expected a whole OSC message; got one cut off: {shown(data[:60])}")
    try:
        message = OscMessage(data)
        return Message(address=message.address, arguments=tuple(message.params))
    except (ParseError, ValueError) as error:
        raise CommandError(f"expected an OSC message; got {shown(data[:60])}") from error
