"""The file of a running show, followed: what changes in it changes in the show."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Protocol

from promptmatte.commands.show_changes import (
    control_commands,
    live_prompts,
    merged_prompts,
    prompt_command,
)
from promptmatte.commands.show_file import ShowFile
from promptmatte.controls import Controls
from promptmatte.errors import ConfigError, PromptMatteError
from promptmatte.links.protocol import CommandHandler
from promptmatte.prompts import Prompt

logger = logging.getLogger(__name__)

POLL_S = 0.5
"""Between two looks at the file; it is read when two of them in a row saw the same."""

GONE_LOOKS = 6
"""Looks at which a file is missing before that is told: editors take it away for a moment."""

Signature = tuple[int, int, int]


class Wants(Protocol):
    """What of a file changes without a restart."""

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """Up to four."""
        ...

    @property
    def controls(self) -> Controls:
        """Of the stream and of each prompt."""
        ...


class ShowWatch:
    """Looks after one file on a thread of its own.

    It acts through the streams' command handlers alone, and says only what differs between the
    file as it was and as it is: what was set elsewhere stays. A file that cannot be used changes
    nothing, and is told once.

    wanted: what a file wants of each stream, by name, and handlers: the streams' own.
    settings: the names of those that the file decides; a change of one, or of a stream's source or
    links, is told, as it holds from the next start on. tell: gets one line for people.
    """

    def __init__(
        self,
        path: Path,
        *,
        show: ShowFile,
        wanted: Callable[[ShowFile], Mapping[str, Wants]],
        settings: Collection[str],
        handlers: Mapping[str, CommandHandler],
        tell: Callable[[str], object],
        poll_s: float = POLL_S,
    ) -> None:
        self._path = path.absolute()
        self._started = self._show = show
        self._wanted = wanted
        self._settings = sorted(settings)
        self._handlers = handlers
        self._tell = tell
        self._poll_s = poll_s
        self._seen: Signature | None = None
        self._read = False
        self._missed = 0
        self._fault = ""
        self._later: list[str] = []
        self._reloads = 0
        self._result = "as at the start"
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="promptmatte-show", daemon=True)

    def start(self) -> None:
        """Starts to look."""
        self._thread.start()

    def close(self) -> None:
        """Ends the thread; safe to call twice."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def wrapped(self, handler: CommandHandler) -> CommandHandler:
        """The handler, to whose answer to `status` is added `config`: file, reloads, result of the
        last one, and settings that wait for the next start."""

        def handle(command: Mapping[str, Any]) -> dict[str, Any]:
            reply = handler(command)
            if command.get("command") == "status":
                reply["status"]["config"] = {
                    "file": str(self._path),
                    "reloads": self._reloads,
                    "result": self._result,
                    "at_next_start": list(self._later),
                }
            return reply

        return handle

    def _run(self) -> None:
        try:
            while not self._stopping.wait(self._poll_s):
                self._look()
        except Exception as error:
            logger.exception("the show file is not followed any longer")
            self._result = f"not followed any longer: {error}"

    def _look(self) -> None:
        seen = _signature(self._path)
        self._missed = self._missed + 1 if seen is None else 0
        if self._missed == GONE_LOOKS:
            self._refuse(f"{self._path} is gone; the show stays as it is")
        if seen != self._seen:
            self._seen, self._read = seen, False
        elif seen is not None and not self._read:
            self._reload(seen)

    def _reload(self, seen: Signature) -> None:
        try:
            if not seen[1]:
                raise ConfigError(f"expected a show in {self._path}; got an empty file")
            show = ShowFile.read(self._path)
            if _signature(self._path) != seen:
                return  # written meanwhile: the next look sees that
            self._read = True
            self._apply(show)
        except PromptMatteError as error:
            # What another program keeps from being read (Windows) is tried again.
            self._read = not isinstance(error.__cause__, OSError)
            self._refuse(f"{error}; the show stays as it is")

    def _refuse(self, fault: str) -> None:
        self._result = fault
        if fault != self._fault:
            self._fault = fault
            self._tell(fault)

    def _apply(self, show: ShowFile) -> None:
        before, after = self._wanted(self._show), self._wanted(show)
        changes = [
            (handler, command)
            for name, handler in self._handlers.items()
            if name in before and name in after
            for command in _commands(before[name], after[name], handler)
        ]
        for handler, command in changes:
            handler(command)
        later = [
            name
            for name in self._settings
            if show.settings.get(name) != self._started.settings.get(name)
        ] + _streams_that_differ(self._started, show)
        news = [f"{len(changes)} changes"] if changes else []
        if later != self._later:
            news.append(f"at the next start: {', '.join(later) or 'nothing more'}")
        if news or self._fault:
            self._reloads += bool(changes)
            self._result = f"read again: {'; '.join(news) or 'nothing changed'}"
            self._tell(f"{self._path.name} {self._result}")
        self._show, self._later, self._fault = show, later, ""


def _commands(before: Wants, after: Wants, handler: CommandHandler) -> list[dict[str, Any]]:
    """What leads a stream from one to the other."""
    commands = control_commands(before.controls, after.controls)
    if before.prompts != after.prompts:
        live = live_prompts(handler({"command": "status"})["status"])
        commands.append(prompt_command(merged_prompts(before.prompts, after.prompts, live)))
    return commands


def _streams_that_differ(before: ShowFile, after: ShowFile) -> list[str]:
    """Streams that came, went, or have another source, link or share."""
    old, new = (
        {table.name: (table.source, table.out, table.share) for table in show.streams}
        for show in (before, after)
    )
    return [f"stream {name}" for name in {**old, **new} if old.get(name) != new.get(name)]


def _signature(path: Path) -> Signature | None:
    """What differs once the file was changed or replaced; None while there is none."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
