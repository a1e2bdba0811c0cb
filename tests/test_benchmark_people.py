"""The benchmark of people: groups, scores, tables and sheet, on drawn pictures with a stand-in
model; MediaPipe's worker with a stand-in for the package."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from promptmatte.bench.contenders import process
from promptmatte.errors import DataError
from red_model import RedModel

SIZE_HW = (48, 64)
NAMES = ["PromptMatte red", "MediaPipe general", "MediaPipe landscape"]
SETS = {
    "human290": {255: "person (main subject)"},
    "ccp": {2: "bag", 45: "shirt"},
    "coco_small": {1: "person", 255: "crowd (ignore)"},
    "msrc21": {0: "void (ignore)", 11: "face", 22: "body"},
    "davis_tennis": {255: "person (tennis player with racket)"},
}
PERSON = {"human290": 255, "ccp": 45, "coco_small": 1, "msrc21": 22, "davis_tennis": 255}
PICTURES, HELD_OUT, FRAMES = 40, 6, 3

FAKE_MEDIAPIPE = '''
"""Talks at import; model 0 keys what is red, model 1 all."""
import os
from types import SimpleNamespace

import numpy as np

print("a message on stdout", flush=True)
os.write(1, b"INFO: and another, from C")


class SelfieSegmentation:
    def __init__(self, model_selection):
        self._all = bool(model_selection)

    def process(self, picture):
        os.write(1, b"W0000 feedback manager")
        assert not picture.flags.writeable and picture.shape[2] == 3
        red = picture[..., 0] > picture[..., 1].astype(int) + 80
        return SimpleNamespace(segmentation_mask=(red | self._all).astype(np.float32))


solutions = SimpleNamespace(
    selfie_segmentation=SimpleNamespace(SelfieSegmentation=SelfieSegmentation)
)
'''


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module of the benchmark by name."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
    return lambda name: importlib.import_module(f"benchmarks.people.{name}")


@pytest.fixture
def worker(part: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command of the real worker, where mediapipe is a stand-in."""
    package = tmp_path / "fake" / "mediapipe"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(FAKE_MEDIAPIPE, encoding="utf-8")
    facts = package.with_name("mediapipe-0.dist-info")
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: mediapipe\nVersion: 0\n")
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    return [sys.executable, str(process.WORKER), *process.MEDIAPIPE]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The five sets with a red person each, small in every other picture of coco_small."""
    root = tmp_path_factory.mktemp("people")
    rng = np.random.default_rng(0)
    for name, classes in SETS.items():
        folder = root / name
        for kind in ("images", "masks"):
            (folder / kind).mkdir(parents=True)
        for index in range(FRAMES if name == "davis_tennis" else PICTURES):
            pixels = rng.integers(0, 60, (*SIZE_HW, 3), dtype=np.uint8)
            labels = np.zeros(SIZE_HW, np.uint8)
            small = name == "coco_small" and index % 2
            where = np.s_[10:14, 20:24] if small else np.s_[10:40, 20:50]
            pixels[where] = (220, 20, 20)
            labels[where] = PERSON[name]
            if name == "coco_small":  # red too, but nobody knows what it is
                pixels[42:46, 2:12] = (220, 20, 20)
                labels[42:46, 2:12] = 255
            cv2.imwrite(str(folder / "images" / f"{index:02d}.png"), pixels[..., ::-1])
            cv2.imwrite(str(folder / "masks" / f"{index:02d}.png"), labels)
        ignored = [label for label, text in classes.items() if "ignore" in text]
        text = {"classes": {str(i): n for i, n in classes.items()}, "ignore": ignored}
        (folder / "classes.json").write_text(json.dumps(text), encoding="utf-8")
    return root


@pytest.fixture
def run(part: Any, worker: list[str], data: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The benchmark with options, the stand-in model and the stand-in MediaPipe."""
    main = part("__main__")
    monkeypatch.setattr(main, "load_model", lambda choice: RedModel())
    return lambda *options: main.main(["--data", str(data), *map(str, options)], worker=worker)


