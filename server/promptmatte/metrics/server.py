"""The HTTP server of the metrics, on threads of its own."""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
from collections.abc import Callable
from importlib.util import find_spec
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from promptmatte.endpoint import Endpoint
from promptmatte.errors import ConfigError
from promptmatte.metrics.measured import Measured

logger = logging.getLogger(__name__)

CLIENT_S = 10.0
"""How long a client that says nothing keeps its connection."""


class MetricsServer:
    """Answers GET /metrics with what the pipeline has counted, until closed.

    ConfigError without prometheus-client, or for an address that cannot be had.
    """

    def __init__(self, pipeline: Measured, address: Endpoint) -> None:
        check_installed()
        from prometheus_client import CollectorRegistry, make_wsgi_app

        from promptmatte.metrics.collector import PipelineCollector

        registry = CollectorRegistry(auto_describe=False)
        registry.register(PipelineCollector(pipeline))
        kind = _Ip6Server if ":" in address.host else _Server
        try:
            self._server = kind((address.host, address.port), _Handler)
        except OSError as error:
            raise ConfigError(
                f"cannot serve metrics on {address}; {error.strerror or error}: stop what has "
                f"that port, or take another with --metrics PORT"
            ) from error
        self._server.set_app(make_wsgi_app(registry))
        bound = Endpoint(host=address.host, port=self._server.server_address[1])
        self.url = f"http://{bound}/metrics"
        serve: Callable[[], None] = self._server.serve_forever
        self._thread = threading.Thread(target=serve, name="promptmatte-metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread and frees the port; safe to call twice."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


def check_installed() -> None:
    """ConfigError, with the command to type, when prometheus-client is not there."""
    if find_spec("prometheus_client") is None:
        raise ConfigError(
            "expected the package prometheus-client for --metrics; got none: "
            "python -m uv pip install 'promptmatte[metrics]'"
        )


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    # On Windows it would let two servers have the same port.
    allow_reuse_address = os.name != "nt"

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002  the base class's
        """Takes note of a client that broke off or talks something else than HTTP."""
        logger.debug("metrics: %s: %s", client_address, sys.exc_info()[1])


class _Ip6Server(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    timeout = CLIENT_S

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class's name
        logger.debug("metrics: " + format, *args)
