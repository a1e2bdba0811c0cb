"""Errors of PromptMatte: one root; each leaf is also a builtin."""

from __future__ import annotations


class PromptMatteError(Exception):
    """Anything PromptMatte reports: what was expected, what came, what to do."""


class ConfigError(PromptMatteError, ValueError):
    """An option or setting that cannot be used."""


class PromptError(PromptMatteError, ValueError):
    """A prompt that cannot be used (empty, too long, too many)."""


class SourceError(PromptMatteError, OSError):
    """A source that cannot be opened or was lost; opening it again may help."""


class SourceEnded(PromptMatteError, EOFError):  # noqa: N818  an end, not a fault
    """A source that has played to its end and does not loop."""


class ControlError(PromptMatteError, ValueError):
    """A control that does not exist, or a value it cannot take."""


class ModelError(PromptMatteError, RuntimeError):
    """A model that cannot be loaded or run."""


class DownloadError(PromptMatteError, OSError):
    """A file that could not be fetched, or is not the one it should be."""


class LinkError(PromptMatteError, ConnectionError):
    """A link that cannot be opened, or a server that does not answer."""


class CommandError(PromptMatteError, ValueError):
    """A command from outside that is malformed; the server answers and goes on."""


class RecordingError(PromptMatteError, OSError):
    """A recording that cannot begin."""


class ServerEndedError(PromptMatteError, RuntimeError):
    """A server that ended by itself; another start may help."""


class ServiceError(PromptMatteError, OSError):
    """A service of the system that cannot be installed, started or asked."""


class DataError(PromptMatteError, ValueError):
    """A data set folder that cannot be used."""


def shown(value: object) -> str:
    """The value as an error line shows it: at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
