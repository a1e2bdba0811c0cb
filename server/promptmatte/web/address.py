"""Where the page listens, and who may see it."""

from __future__ import annotations

import hmac
import os
import socket
from pathlib import Path

from promptmatte.endpoint import Endpoint
from promptmatte.errors import ConfigError

DEFAULT_PORT = 7860
INSTALL = "python -m pip install 'promptmatte[web]'"
PASSWORD_VARIABLE = "PROMPTMATTE_WEB_PASSWORD"  # noqa: S105  its name, not a password


def password_from(path: Path | None, endpoint: Endpoint) -> str | None:
    """The password in a file, or in PROMPTMATTE_WEB_PASSWORD; None without one on loopback.

    ConfigError for a file that cannot be read or is empty, and for another address without.
    """
    password = os.environ.get(PASSWORD_VARIABLE) or None
    if path is not None:
        try:
            password = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read the password file {path}: {error}") from error
        if not password:
            raise ConfigError(f"expected a password in {path}; got an empty file")
    if password is None and not endpoint.is_loopback:
        raise ConfigError(
            f"expected a password for a page that others reach at {endpoint.host}; got none: give "
            f"--web-password-file FILE, or set {PASSWORD_VARIABLE}"
        )
    return password


def same_password(given: str, password: str) -> bool:
    """Compares in a time that does not tell how much was right."""
    return hmac.compare_digest(given.encode(), password.encode())


def bound_socket(endpoint: Endpoint) -> socket.socket:
    """A listening socket; ConfigError when the address is not to be had."""
    family, address = endpoint.resolved(socket.SOCK_STREAM)
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # elsewhere it would share a port that is in use
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(64)
    except OSError as error:
        bound.close()
        raise ConfigError(
            f"expected a free port for the page; cannot have {endpoint} ({error.strerror}): "
            "choose another one"
        ) from error
    return bound


def page_url(bound: socket.socket) -> str:
    """The page's address as one types it into a browser."""
    host, port = bound.getsockname()[:2]
    return f"http://{Endpoint(host=host, port=port)}"
