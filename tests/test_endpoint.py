"""Hosts and ports as people type them."""

from __future__ import annotations

import pytest
from promptmatte.endpoint import Endpoint
from promptmatte.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("5573", "127.0.0.1", 5573),
        ("0", "127.0.0.1", 0),
        ("0.0.0.0:9", "0.0.0.0", 9),
        ("[::1]:9", "::1", 9),
        (" 127.0.0.1:80 ", "127.0.0.1", 80),
    ],
)
def test_an_endpoint_is_a_port_or_host_and_port(text: str, host: str, port: int) -> None:
    endpoint = Endpoint.parsed(text, option="--osc")
    assert endpoint == Endpoint(host=host, port=port)
    assert endpoint.is_loopback == (host != "0.0.0.0")
    assert Endpoint.parsed(str(endpoint), option="--osc") == endpoint


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "65536", "1" * 5000, ":9570", "host", "host:", "1.5", "٣", "²"]
)
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected --osc as a port of 0 to 65535 or as HOST:PORT"):
        Endpoint.parsed(text, option="--osc")


def test_what_is_sent_to_needs_a_port() -> None:
    with pytest.raises(ConfigError, match="a port of 1 to 65535"):
        Endpoint.parsed("127.0.0.1:0", option="--osc-feedback", lowest_port=1)


def test_an_unknown_host_is_named() -> None:
    with pytest.raises(ConfigError, match="a host that is known"):
        Endpoint(host="no host", port=1).is_loopback  # noqa: B018
