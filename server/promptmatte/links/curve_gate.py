"""Who may connect: answers libzmq's question (ZAP, RFC 27) for each connection with CURVE."""

from __future__ import annotations

import logging
import threading

import zmq
from zmq.utils import z85

from promptmatte.links.keys import KEY_BYTES, KeyFolder

logger = logging.getLogger(__name__)

DOMAIN = b"promptmatte"
_ENDPOINT = "inproc://zeromq.zap.01"
_TICK_MS = 50


class CurveGate:
    """Lets in the clients of a key folder, on a thread of its own, until closed.

    The folder is read for each connection, so that a new client needs no restart and one that
    was revoked gets no further connection. libzmq asks nobody where this is not listening, and
    then lets everybody in: it is there before any socket is bound.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], keys: KeyFolder) -> None:
        self._keys = keys
        self._socket = context.socket(zmq.REP)
        self._socket.linger = 0
        self._socket.bind(_ENDPOINT)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="promptmatte-zmq-gate", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread; safe to call twice."""
        self._stop.set()
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            if self._socket.poll(_TICK_MS):
                self._socket.send_multipart(self._answer(self._socket.recv_multipart()))

    def _answer(self, question: list[bytes]) -> list[bytes]:
        """version, request, status, text, user and metadata."""
        version, request, domain, address, _, mechanism, *credentials = question
        name = None
        if domain == DOMAIN and mechanism == b"CURVE" and len(credentials) == 1:
            name = self._name_of(credentials[0])
        if name is None:
            logger.warning("refused a client at %s without a known key", address.decode())
            return [version, request, b"400", b"unknown key", b"", b""]
        logger.info("let in the client %s at %s", name, address.decode())
        return [version, request, b"200", b"OK", name.encode(), b""]

    def _name_of(self, key: bytes) -> str | None:
        if len(key) != KEY_BYTES:
            return None
        public = z85.encode(key)
        return next((n for n, known in self._keys.clients().items() if known == public), None)
