__version__ = "0.1.0"

COMMANDS_VERSION = 1
"""Counted up when a command changes so that programs written for the one before would fail."""
