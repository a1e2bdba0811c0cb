"""The lock between processes: taken once, free again at once, whoever else holds the file."""

from __future__ import annotations

import os
import secrets

import pytest
from promptmatte_shm.lockfile import LockFile


def test_a_released_lock_is_free_though_a_child_holds_a_copy_of_its_file() -> None:
    session = f"t{secrets.token_hex(4)}"
    lock, other = LockFile(session, "lane0"), LockFile(session, "lane0")
    assert lock.acquire()
    copy = os.dup(lock._fd)  # as a child that is forked meanwhile has one
    try:
        assert not other.acquire()
        lock.release()
        lock.release()
        assert other.acquire()
    finally:
        os.close(copy)
        other.release()
        lock.path.unlink()


@pytest.mark.parametrize("role", ["server", "lane7"])
def test_each_role_has_a_lock_of_its_own(role: str) -> None:
    session = f"t{secrets.token_hex(4)}"
    first, second = LockFile(session, role), LockFile(session, "lane1")
    try:
        assert first.acquire()
        assert second.acquire()
    finally:
        for lock in (first, second):
            lock.release()
            lock.path.unlink()
