"""The small look at the newest matte: sizes, contents and the room it needs."""

from __future__ import annotations

import base64
import json
import threading

import cv2
import numpy as np
import pytest
from promptmatte.control.commands import command_handler
from promptmatte.controls import Controls
from promptmatte.errors import CommandError
from promptmatte.frame import Frame, FrameInfo, Matte
from promptmatte.preview import preview_of
from promptmatte.web.panels import Panels, coloured, over_checks
from promptmatte_shm.mailbox import packed

INFO = FrameInfo(stream_id=1, seq=7, pts_ns=0, captured_ns=0)


def matte(alpha: np.ndarray, prompts: int) -> Matte:
    return Matte(info=INFO, alpha=alpha, anchor_seq=3, age_ms=12.345,
                 confidence=(0.5,) * prompts, prompts_version=4)  # fmt: skip


def decoded(text: str, flags: int = cv2.IMREAD_COLOR) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), flags)


def test_it_is_small_and_true() -> None:
    pixels = np.full((540, 960, 3), (200, 30, 40), np.uint8)
    alpha = np.zeros((540, 960, 4), np.uint8)
    alpha[:, :480, 0], alpha[:270, :, 1] = 255, 255
    preview = preview_of(Frame(info=INFO, pixels=pixels), matte(alpha, 2), 320)
    assert (preview["size"], preview["shown"]) == ([540, 960], [180, 320])
    assert (preview["seq"], preview["prompts_version"], preview["age_ms"]) == (7, 4, 12.35)
    picture = decoded(preview["picture"])
    assert picture.shape == (180, 320, 3)
    assert np.abs(picture[..., ::-1].astype(int) - (200, 30, 40)).max() < 8
    mattes = decoded(preview["mattes"], cv2.IMREAD_GRAYSCALE)
    assert mattes.shape == (360, 320)
    assert (mattes[90, 60], mattes[90, 260]) == (255, 0)
    assert (mattes[180 + 40, 160], mattes[180 + 140, 160]) == (255, 0)


@pytest.mark.parametrize("prompts", [0, 1, 4])
def test_the_worst_picture_fits_the_mailbox(prompts: int) -> None:
    rng = np.random.default_rng(5)
    pixels = rng.integers(0, 256, (1080, 1920, 3), np.uint8)
    alpha = (rng.random((1080, 1920, max(1, prompts))) > 0.5).astype(np.uint8) * 255
    preview = preview_of(Frame(info=INFO, pixels=pixels), matte(alpha, prompts), 640)
    assert packed({"ok": True, "preview": preview})
    panels = Panels.of(json.loads(json.dumps(preview)))
    assert panels is not None
    assert panels.composite.startswith("data:image/jpeg;base64,")


def test_a_tiny_picture_stays_as_it_is() -> None:
    pixels = np.zeros((3, 5, 3), np.uint8)
    preview = preview_of(Frame(info=INFO, pixels=pixels), matte(pixels[..., :1].copy(), 1), 320)
    assert preview["shown"] == [3, 5]


def test_panels_show_what_the_mattes_say() -> None:
    mattes = np.zeros((2, 10, 10), np.uint8)
    mattes[0, :, :5] = mattes[1, :5] = 255
    picture = np.full((10, 10, 3), 250, np.uint8)
    shown = over_checks(picture, mattes)
    assert (shown[:5] == 250).all()
    assert (shown[5:, 5:] < 60).all()
    assert not coloured(mattes)[9, 9].any()
    assert len({tuple(coloured(mattes)[at]) for at in ((9, 0), (0, 9), (0, 0))}) == 3
    assert (coloured(mattes[:1])[:, :5] == 255).all()


@pytest.mark.parametrize(
    "damaged",
    [{}, {"shown": [9, 9], "picture": "???", "mattes": None}, {"shown": ["a", 1]},
     {"shown": [9, 9], "picture": base64.b64encode(b"no jpeg").decode(), "mattes": None}],
)  # fmt: skip
def test_a_damaged_preview_is_refused(damaged: dict[str, object]) -> None:
    with pytest.raises(CommandError, match="preview of two JPEGs"):
        Panels.of(damaged)
    assert Panels.of(None) is None


class Shown:
    """Answers with the side it was asked for."""

    controls = Controls()

    def preview(self, side: int) -> dict[str, int]:
        return {"side": side}


def test_the_command_checks_the_side() -> None:
    handle = command_handler(Shown(), threading.Event())  # type: ignore[arg-type]
    assert handle({"command": "preview"})["preview"] == {"side": 384}
    assert handle({"command": "preview", "side": 64})["preview"] == {"side": 64}
    for side in (63, 641, True, "big"):
        with pytest.raises(CommandError, match="expected side as a number of 64 to 640"):
            handle({"command": "preview", "side": side})
