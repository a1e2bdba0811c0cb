"""Frame, FrameInfo, Matte and PixelFormat: defined once, in promptmatte_shm."""

from promptmatte_shm.frame import FILL_FORMATS, MAX_CHANNELS, Frame, FrameInfo, Matte, PixelFormat

__all__ = ["FILL_FORMATS", "MAX_CHANNELS", "Frame", "FrameInfo", "Matte", "PixelFormat"]
