"""Parts of the page without a browser: memory of a hand, pads, uploads, regions, addresses."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import cv2
import numpy as np
import pytest
from moving_scene import ColourModel
from promptmatte.controls import Controls
from promptmatte.endpoint import Endpoint
from promptmatte.errors import CommandError, ConfigError, PromptError, SourceError
from promptmatte.frame import Frame, FrameInfo
from promptmatte.web import widgets
from promptmatte.web.address import bound_socket, page_url, password_from
from promptmatte.web.hand import Hand
from promptmatte.web.job import JobState
from promptmatte.web.pads import DEFAULT_WORDS, Pads
from promptmatte.web.picture_file import picture_size, read_upload
from promptmatte.web.regions import Regions, prompts_in, shaped
from promptmatte.web.show import Snapshot


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_news_come_once_and_not_under_the_hand() -> None:
    clock = Clock()
    hand = Hand(clock_s=clock)
    assert hand.news({"threshold": 0.5}) == {"threshold": 0.5}
    assert hand.news({"threshold": 0.5}) == {}
    hand.touched("threshold", 0.6, hold_s=1.0)
    assert hand.news({"threshold": 0.5}) == {}  # what the server had before the touch
    assert hand.news({"threshold": 0.6}) == {}
    clock.now_s += 1.5
    assert hand.news({"threshold": 0.6}) == {}
    assert hand.news({"threshold": 0.2}) == {"threshold": 0.2}
    hand.release()
    assert hand.news({"threshold": 0.2}) == {"threshold": 0.2}


def test_a_value_that_equals_true_is_no_switch() -> None:
    hand = Hand()
    hand.news({"hold": 0.0})
    assert hand.news({"hold": 0.0, "invert": False}) == {"invert": False}


def test_pads_outlive_the_page(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "pads.json"
    pads = Pads(path)
    assert pads.labels[0] == "person"
    prompts = [{"text": "dog", "also": ["cat"], "negative": ["hair"]}, {"text": "sky", "also": [],
               "negative": []}]  # fmt: skip
    pads.store(2, prompts)
    again = Pads(path)
    assert again.recall(2) == prompts
    assert again.labels[2] == "dog + cat - hair | sky"
    assert again.labels[0] == "person"
    assert [p.name for p in path.parent.iterdir()] == ["pads.json"]


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", "[1]", json.dumps([[{"text": 5}]] * 8), json.dumps([[{"text": "a"}]] * 8),
     json.dumps([[{"text": "a", "also": [], "negative": []}] * 5] * 8)],
)  # fmt: skip
def test_a_damaged_file_leaves_the_first_pads(tmp_path: Path, content: str) -> None:
    path = tmp_path / "pads.json"
    path.write_text(content, encoding="utf-8")
    assert len(Pads(path).labels) == len(DEFAULT_WORDS)
    assert Pads(path).labels[0] == "person"


def test_a_pad_that_cannot_be_kept_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(CommandError, match="cannot keep the pad"):
        Pads(tmp_path / "file" / "pads.json").store(0, [])


def test_sizes_are_read_before_anything_is_decoded(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (37, 61, 3), np.uint8)
    for suffix, options in (
        (".png", []),
        (".jpg", []),
        (".jpg", [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
    ):
        data = cv2.imencode(suffix, pixels, options)[1].tobytes()
        assert picture_size(data) == (61, 37)
        path = tmp_path / f"picture{suffix}"
        path.write_bytes(data)
        assert read_upload(path).size_hw == (37, 61)
        path.write_bytes(data[: len(data) // 3])
        if suffix == ".png":
            continue  # OpenCV shows what there is of a PNG
        path.write_bytes(data[:60])
        with pytest.raises(SourceError, match="damaged"):
            read_upload(path)


@pytest.mark.parametrize(
    ("data", "says"),
    [(b"", "another kind"), (b"GIF89a", "another kind"), (b"\xff\xd8", "damaged"),
     (b"\xff\xd8" + b"\xff" * 200, "damaged"), (b"\x89PNG\r\n\x1a\n", "another kind"),
     (b"\xff\xd8\xff\xe0\x00\x00" * 9, "damaged")],
)  # fmt: skip
def test_other_files_are_refused(tmp_path: Path, data: bytes, says: str) -> None:
    path = tmp_path / "upload.png"
    path.write_bytes(data)
    with pytest.raises(SourceError, match=says) as refused:
        read_upload(path)
    assert str(tmp_path) not in str(refused.value)


def test_several_prompts_are_told_apart() -> None:
    assert [p.text for p in prompts_in("person, red car\n天空，狗").prompts] == [
        "person", "red car", "天空", "狗",
    ]  # fmt: skip
    assert prompts_in("person - hair").prompts[0].negative == ("hair",)
    for text in ("", " , ", "a,b,c,d,e"):
        with pytest.raises(PromptError):
            prompts_in(text)


def test_regions_are_found_under_a_finger() -> None:
    pixels = np.full((120, 160, 3), (40, 60, 50), np.uint8)
    cv2.circle(pixels, (40, 60), 25, (220, 30, 30), -1)
    picture = Frame(info=FrameInfo(stream_id=0, seq=0, pts_ns=0, captured_ns=0), pixels=pixels)
    regions = Regions.cut(
        picture, model=ColourModel(), prompts=prompts_in("red"),
        controls=shaped(threshold=0.5, smoothness=1),
    )  # fmt: skip
    found = regions.at(40 / 160, 60 / 120)
    assert found is not None
    assert found.name == "red"
    assert regions.at(0.9, 0.9) is None
    assert regions.at(-3, 7) is None
    shown, masks = regions.annotated()
    assert shown.shape == (120, 160, 3)
    assert masks[0][0].max() == 1.0
    assert masks[0][1] == found.label
    rgba = cv2.imdecode(np.frombuffer(regions.png(found), np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(rgba[..., 3], found.alpha)
    np.testing.assert_array_equal(rgba[..., 2::-1], pixels)


def test_the_two_sliders_are_the_matte_s_own_controls() -> None:
    channel = shaped(threshold=0.9, smoothness=5).channels[0]
    assert (channel.threshold, channel.smoothness) == (0.9, 5)


def test_a_snapshot_holds_every_control() -> None:
    controls = Controls().replaced({"threshold": 0.2}, channel=1).replaced({"fill": "picture"})
    snapshot = Snapshot(status={"controls": controls.changed()})
    assert snapshot.values(0)["threshold"] == 0.5
    assert snapshot.values(1)["threshold"] == 0.2
    assert snapshot.values(1)["fill"] == "picture"
    assert Snapshot().values(3)["threshold"] == 0.5


def test_texts_from_outside_are_no_markup() -> None:
    evil = "<img src=x onerror=alert(1)>"
    for html in (
        widgets.channels([{"text": evil}], 0),
        widgets.pads([evil] * 8, storing=True),
        widgets.chips([(evil, 0.5)], asking=False),
        widgets.message([evil]),
        widgets.progress(JobState(state="failed", text=evil)),
    ):
        assert "<img" not in html
        assert "&lt;img" in html


def test_another_address_needs_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROMPTMATTE_WEB_PASSWORD", raising=False)
    assert password_from(None, Endpoint(host="127.0.0.1", port=0)) is None
    with pytest.raises(ConfigError, match="--web-password-file"):
        password_from(None, Endpoint(host="0.0.0.0", port=0))
    monkeypatch.setenv("PROMPTMATTE_WEB_PASSWORD", "from outside")
    assert password_from(None, Endpoint(host="0.0.0.0", port=0)) == "from outside"
    file = tmp_path / "secret"
    file.write_text("from a file\n", encoding="utf-8")
    assert password_from(file, Endpoint(host="0.0.0.0", port=0)) == "from a file"
    file.write_text("\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="empty"):
        password_from(file, Endpoint(host="127.0.0.1", port=0))
    with pytest.raises(ConfigError, match="cannot read"):
        password_from(tmp_path / "none", Endpoint(host="127.0.0.1", port=0))


def test_a_taken_port_is_named() -> None:
    with bound_socket(Endpoint(port=0)) as taken:
        port = taken.getsockname()[1]
        assert page_url(taken) == f"http://127.0.0.1:{port}"
        with pytest.raises(ConfigError, match=f"cannot have 127.0.0.1:{port}"):
            bound_socket(Endpoint(port=port))
    with pytest.raises(ConfigError, match="no such host"):
        bound_socket(Endpoint(host="no such host.invalid", port=80))
    if socket.has_ipv6 and os.path.exists("/proc/net/if_inet6"):  # noqa: PTH110
        with bound_socket(Endpoint(host="::1", port=0)) as six:
            assert page_url(six).startswith("http://[::1]:")
