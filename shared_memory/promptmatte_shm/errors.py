"""Errors of the shared-memory link: one root, leaves that are also builtins."""


class ShmError(Exception):
    """Anything the shared-memory link reports."""


class FrameFormatError(ShmError, ValueError):
    """Pixels, size or format are not what the other side can carry."""


class SessionNameError(ShmError, ValueError):
    """A session name that is not portable between the systems."""


class SessionBusyError(ShmError, RuntimeError):
    """Another live server already owns this session."""


class SessionNotFoundError(ShmError, ConnectionError):
    """No server has made this session, or it has gone."""


class LayoutError(ShmError, RuntimeError):
    """The segment is not ours, is damaged, or was made by another layout version."""


class MessageTooLargeError(ShmError, ValueError):
    """A JSON message does not fit the mailbox."""


class RequestTimeoutError(ShmError, TimeoutError):
    """The server did not answer a request in time."""


class CudaError(ShmError, RuntimeError):
    """There is no CUDA driver or card that can be used, or the driver refused a call."""
