"""Counters of one end of a link, of either kind."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LinkStatus:
    """Counters since this end was opened.

    connected: the other side shows life. sent/received: whole pictures. torn: reads
    that were overwritten meanwhile and thrown away. missed: newer pictures that
    replaced unread ones. rejected: arrivals that failed a check. error: why a server's end is
    not open yet.
    """

    connected: bool
    sent: int = 0
    received: int = 0
    torn: int = 0
    missed: int = 0
    rejected: int = 0
    error: str | None = None
