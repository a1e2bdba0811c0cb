"""What a server counts, for Prometheus."""

DEFAULT_PORT = 9570
