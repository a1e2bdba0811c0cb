"""The reply to a command, whatever its handler does; the same for every link."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from promptmatte.errors import PromptMatteError
from promptmatte.links.protocol import CommandHandler

logger = logging.getLogger(__name__)


def answer(handler: CommandHandler, command: Mapping[str, Any]) -> dict[str, Any]:
    """The handler's reply with "ok": true, or {"ok": false, "error": one line}.

    A PromptMatteError is a refusal; anything else is a fault of ours, logged with its
    traceback. Never raises for an Exception.
    """
    try:
        return {"ok": True, **handler(command)}
    except PromptMatteError as error:
        return {"ok": False, "error": str(error)}
    except Exception as error:
        logger.exception("a command failed")
        return {"ok": False, "error": f"internal error: {type(error).__name__}: {error}"}
