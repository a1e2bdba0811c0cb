"""PromptMatte over shared memory: numpy and the standard library only.

A server opens ServerSession("name"); any program on the machine joins with
ClientSession("name"), sends frames, reads mattes and makes requests.
"""

from promptmatte_shm.client_session import ClientSession
from promptmatte_shm.errors import (
    FrameFormatError,
    LayoutError,
    MessageTooLargeError,
    RequestTimeoutError,
    SessionBusyError,
    SessionNameError,
    SessionNotFoundError,
    ShmError,
)
from promptmatte_shm.frame import MAX_CHANNELS, Frame, FrameInfo, Matte, PixelFormat
from promptmatte_shm.frame_delay import FrameDelay
from promptmatte_shm.segment import checked_name
from promptmatte_shm.server_session import ServerSession
from promptmatte_shm.status import LinkStatus

__all__ = [
    "MAX_CHANNELS",
    "ClientSession",
    "Frame",
    "FrameDelay",
    "FrameFormatError",
    "FrameInfo",
    "LayoutError",
    "LinkStatus",
    "Matte",
    "MessageTooLargeError",
    "PixelFormat",
    "RequestTimeoutError",
    "ServerSession",
    "SessionBusyError",
    "SessionNameError",
    "SessionNotFoundError",
    "ShmError",
    "checked_name",
]
