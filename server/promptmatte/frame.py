"""Frame, FrameInfo, Matte and PixelFormat: defined once, in promptmatte_shm."""

from promptmatte_shm.frame import MAX_CHANNELS, Frame, FrameInfo, Matte, PixelFormat

__all__ = ["MAX_CHANNELS", "Frame", "FrameInfo", "Matte", "PixelFormat"]
