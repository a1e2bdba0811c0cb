"""Where metrics are served: PORT on this machine, or HOST:PORT."""

from __future__ import annotations

from dataclasses import dataclass

from promptmatte.errors import ConfigError, shown

DEFAULT_PORT = 9570
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class MetricsAddress:
    """A host and a TCP port; port 0 lets the system choose one."""

    host: str = LOOPBACK
    port: int = DEFAULT_PORT

    @classmethod
    def parse(cls, text: str) -> MetricsAddress:
        """The address in "9570", "0.0.0.0:9570" or "[::1]:9570"; ConfigError."""
        host, separator, port = text.strip().rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        is_port = port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535
        if not is_port or (separator and not host):
            raise ConfigError(f"expected metrics as PORT or HOST:PORT; got {shown(text)}")
        return cls(host=host or LOOPBACK, port=int(port))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"