def test_measures_all_groups_and_writes_what_was_asked_for(
    run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [tmp_path / "people.json", tmp_path / "people.md", tmp_path / "people.png"]
    assert run("--json", files[0], "--table", files[1], "--sheet", files[2]) == 0
    result = json.loads(files[0].read_text(encoding="utf-8"))
    counts = {group: row["n"] for group, row in result["groups"].items()}
    assert counts == {
        "portraits": HELD_OUT,
        "whole figures": HELD_OUT,
        "street and everyday": HELD_OUT + HELD_OUT // 2,
        "sport clip": FRAMES,
        "all pictures": 3 * HELD_OUT + HELD_OUT // 2 + FRAMES,
    }
    assert len(result["pictures"]) == counts["all pictures"]
    for group in result["groups"].values():
        assert group["MediaPipe general"]["iou"] == 1.0
        assert group["PromptMatte red"]["iou"] > 0.9
        assert group["MediaPipe landscape"]["iou"] < 0.8
        assert all(0 < group[name]["ms_p50"] <= group[name]["ms_p95"] for name in NAMES)
    row = result["pictures"][0]
    assert (row["group"], row["dataset"], row["file"]) == ("portraits", "human290", "34.png")
    assert (row["size"], row["confidence"]) == ("64x48", 0.9)
    assert row["share"] == pytest.approx(900 / (48 * 64), abs=1e-4)
    assert result["versions"]["peer mediapipe"] == "0"
    assert {"device", "commit", "threads", "confidence_floor"} <= set(result)

    table = files[1].read_text(encoding="utf-8").splitlines()
    assert table[0] == f"| mean IoU | pictures | {' | '.join(NAMES)} |"
    assert table[2] == "| portraits | 6 | **1.000** | **1.000** | 0.293 |"
    assert table[-1].startswith("| median time |  | ")
    title, gap, tile, width = 40, 8, 190 + 26 + 8, 8 * (190 + 8) + 8
    rows_of_tiles = 3 * 6 + FRAMES
    assert cv2.imread(str(files[2])).shape == (4 * (title + gap) + rows_of_tiles * tile, width, 3)
    assert "whole figures" in capsys.readouterr().out


def test_the_worlds_threads_and_cores_are_given_back(run: Any) -> None:
    def settings() -> tuple[Any, ...]:
        cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
        return torch.get_num_threads(), cv2.getNumThreads(), cores

    before = settings()
    assert run() == 0
    assert settings() == before


def test_pixels_that_a_set_does_not_know_are_not_counted(part: Any, data: Path) -> None:
    place = next(p for p in part("cases").places(data) if p.dataset.name == "coco_small")
    case = place.case()
    assert case.truth.sum() == 900
    assert (~case.known).sum() == 40
    assert not case.known[42:46, 2:12].any()


def test_held_out_pictures_only_but_every_frame_of_the_clip(part: Any, data: Path) -> None:
    places = part("cases").places(data)
    for name in SETS:
        own = [p for p in places if p.dataset.name == name]
        held_out = own[0].dataset.split()[1]
        if name == "davis_tennis":
            assert len(own) == FRAMES
            assert own[0].case().truth.sum() == 900
        else:
            assert [p.picture for p in own] == list(held_out)


def test_a_missing_set_is_named(
    part: Any, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DataError, match="human290"):
        part("cases").places(tmp_path)
    assert part("__main__").main(["--data", str(tmp_path)]) == 2
    assert "human290" in capsys.readouterr().err


def test_the_channel_to_the_worker_carries_only_masks(part: Any, worker: list[str]) -> None:
    rng = np.random.default_rng(1)
    with part("contenders").MediaPipe(worker) as peer:
        assert list(peer.names) == NAMES[1:]
        for size_hw in ((5, 7), (200, 301), (1, 1)):
            pixels = rng.integers(0, 256, (*size_hw, 3), dtype=np.uint8)
            found = peer.masks(pixels)
            red = pixels[..., 0] > pixels[..., 1].astype(int) + 80
            np.testing.assert_array_equal(found["MediaPipe general"].mask, red)
            assert found["MediaPipe landscape"].mask.all()
            assert found["MediaPipe general"].milliseconds > 0


def test_a_worker_that_cannot_start_is_reported_in_its_own_words(
    part: Any, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main = part("__main__")
    monkeypatch.setattr(main, "load_model", lambda choice: RedModel())
    broken = [sys.executable, "-c", "import sys; sys.exit('no mediapipe for this machine')"]
    assert main.main(["--data", str(data)], worker=broken) == 2
    told = capsys.readouterr().err
    assert "no mediapipe for this machine" in told
    assert "mediapipe==0.10.14" in told


def test_a_worker_that_ends_early_is_reported(part: Any) -> None:
    contenders = part("contenders")
    short = (
        "import json, struct, sys;"
        'facts = {"models": ["a"], "weights": {}, "versions": {}, "pid": 1};'
        "hello = json.dumps(facts).encode();"
        "sys.stdout.buffer.write(struct.pack('<I', len(hello)) + hello)"
    )
    large = np.zeros((1000, 1000, 3), np.uint8)
    with (
        contenders.MediaPipe([sys.executable, "-c", short]) as peer,
        pytest.raises(contenders.PeerError, match="said nothing"),
    ):
        peer.masks(large)
    peer.close()


def test_without_uv_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process.shutil, "which", lambda name: None)
    monkeypatch.setattr(process.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(process.PeerError, match="pip install uv"):
        process.command_for(process.MEDIAPIPE)


def test_the_real_mediapipe_answers_every_picture_alone(
    part: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where uv has MediaPipe at hand; nothing is fetched for it."""
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")
    contenders = part("contenders")
    try:
        peer = contenders.MediaPipe()
    except contenders.PeerError as error:
        pytest.skip(f"no MediaPipe here: {str(error).splitlines()[0]}")
    rng = np.random.default_rng(2)
    one, two = rng.integers(0, 256, (2, 90, 120, 3), dtype=np.uint8)
    with peer:
        assert list(peer.names) == NAMES[1:]
        first, _, again = peer.masks(one), peer.masks(two), peer.masks(one)
    for name in peer.names:
        np.testing.assert_array_equal(first[name].mask, again[name].mask)


def test_worst_and_best_share_no_picture(part: Any) -> None:
    row = part("table").Row

    def rows(count: int) -> list[Any]:
        return [
            row(group="g", dataset="d", file=str(i), size="1x1", share=1.0, confidence=1.0,
                iou={"a": (7 * i % count) / count}, ms={"a": 1.0})
            for i in range(count)
        ]  # fmt: skip

    worst, best = part("sheet").worst_and_best(rows(8), "a")
    assert (len(worst), len(best)) == (6, 2)
    assert not set(worst) & set(best)
    many = rows(50)
    worst, best = part("sheet").worst_and_best(many, "a")
    assert [many[i].iou["a"] for i in worst] == [i / 50 for i in range(6)]
    assert [many[i].iou["a"] for i in best] == [i / 50 for i in range(49, 43, -1)]
