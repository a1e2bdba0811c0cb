"""Commands for one of several streams, by the field `stream`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from promptmatte.errors import CommandError, shown
from promptmatte.links.protocol import CommandHandler

ANY_STREAM = ("hello", "model", "ping", "stop")
"""Commands that are the same for every stream."""


def streams_handler(
    handlers: Mapping[str, CommandHandler],
    *,
    here: str | None = None,
    brief: Callable[[], Mapping[str, Any]],
) -> CommandHandler:
    """A function that hands each command to the handler of its stream.

    here: the stream of a command that names none, as for a link that is one stream's. brief: how
    all of them are, which `status` adds as `streams`. CommandError, with the names there are, for a
    stream that is unknown, or not said where several could be meant.
    """

    def handle(command: Mapping[str, Any]) -> dict[str, Any]:
        own = {name: value for name, value in command.items() if name != "stream"}
        stream = command.get("stream", here)
        if stream is None and (len(handlers) == 1 or command.get("command") in ANY_STREAM):
            stream = next(iter(handlers))
        if not isinstance(stream, str) or stream not in handlers:
            raise CommandError(
                f"expected a stream of {', '.join(handlers)} in the field stream; "
                f"got {'none' if stream is None else shown(stream)}"
            )
        reply = handlers[stream](own)
        if own.get("command") == "status":
            reply["status"] |= {"stream": stream, "streams": dict(brief())}
        return reply

    return handle
