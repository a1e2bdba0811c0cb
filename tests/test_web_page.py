"""The page in a real browser, over a real server with the shipped model."""

from __future__ import annotations

import base64
import json
import urllib.error
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from browser_testing import BROWSER_MS, Page, browser, fetched, wait_for
from links_testing import free_address
from promptmatte.controls import control_table
from promptmatte.links import open_client_link
from server_testing import Server, status_of

pytest.importorskip("gradio", reason="needs the extra web")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("web")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[tuple[str, Server]]:
    """The server on the test pictures, and its address."""
    address = free_address("shm")
    arguments = ("--source", "test:", "--prompt", "everything", "--encode-hz", "2")
    with Server(*arguments, "--out", address, log=folder / "server.log") as running:
        wait_for(lambda: status_of(address, running)["mattes_out"])
        yield address, running


@pytest.fixture(scope="module")
def page(server: tuple[str, Server], folder: Path) -> Iterator[Page]:
    with Page("--link", server[0], log=folder / "page.log", folder=folder) as running:
        yield running
        assert "Traceback" not in running.said()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as opened:
        yield opened


@pytest.fixture
def tab(chromium: Any, page: Page) -> Iterator[Any]:
    """The page, opened on a desktop; nothing in it came from elsewhere."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    opened = context.new_page()
    opened.set_default_timeout(BROWSER_MS)
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    asked: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(page.url)
    opened.wait_for_selector("#live-pictures img", timeout=BROWSER_MS)
    yield opened
    assert faults == []
    assert [url for url in asked if not url.startswith((page.url, "data:", "blob:"))] == []
    context.close()


@pytest.fixture
def status(server: tuple[str, Server]) -> Callable[[], dict[str, Any]]:
    return lambda: status_of(*server)


def matte_of(tab: Any) -> float:
    """The mean of the matte that the page shows, 0 to 255."""
    source = tab.locator(".pm-matte img").get_attribute("src")
    data = base64.b64decode(source.partition(",")[2])
    return float(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE).mean())


def opened_tab(tab: Any, name: str) -> None:
    tab.get_by_role("tab", name=name).click()


def test_a_typed_prompt_changes_the_matte(tab: Any, status: Callable[[], dict[str, Any]]) -> None:
    wait_for(lambda: matte_of(tab) > 250)
    tab.locator("#live-prompt textarea, #live-prompt input").fill("person")
    tab.locator("#live-negative textarea, #live-negative input").fill("hair, hat")
    tab.locator("#live-key").click()
    wait_for(lambda: status()["prompts"][0]["text"] == "person")
    assert status()["prompts"][0]["negative"] == ["hair", "hat"]
    wait_for(lambda: matte_of(tab) < 200)
    assert "fps" in tab.locator("#live-status").inner_text()


def test_a_slider_sets_the_server_and_follows_it(
    tab: Any, server: tuple[str, Server], status: Callable[[], dict[str, Any]]
) -> None:
    tab.locator("#control-threshold input[type=range]").fill("0.3")
    wait_for(lambda: status()["controls"]["channels"][0].get("threshold") == 0.3)
    assert "threshold" not in status()["controls"]["channels"][1]
    link = open_client_link(server[0])
    try:
        elsewhere = {"command": "set", "controls": {"threshold": 0.7, "invert": True}, "prompt": 1}
        assert link.request(elsewhere, timeout_s=30.0)["ok"]
        number = tab.locator("#control-threshold input[type=number]")
        wait_for(lambda: number.input_value() == "0.7")
        wait_for(lambda: tab.locator("#control-invert input").is_checked())
        assert status()["controls"]["channels"][0]["threshold"] == 0.7
        link.request({**elsewhere, "controls": {"threshold": 0.5, "invert": False}})
    finally:
        link.close()


def test_pads_are_recalled_and_stored(
    tab: Any, page: Page, folder: Path, status: Callable[[], dict[str, Any]]
) -> None:
    pads = tab.locator("#live-pads button")
    pads.nth(3).click()
    wait_for(lambda: [p["text"] for p in status()["prompts"]] == ["sky"])
    prompt = tab.locator("#live-prompt textarea, #live-prompt input")
    wait_for(lambda: prompt.input_value() == "sky")
    tab.locator("#live-store").click()
    tab.wait_for_selector(".pm-pads.storing")
    pads.nth(0).click()
    wait_for(lambda: pads.nth(0).inner_text() == "sky")
    kept = next(folder.rglob("web-pads.json"))
    assert json.loads(kept.read_text(encoding="utf-8"))[0][0]["text"] == "sky"


def test_suggestions_are_chips(tab: Any, status: Callable[[], dict[str, Any]]) -> None:
    tab.locator("#live-suggest").click()
    chip = tab.locator("#live-chips button").first
    word = chip.inner_text().rpartition(" ")[0]
    chip.click()
    wait_for(lambda: [p["text"] for p in status()["prompts"]] == [word])


def test_every_control_of_the_table_is_in_the_page(page: Page) -> None:
    config = json.loads(fetched(f"{page.url}/config"))
    props = {c["props"].get("elem_id"): c["props"] for c in config["components"]}
    for row in control_table():
        shown = props[f"control-{row['name']}"]
        assert shown["value"] == row["default"], row
        assert row["unit"] in shown["label"], row
        assert shown["info"] == row["help"], row
        if row["kind"] in ("float", "int"):
            assert (shown["minimum"], shown["maximum"]) == (row["low"], row["high"]), row
            steps = (row["default"] - row["low"]) / shown["step"]
            assert steps == pytest.approx(round(steps)), row
        if row["kind"] == "choice":
            assert [value for _, value in shown["choices"]] == list(row["choices"]), row
    assert not config["analytics_enabled"]


def test_pictures_good_too_large_and_broken(tab: Any, tmp_path: Path) -> None:
    opened_tab(tab, "Picture")
    chooser = tab.locator("#picture-file input[type=file]")
    said = tab.locator("#picture-message")

    large = tmp_path / "large.png"
    cv2.imwrite(str(large), np.random.default_rng(1).integers(0, 256, (1400, 1100, 3), np.uint8))
    assert large.stat().st_size > 4 << 20
    chooser.set_input_files(large)
    wait_for(lambda: "at most 4 MB" in said.inner_text())

    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8 and then nothing of a picture")
    chooser.set_input_files(broken)
    wait_for(lambda: "damaged" in said.inner_text())

    bomb = tmp_path / "bomb.png"
    tiny = bytearray(cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    tiny[16:24] = (60_000).to_bytes(4, "big") * 2
    bomb.write_bytes(bytes(tiny))
    chooser.set_input_files(bomb)
    wait_for(lambda: "megapixels" in said.inner_text())

    good = tmp_path / "good.png"
    cv2.imwrite(str(good), np.random.default_rng(2).integers(0, 256, (90, 160, 3), np.uint8))
    chooser.set_input_files(good)
    tab.wait_for_selector("#picture-regions img")
    tab.locator("#picture-prompts textarea").fill("everything, dragon")
    tab.locator("#picture-cut").click()
    wait_for(lambda: "does not know" in said.inner_text())
    chosen = tab.locator("#picture-chosen .pm-region")
    tab.locator(".legend button").first.wait_for()
    tab.locator("#picture-regions img").last.click()
    chosen.wait_for(state="visible")
    assert "everything" in chosen.inner_text()
    assert "confidence 100%" in chosen.inner_text()
    wait_for(lambda: "everything" in tab.locator("#picture-download").inner_text())
    with tab.expect_download() as download:
        tab.locator("#picture-download").click()
    kept = tmp_path / "kept.png"
    download.value.save_as(kept)
    rgba = cv2.imread(str(kept), cv2.IMREAD_UNCHANGED)
    assert rgba.shape == (90, 160, 4)
    np.testing.assert_array_equal(rgba[..., :3], cv2.imread(str(good)))
    assert rgba[..., 3].min() == 255


def clip(path: Path, frames: int) -> Path:
    """A small recording of noise."""
    rng = np.random.default_rng(4)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        for _ in range(frames):
            pixels = rng.integers(0, 256, (64, 96, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def test_a_video_is_cut(tab: Any, tmp_path: Path) -> None:
    opened_tab(tab, "Video")
    chooser = tab.locator("#video-file input[type=file]")
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(bytes(2000))
    chooser.set_input_files(broken)
    wait_for(lambda: "cannot be decoded" in tab.locator("#video-message").inner_text())

    chooser.set_input_files(clip(tmp_path / "clip.mp4", 6))
    wait_for(lambda: "6 frames" in tab.locator("#video-message").inner_text())
    tab.locator("#video-prompts textarea, #video-prompts input").fill("everything")
    tab.locator("#video-cut").click()
    progress = tab.locator("#video-progress")
    wait_for(lambda: "done" in progress.inner_text())
    wait_for(lambda: tab.locator("#video-download").is_enabled())
    with tab.expect_download() as download:
        tab.locator("#video-download").click()
    kept = tmp_path / "kept.mov"
    download.value.save_as(kept)
    with av.open(str(kept)) as container:
        stream = container.streams.video[0]
        assert "a" in stream.pix_fmt
        assert sum(1 for _ in container.decode(stream)) == 6


def test_a_video_is_cancelled(tab: Any, tmp_path: Path) -> None:
    opened_tab(tab, "Video")
    chooser = tab.locator("#video-file input[type=file]")
    chooser.set_input_files(clip(tmp_path / "long.mp4", 5000))
    wait_for(lambda: "5000 frames" in tab.locator("#video-message").inner_text())
    tab.locator("#video-prompts textarea, #video-prompts input").fill("everything")
    progress = tab.locator("#video-progress")
    tab.locator("#video-cut").click()
    wait_for(lambda: "of 5000" in progress.inner_text())
    tab.locator("#video-cancel").click()
    wait_for(lambda: "cancelled" in progress.inner_text())
    assert not tab.locator("#video-download").is_enabled()


def test_it_fits_a_phone(chromium: Any, page: Page) -> None:
    context = chromium.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    phone = context.new_page()
    phone.set_default_timeout(BROWSER_MS)
    phone.goto(page.url)
    phone.wait_for_selector("#live-pictures img")
    for name in ("Live", "Picture", "Video"):
        opened_tab(phone, name)
        width = phone.evaluate("document.documentElement.scrollWidth")
        assert width <= 390, name
    opened_tab(phone, "Live")
    phone.evaluate("window.scrollTo(0, 1200)")
    assert phone.locator("#live-pictures").bounding_box()["y"] >= 0  # in sight beside a slider
    for button in phone.locator("#live-pads button").all():
        assert button.bounding_box()["height"] >= 44
    context.close()


def test_a_wrong_password_is_refused(chromium: Any, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("correct horse\n", encoding="utf-8")
    arguments = ("--link", "shm:pm-nobody", "--web-password-file", secret)
    with Page(*arguments, log=tmp_path / "log", folder=tmp_path) as page:
        with pytest.raises(urllib.error.HTTPError, match="401"):
            fetched(f"{page.url}/config")
        context = chromium.new_context()
        tab = context.new_page()
        tab.set_default_timeout(BROWSER_MS)
        tab.goto(page.url)
        boxes = tab.locator("input")
        boxes.nth(0).fill("vj")
        boxes.nth(1).fill("wrong horse")
        tab.get_by_role("button", name="Login").click()
        wait_for(lambda: "ncorrect" in tab.locator("body").inner_text())
        assert tab.locator("#live-prompt").count() == 0
        boxes.nth(0).fill("vj")  # gradio empties both
        boxes.nth(1).fill("correct horse")
        tab.get_by_role("button", name="Login").click()
        tab.wait_for_selector("#live-prompt")
        context.close()
        assert "horse" not in page.said()
