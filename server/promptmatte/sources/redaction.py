"""Addresses as they may be shown."""

from __future__ import annotations

import re


def redacted(address: str) -> str:
    """The address with user names, passwords and query values (tokens) replaced by ***.

    Everything up to the last @ counts as credentials: passwords may hold any character.
    """
    if "://" not in address:
        return address
    without_user = re.sub(r"(?<=://).*@", "***@", address, flags=re.DOTALL)
    return re.sub(r"(?<=\?).+", "***", without_user, flags=re.DOTALL)
