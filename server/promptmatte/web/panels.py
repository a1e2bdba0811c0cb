"""The three pictures of the live tab, made from what the server's command `preview` says."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.errors import CommandError

COLOURS = ((94, 234, 212), (251, 146, 160), (250, 204, 21), (147, 170, 255))
"""RGB of each prompt where several are shown together."""

CHECK_PX = 12
CHECKS = (26, 34)
QUALITY = 82

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Panels:
    """JPEGs as data: addresses: the picture, the matte, the cut-out over a checkerboard."""

    picture: str
    matte: str
    composite: str

    @classmethod
    def of(cls, preview: Mapping[str, Any] | None) -> Panels | None:
        """The panels of the reply's preview, None for None; CommandError for a damaged one."""
        if preview is None:
            return None
        try:
            height, width = (int(side) for side in preview["shown"])
            picture = _decoded(preview["picture"], cv2.IMREAD_COLOR)
            mattes = np.zeros((0, height, width), np.uint8)
            if preview["mattes"]:
                grey = _decoded(preview["mattes"], cv2.IMREAD_GRAYSCALE)
                mattes = grey.reshape(-1, height, width)
            picture = picture.reshape(height, width, 3)[..., ::-1]
        except (KeyError, TypeError, ValueError, binascii.Error) as error:
            raise CommandError(
                f"expected a preview of two JPEGs; got a damaged one: {error}"
            ) from (error)
        return cls(
            picture=_address(picture),
            matte=_address(coloured(mattes)),
            composite=_address(over_checks(picture, mattes)),
        )


def coloured(mattes: Picture) -> Picture:
    """Mattes [P, H, W] as one rgb picture: white for one prompt, else each in its colour."""
    if len(mattes) == 1:
        return np.asarray(np.repeat(mattes[0][..., None], 3, axis=2), np.uint8)
    light = np.zeros((*mattes.shape[1:], 3), np.float32)
    for matte, colour in zip(mattes, COLOURS, strict=False):
        light = np.maximum(light, matte[..., None] * (np.array(colour, np.float32) / 255))
    return light.astype(np.uint8)


def over_checks(picture: Picture, mattes: Picture) -> Picture:
    """The picture where any matte has it, a dark checkerboard elsewhere."""
    rows, columns = np.ogrid[: picture.shape[0], : picture.shape[1]]
    ground = np.where((rows // CHECK_PX + columns // CHECK_PX) % 2, *CHECKS)[..., None]
    alpha = mattes.max(axis=0, initial=0)[..., None] / np.float32(255)
    return np.asarray(picture * alpha + ground * (1 - alpha), np.uint8)


def _decoded(text: str, flags: int) -> Picture:
    pixels = cv2.imdecode(np.frombuffer(base64.b64decode(text, validate=True), np.uint8), flags)
    if pixels is None:
        raise ValueError("no JPEG")
    return np.asarray(pixels, np.uint8)


def _address(pixels: Picture) -> str:
    bgr = np.ascontiguousarray(pixels[..., ::-1])
    jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
