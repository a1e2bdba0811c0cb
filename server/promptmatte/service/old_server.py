"""A server of ours that already has what a show needs: found by its link, and asked to end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from promptmatte.errors import PromptMatteError, ServiceError
from promptmatte.links import normalized_address, open_client_link

ANSWER_S = 1.5
END_S = 40.0
POLL_S = 0.1


def control_links(settings: Mapping[str, Any]) -> list[str]:
    """The links of a show at which its server answers commands."""
    links = [*(settings.get("out") or ["shm:promptmatte"]), settings.get("source") or ""]
    ours = [normalized_address(link) for link in links if link.startswith(("shm:", "zmq:"))]
    return list(dict.fromkeys(ours))


def answer_of(link: str, command: str = "status") -> dict[str, Any] | None:
    """What a server of ours says at a link; None without one."""
    try:
        client = open_client_link(link)
        try:
            return client.request({"command": command}, timeout_s=ANSWER_S)
        finally:
            client.close()
    except PromptMatteError:
        return None


def stopped(link: str) -> bool:
    """Whether there was a server at the link, which has ended now; ServiceError if it stays."""
    if answer_of(link, "hello") is None:
        return False
    answer_of(link, "stop")
    deadline_s = time.monotonic() + END_S
    while answer_of(link, "hello") is not None:
        if time.monotonic() > deadline_s:
            raise ServiceError(f"expected the server at {link} to stop; it still answers: end it")
        time.sleep(POLL_S)
    return True
