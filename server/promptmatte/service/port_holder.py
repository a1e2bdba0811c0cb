"""Who has a port, as far as the system tells without other packages."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

LISTENS = "0A"
UNCONNECTED = "07"


def port_holder(number: int, protocol: str, *, proc: Path = Path("/proc")) -> str:
    """The program and process that have a port of this machine, or how to find them."""
    if sys.platform == "win32":
        table = "TCP" if protocol == "tcp" else "UDP"
        return (
            f"a process that `netstat -ano -p {table} | findstr :{number}` shows: end that, or "
            "choose another port"
        )
    inodes = {f"socket:[{inode}]" for inode in _inodes(number, protocol, proc)}
    for process in _processes_with(inodes, proc):
        name = (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
        return f"{name} (process {process.name}): end that, or choose another port"
    option = "sTCP:LISTEN" if protocol == "tcp" else ""
    where = f"lsof -nP -i{protocol.upper()}:{number} {option and f'-{option}'}".strip()
    return f"a process that `sudo {where}` shows: end that, or choose another port"


def _inodes(number: int, protocol: str, proc: Path) -> Iterator[str]:
    """The inodes of sockets that listen at a port (proc(5), /proc/net/tcp)."""
    state = LISTENS if protocol == "tcp" else UNCONNECTED
    for table in (protocol, f"{protocol}6"):
        try:
            lines = (proc / "net" / table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            if fields[3] == state and int(fields[1].rpartition(":")[2], 16) == number:
                yield fields[9]


def _processes_with(links: set[str], proc: Path) -> Iterator[Path]:
    """The folders of processes with one of these open; those of other users cannot be seen."""
    if not links:
        return
    for process in proc.glob("[0-9]*"):
        try:
            if any(str(entry.readlink()) in links for entry in (process / "fd").iterdir()):
                yield process
        except OSError:
            continue
