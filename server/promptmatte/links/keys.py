"""The CURVE keys of the ZeroMQ link: a folder with a server's pair and the clients it lets in.

Files have the format of zmq.auth's certificates, so that any ZeroMQ program can use them:

    server.key, server.key_secret     the server's pair
    clients/NAME.key                  who is let in: one file a client, public keys only
    DIR/client.key_secret, server.key what the client NAME needs, in a folder to carry to it
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import zmq
import zmq.auth
from zmq.utils import z85

from promptmatte.errors import ConfigError, shown
from promptmatte.user_folders import settings_folder

FOLDER_VARIABLE = "PROMPTMATTE_KEYS"
SERVER, CLIENT, CLIENTS = "server", "client", "clients"
KEY_BYTES = 32
MAKE_ONE = "make a pair with `promptmatte keys new`"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class KeyPair:
    """A public key and, never shown, its secret one, both in Z85."""

    public: bytes
    secret: bytes = field(repr=False)


class KeyFolder:
    """Where the keys of a server, or of a client, lie."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def from_environment(cls) -> KeyFolder:
        """The folder in PROMPTMATTE_KEYS, else `keys` in the user's folder of settings."""
        given = os.environ.get(FOLDER_VARIABLE)
        return cls(Path(given).expanduser().absolute() if given else settings_folder() / "keys")

    def make_server(self) -> bytes:
        """The public key of a new pair for a server; ConfigError if it has one already."""
        if (self.path / f"{SERVER}.key_secret").exists():
            raise ConfigError(
                f"expected a folder without a server's keys; {self.path} has some: remove "
                f"{SERVER}.key_secret there first; the clients then need new folders"
            )
        pair = _new_pair()
        _write_pair(self.path, SERVER, pair)
        return pair.public

    def make_client(self, name: str, folder: Path) -> bytes:
        """The public key of a new client, who is let in from now on. `folder` gets all that the
        client needs; ConfigError for a name that is taken or cannot be one, or without a server's
        keys."""
        server = self.server_pair().public
        target = self._client_file(name)
        if target.exists() or (folder / f"{CLIENT}.key_secret").exists():
            raise ConfigError(
                f"expected a new client and an empty folder; {shown(name)} is known or {folder} "
                "has a client's keys: take another name and folder, or revoke that client first"
            )
        pair = _new_pair()
        _write_pair(folder, CLIENT, pair)
        _write(folder / f"{SERVER}.key", {"public-key": server})
        _write(target, {"public-key": pair.public})
        return pair.public

    def revoke(self, name: str) -> None:
        """Lets a client in no more; ConfigError for one that is not known."""
        try:
            self._client_file(name).unlink()
        except FileNotFoundError:
            known = ", ".join(self.clients()) or "none"
            raise ConfigError(f"expected a client of {known}; got {shown(name)}") from None

    def clients(self) -> dict[str, bytes]:
        """The public keys of those who are let in, by name; a damaged file lets nobody in."""
        found = {}
        for path in sorted((self.path / CLIENTS).glob("*.key")):
            try:
                found[path.stem] = _load(path)[0]
            except ConfigError:
                continue
        return found

    def server_pair(self) -> KeyPair:
        """The server's keys; ConfigError when there are none."""
        return self._pair(SERVER, MAKE_ONE)

    def client_pair(self) -> KeyPair:
        """The client's keys; ConfigError when there are none."""
        return self._pair(CLIENT, self._ask_for_folder())

    def server_public(self) -> bytes:
        """The key by which a client knows its server; ConfigError when it is not there."""
        path = self.path / f"{SERVER}.key"
        if not path.exists():
            raise ConfigError(f"expected a server's key in {path}; {self._ask_for_folder()}")
        return _load(path)[0]

    def _pair(self, name: str, advice: str) -> KeyPair:
        path = self.path / f"{name}.key_secret"
        if not path.exists():
            raise ConfigError(
                f"expected CURVE keys in {path}, as other machines are reached with them only; "
                f"got none: {advice}"
            )
        public, secret = _load(path)
        if secret is None:
            raise ConfigError(f"expected a secret key in {path}; got a public one alone")
        return KeyPair(public=public, secret=secret)

    def _ask_for_folder(self) -> str:
        return (
            "run `promptmatte keys client NAME` beside the server, carry the folder that it writes "
            f"here and say where it is in {FOLDER_VARIABLE}; or use an SSH tunnel"
        )

    def _client_file(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"expected a client's name of letters, digits, '.', '_' and '-'; got {shown(name)}"
            )
        return self.path / CLIENTS / f"{name}.key"


def check_curve() -> None:
    """ConfigError where libzmq was built without CURVE."""
    if not zmq.has("curve"):
        raise ConfigError(
            "expected a libzmq with CURVE for an address that other machines reach; this one has "
            "none: python -m pip install --force-reinstall pyzmq"
        )


def _new_pair() -> KeyPair:
    check_curve()
    public, secret = zmq.curve_keypair()
    return KeyPair(public=public, secret=secret)


def _write_pair(folder: Path, name: str, pair: KeyPair) -> None:
    _write(folder / f"{name}.key", {"public-key": pair.public})
    both = {"public-key": pair.public, "secret-key": pair.secret}
    _write(folder / f"{name}.key_secret", both)


def _write(path: Path, keys: Mapping[str, bytes]) -> None:
    """For the user's eyes alone: on Windows that is what folders of a user's own settings are."""
    lines = [f'    {name} = "{key.decode()}"' for name, key in keys.items()]
    text = "\n".join(["#   PromptMatte: CURVE keys", "metadata", "curve", *lines, ""])
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "w", encoding="ascii") as file:
            file.write(text)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror or error}") from error


def _load(path: Path) -> tuple[bytes, bytes | None]:
    try:
        public, secret = zmq.auth.load_certificate(path)
        if any(len(z85.decode(key)) != KEY_BYTES for key in (public, secret) if key is not None):
            raise ValueError("keys have 40 characters")
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"expected a key file in {path}; it cannot be used") from error
    return public, secret
