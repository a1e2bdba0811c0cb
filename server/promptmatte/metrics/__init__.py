"""What a server counts, for Prometheus."""
