"""Serves the page on a socket, with a password if there is one; nothing leaves the machine."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from pathlib import Path
from typing import Any

from promptmatte.endpoint import Endpoint
from promptmatte.errors import ConfigError
from promptmatte.web.address import INSTALL, same_password

MAX_UPLOAD_BYTES = 4 << 30
WRONG_PASSWORD_S = 1.0
"""One wrong password a second, whoever tries."""

CLOSE_S = 3


def prepare(folder: Path) -> None:
    """Readies gradio, before its first import: files in this folder, nothing told to anyone;
    ConfigError when it is not installed."""
    os.environ.update(
        GRADIO_TEMP_DIR=str(folder / "uploads"),
        GRADIO_ANALYTICS_ENABLED="False",
        HF_HUB_DISABLE_TELEMETRY="1",
    )
    try:
        import gradio  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"expected gradio for the page; it cannot be imported ({error}): {INSTALL}"
        ) from error
    logging.getLogger("httpx").setLevel(logging.WARNING)


class PageHost:
    """The page at work on a thread of its own, until close."""

    def __init__(self, page: Any, bound: socket.socket, *, password: str | None) -> None:
        """page: what build_page made. bound: a listening socket, the host's from now on."""
        import gradio
        import uvicorn
        from fastapi import FastAPI
        from starlette.middleware.trustedhost import TrustedHostMiddleware

        from promptmatte.web.look import CSS, HEAD, theme

        app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        host, port = bound.getsockname()[:2]
        if Endpoint(host=host, port=port).is_loopback:
            # A name of somebody else's that points here is no way in.
            hosts = ["localhost", "127.0.0.1", "::1", "[::1]", host]
            app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts)
        gradio.mount_gradio_app(
            app,
            page,
            path="/",
            auth=_gate(password) if password else None,
            auth_message="PromptMatte: any name, and the password of this page",
            max_file_size=MAX_UPLOAD_BYTES,
            footer_links=[],
            run_history=False,
            ssr_mode=False,
            enable_monitoring=False,
            theme=theme(),
            css=CSS,
            head=HEAD,
        )
        config = uvicorn.Config(
            app, log_level="warning", ws="none", timeout_graceful_shutdown=CLOSE_S, access_log=False
        )
        self._server = uvicorn.Server(config)
        self._bound = bound
        # On a thread uvicorn leaves the process's signals alone.
        self._thread = threading.Thread(target=self._run, name="promptmatte-web", daemon=True)

    def start(self) -> None:
        """Begins to serve."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """False once it has ended."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Ends open requests and the thread; safe to call twice."""
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join()
        self._bound.close()

    def _run(self) -> None:
        self._server.run(sockets=[self._bound])


def _gate(password: str) -> Any:
    wrong = asyncio.Lock()

    async def let_in(_name: str, given: str) -> bool:
        if same_password(given, password):
            return True
        async with wrong:
            await asyncio.sleep(WRONG_PASSWORD_S)
        return False

    return let_in
