"""The component's two threads against a real session, and against the server's real commands."""

from __future__ import annotations

import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from links_testing import free_zmq_address, port_of, wait_for
from promptmatte.controls import Controls
from promptmatte.links import open_server_link
from promptmatte.links.protocol import CommandHandler
from promptmatte.prompts import Prompt, PromptSet
from promptmatte_shm import Frame, FrameInfo
from promptmatte_td.conversation import Wish
from promptmatte_td.engine import Engine
from promptmatte_td.links import LinkChoice, LinkUnavailableError, open_link
from promptmatte_td.mixing import Places, PromptText
from promptmatte_td.pictures import Offer, Shown
from shm_peer import fresh_name
from touchdesigner.keyer import Keyer


@pytest.fixture
def name() -> Iterator[str]:
    yield from fresh_name()


@pytest.fixture(params=["shm", "zmq"])
def choice(request: pytest.FixtureRequest, name: str) -> LinkChoice:
    if request.param == "shm":
        return LinkChoice(session=name)
    return LinkChoice(kind="zmq", port=port_of(free_zmq_address()))


@pytest.fixture
def engine(choice: LinkChoice, tmp_path: Path) -> Iterator[Engine]:
    engine = Engine(choice, modules=import_module, folder=tmp_path)
    yield engine
    engine.close().join()


def places(*texts: str) -> Places:
    return tuple(PromptText(text=t) for t in (*texts, "", "", "", "")[:4])  # type: ignore[return-value]


def floats(seed: int, size_hw: tuple[int, int] = (6, 8)) -> np.ndarray:
    levels = np.random.default_rng(seed).integers(0, 256, (*size_hw, 4)).astype(np.float32)
    return levels / np.float32(255)


def keyed(engine: Engine, picture: np.ndarray, drawn_at: int = 7) -> Shown:
    """Offers the picture until the matte of one of these offers is there."""
    since_ns = time.monotonic_ns()

    def look() -> Shown | None:
        if engine.pictures.ready and engine.pictures.connected:
            now_ns = time.monotonic_ns()
            engine.pictures.offer(Offer(floats=picture, captured_ns=now_ns, drawn_at=drawn_at))
        shown = engine.pictures.take()
        return shown if shown is not None and shown.info.captured_ns > since_ns else None

    return wait_for(look)


def shows(engine: Engine, picture: np.ndarray, levels: list[np.ndarray]) -> None:
    """Waits until the matte of this picture has these planes."""

    def look() -> bool:
        alpha = keyed(engine, picture).alpha
        return alpha.shape[2] >= len(levels) and all(
            np.array_equal(alpha[..., place], plane) for place, plane in enumerate(levels)
        )

    wait_for(look)


def test_a_picture_comes_back_upright_with_its_own_matte(
    choice: LinkChoice, engine: Engine
) -> None:
    keyer = Keyer(open_server_link(choice.address))
    try:
        engine.conversation.wish(Wish(prompts=places("jacket")))
        picture = floats(1)
        picture[0, :, 0] = 1.0  # the bottom row is red
        red = np.rint(picture[..., 0] * 255).astype(np.uint8)
        shows(engine, picture, [red])
        shown = keyed(engine, picture, drawn_at=41)
        assert shown.drawn_at == 41
        assert shown.confidence == (0.9, 0.0, 0.0, 0.0)
        assert shown.picture is not None
        np.testing.assert_array_equal(shown.picture, np.rint(picture * 255).astype(np.uint8))
        assert shown.alpha.flags.c_contiguous
        assert shown.picture.flags.c_contiguous
        received = keyer.matte(Frame(info=shown.info, pixels=shown.picture[::-1].copy()))
        np.testing.assert_array_equal(received.alpha[::-1, :, 0], shown.alpha[..., 0])
    finally:
        keyer.close()


