"""Stands in for syphon.utils.raw of syphon-python 0.2.0."""

from typing import Any

import Metal


class Texture:
    def __init__(self, width: int, height: int, pixel_format: int) -> None:
        self._width, self._height, self._pixel_format = width, height, pixel_format
        self.data = b""

    def width(self) -> int:
        return self._width

    def height(self) -> int:
        return self._height

    def pixelFormat(self) -> int:
        return self._pixel_format


def create_mtl_texture(
    device: Any, width: int, height: int, pixel_format: int = Metal.MTLPixelFormatRGBA8Unorm
) -> Any:
    assert device == "metal"
    return Texture(width, height, pixel_format)


def copy_bytes_to_mtl_texture(data: bytes, texture: Any) -> None:
    assert type(data) is bytes
    assert len(data) == texture.width() * texture.height() * 4
    texture.data = data


def copy_mtl_texture_to_bytes(texture: Any, buffer: Any = None) -> bytes:
    return bytes(texture.data)
