"""Stands in for PyObjC's Metal: the formats that syphon-python knows."""

MTLPixelFormatRGBA8Unorm = 70
MTLPixelFormatBGRA8Unorm = 80