def test_a_gap_and_another_size_and_a_fill(choice: LinkChoice, engine: Engine) -> None:
    keyer = Keyer(open_server_link(choice.address))
    try:
        engine.conversation.wish(
            Wish(prompts=places("", "sky", "", "tree"), stream={"fill": "picture"})
        )
        for size_hw in ((6, 8), (9, 5), (6, 8)):
            picture = floats(3, size_hw)
            red = np.rint(picture[..., 0] * 255).astype(np.uint8)
            empty = np.zeros_like(red)
            shows(engine, picture, [empty, red, empty, red // 2])
        assert keyer.controls.stream.fill == "picture"
    finally:
        keyer.close()


def test_the_picture_of_a_frame_that_is_not_ours_is_the_fill(
    choice: LinkChoice, engine: Engine
) -> None:
    keyer = Keyer(open_server_link(choice.address))
    try:
        rgb = np.random.default_rng(5).integers(0, 256, (4, 6, 3), np.uint8)
        keyer.controls = Controls().replaced({"fill": "picture"})
        keyer.prompts = PromptSet(version=1, prompts=(Prompt(text="a"),))
        wait_for(lambda: engine.pictures.connected)

        def look() -> Shown | None:
            keyer.link.send_matte(keyer.matte(_frame(rgb, time.monotonic_ns())))
            time.sleep(0.01)
            return engine.pictures.take()

        shown = wait_for(look)
        assert shown.picture is not None
        np.testing.assert_array_equal(shown.picture[::-1, :, :3], rgb)
        assert (shown.picture[..., 3] == 255).all()
        assert shown.drawn_at == -1
    finally:
        keyer.close()


def _frame(pixels: np.ndarray, now_ns: int) -> Frame:
    info = FrameInfo(stream_id=5, seq=now_ns, pts_ns=0, captured_ns=now_ns)
    return Frame(info=info, pixels=pixels.copy())


def test_all_is_said_again_to_a_server_that_was_restarted(
    choice: LinkChoice, engine: Engine
) -> None:
    wish = Wish(
        prompts=places("jacket", "sky"),
        channels=({"threshold": 0.3}, {"threshold": 0.7}, {}, {}),
        stream={"encode_hz": 12.0},
    )
    engine.conversation.wish(wish)
    for _ in range(2):
        keyer = Keyer(open_server_link(choice.address))
        try:
            wait_for(lambda: keyer.controls.stream.encode_hz == 12.0)  # noqa: B023
            assert [p.text for p in keyer.prompts.prompts] == ["jacket", "sky"]
            assert [c.threshold for c in keyer.controls.channels[:2]] == [0.3, 0.7]
            said = len(keyer.asked)
            time.sleep(0.6)
            later = [c["command"] for c in keyer.asked[said:]]
            assert set(later) <= {"status"}, "what is said is not said again"
        finally:
            keyer.close()
        wait_for(lambda: not engine.pictures.connected)


def test_a_fade_ends_with_the_new_prompt_alone(choice: LinkChoice, engine: Engine) -> None:
    keyer = Keyer(open_server_link(choice.address))
    try:
        engine.conversation.wish(Wish(prompts=places("jacket")))
        picture = floats(4)
        red = np.rint(picture[..., 0] * 255).astype(np.uint8)
        shows(engine, picture, [red])
        engine.conversation.wish(Wish(prompts=places("hair"), fade_s=0.6))
        wait_for(lambda: [p.text for p in keyer.prompts.prompts] == ["jacket", "hair"])
        between = set()

        def look() -> bool:
            shown = keyed(engine, picture)
            between.add(round(float(shown.alpha[..., 0].sum()) / red.sum(), 2))
            return [p.text for p in keyer.prompts.prompts] == ["hair"]

        wait_for(look)
        assert any(0.5 < level < 1.0 for level in between), between
        shows(engine, picture, [red])
    finally:
        keyer.close()


def test_a_refused_prompt_is_told_and_the_one_before_stays(
    choice: LinkChoice, engine: Engine
) -> None:
    keyer = Keyer(open_server_link(choice.address))
    try:
        engine.conversation.wish(Wish(prompts=places("jacket")))
        wait_for(lambda: keyer.prompts.version == 1)
        engine.conversation.wish(Wish(prompts=places("a - ")))
        wait_for(lambda: "to each side" in engine.conversation.report.complaint)
        assert [p.text for p in keyer.prompts.prompts] == ["jacket"]
        engine.conversation.wish(Wish(prompts=places("hair")))
        wait_for(lambda: not engine.conversation.report.complaint)
        assert [p.text for p in keyer.prompts.prompts] == ["hair"]
    finally:
        keyer.close()


def test_the_model_and_suggestions(choice: LinkChoice, engine: Engine) -> None:
    keyer = Keyer(open_server_link(choice.address))
    try:
        wait_for(lambda: engine.conversation.report.status)
        assert "sam-vit-b" in engine.conversation.report.hello["models"]
        engine.conversation.command({"command": "model", "name": "sam-vit-b"})
        engine.conversation.command({"command": "suggest"})
        wait_for(lambda: engine.conversation.report.status.get("model") == "sam-vit-b")
        wait_for(lambda: engine.conversation.report.suggestions == ("sky", "tree"))
    finally:
        keyer.close()


@pytest.mark.parametrize(
    "hello",
    [
        {"ok": False, "error": "no such command"},
        {"ok": True, "version": "9.9", "commands_version": 99},
    ],
)
def test_a_server_of_another_version_is_refused_with_what_to_do(
    hello: dict[str, Any], choice: LinkChoice, engine: Engine
) -> None:
    def prepare(handler: CommandHandler) -> CommandHandler:
        return lambda c: dict(hello) if c["command"] == "hello" else handler(c)

    keyer = Keyer(open_server_link(choice.address), prepare=prepare)
    try:
        wait_for(lambda: engine.conversation.report.refusal)
        assert "make both the same" in engine.conversation.report.refusal
        assert keyer.prompts.version == 0
    finally:
        keyer.close()


def test_closing_with_no_server_and_a_bad_name(tmp_path: Path) -> None:
    for _ in range(3):
        engine = Engine(LinkChoice(session="nobody"), modules=import_module, folder=tmp_path)
        engine.close().join(10.0)
    with pytest.raises(LinkUnavailableError, match="session name"):
        open_link(LinkChoice(session="so much too long a name"), modules=import_module,
                  folder=tmp_path)  # fmt: skip
    with pytest.raises(LinkUnavailableError, match="HOST:PORT"):
        open_link(LinkChoice(kind="zmq", host="what ever"), modules=import_module, folder=tmp_path)
