"""OSC datagrams, up to the changes that they ask for."""

from __future__ import annotations

from collections.abc import Sequence

from promptmatte.control.osc_map import PLACED, REQUESTS, SHARED, changes_of
from promptmatte.control.osc_packet import BUNDLE, encoded, messages_of

from .target import Target


def run(data: bytes) -> None:
    """Every message of a datagram, and what it changes."""
    for message in messages_of(data):
        changes_of(message)


def seeds() -> Sequence[bytes]:
    """Every address, and bundles in bundles."""
    single = [encoded(f"/promptmatte/{name}", 0.5) for name in (*PLACED, *SHARED)]
    single += [encoded(f"/promptmatte/1/{name}", 1) for name in PLACED]
    single += [encoded(f"/promptmatte/{name}") for name in REQUESTS]
    single += [encoded("/promptmatte/1/prompt", "red car"), encoded("/promptmatte/subscribe", 9000)]
    bundles = [_bundle(single[:3])]
    bundles += [_bundle([bundles[0], single[0]])]
    return [*single, *bundles]


def _bundle(elements: Sequence[bytes]) -> bytes:
    return BUNDLE + bytes(8) + b"".join(len(e).to_bytes(4, "big") + e for e in elements)


TARGET = Target(run=run, seeds=seeds, most_bytes=8192)
