"""The component as TouchDesigner would run it: the exported folder on the strict stand-in, in a
process that has Python, numpy and nothing else, against the real server."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from promptmatte.sources.test_pictures import TestPictures
from touchdesigner.show_runner import ShowRunner

SIZE_HW = (144, 256)


@pytest.fixture
def runner(tmp_path: Path, session: str) -> ShowRunner:
    return ShowRunner(tmp_path, session.removeprefix("shm:"))


def test_the_show_has_nothing_but_numpy_the_standin_and_the_export(runner: ShowRunner) -> None:
    names = ["torch", "cv2", "zmq", "msgpack", "promptmatte"]
    code = f"import importlib.util as u; print([n for n in {names} if u.find_spec(n)])"
    assert runner.run_code(code) == "[]"


@pytest.mark.parametrize("build", [2023, 2025])
def test_building_again_keeps_what_people_made_and_the_file_stands_alone(
    runner: ShowRunner, build: int
) -> None:
    results = runner.play("building_show", build=build)
    assert results["pages"] == ["PromptMatte", "Matte", "Server", "Advanced", "About"]
    assert results["kept"] == {
        "ids": True,
        "wire": "/project1/PromptMatte",
        "camera": "/project1/camera",
        "prompt": "red jacket",
        "threshold": pytest.approx(0.7),
        "session": "kept",
        "size": "640",
        "expression": "absTime.frame % 5",
        "mended": True,
        "components": 1,
    }
    assert results["preset_menu"] == ["verse"]
    assert results["recalled"] == ["red jacket", pytest.approx(0.7)]
    assert "expected the name of a preset (verse)" in results["unknown_preset"]
    assert results["osc"]["prompt"] == "hat"
    assert results["osc"]["threshold"] == pytest.approx(0.4)
    assert results["osc"]["listens"] == [True, 9000]
    assert "expected a number after /promptmatte/1/threshold" in results["osc"]["log"][0]
    assert "expected /promptmatte/NAME" in results["osc"]["log"][1]
    assert "expected a program or folder at /nowhere/at/all" in results["no_program"]
    assert "python -m pip install" in results["no_zmq"]
    assert "expected a session name" in results["bad_session"]
    assert "No server" in results["good_again"]
    assert results["errors"] == []
    assert results["refusals"] == []
    assert results["alone"] == {
        "status": ["No server: press Start on the Server page, or run promptmatte serve"] * 2,
        "prompt": "hat",
        "readme": "# PromptMatte",
        "errors": [],
    }


def test_the_whole_way_with_the_real_server(runner: ShowRunner) -> None:
    pictures = TestPictures(size_hw=SIZE_HW)
    truths = [pictures.truth_at(n)["person"] >= 0.5 for n in range(90)]
    frames = [pictures.frame_at(n) for n in range(90)]
    path = runner.folder / "pictures.npz"
    np.savez(path, pictures=np.stack(frames), truths=np.stack(truths))
    results = runner.play("keying_show", pictures=str(path), program=sys.executable, options="")
    assert "No server" in results["first_status"]
    for part in ("keying", "after_restart", "after_resize"):
        assert results[part]["wrong"] == [], part
        assert results[part]["different_frames"] > 3, part
    for part in ("keying", "after_restart"):
        assert results[part]["fit"] > 0.6, part
        assert results[part]["fit"] > results[part]["fit_flipped"] + 0.2, part
    assert results["status"].startswith("Running")
    assert "sam-vit-b" in results["models"]
    for part in ("composite", "cut_out"):
        assert results[part]["solid"] > 500
        assert results[part]["straight"] < 0.01 < results[part]["swapped"]
    assert results["lost"] == {"live": True}
    assert any("code -9" in line or "starts again" in line for line in results["log"])
    assert results["server_ended"]
    assert results["refusals"] == []


@pytest.mark.parametrize("copy_first", [False, True])
def test_ten_thousand_cooks_leave_nothing_behind(runner: ShowRunner, copy_first: bool) -> None:
    frames = 2000 if copy_first else 10_000
    with runner.keyer():
        results = runner.play(
            "steady_show", size_hw=[36, 64], frames=frames, copy_first=copy_first,
            poison_arrays=copy_first,
        )  # fmt: skip
    before, after = results["before"], results["after"]
    assert results["wrong"] == 0
    assert results["different_mattes"] > frames / 20
    assert after["threads"] <= before["threads"]
    assert after["objects"] <= before["objects"] + 100
    if "files" in before:
        # One is open or not as the link is looked at; a leak would be of one a cook or a matte.
        assert after["files"] <= before["files"] + 2
        assert after["rss_mb"] < before["rss_mb"] + 4
    assert results["refusals"] == []


def test_what_a_cook_costs_is_told(runner: ShowRunner, capsys: pytest.CaptureFixture[str]) -> None:
    """The figure is for people: benchmarks/touchdesigner_cook.py measures it at leisure."""
    with runner.keyer():
        results = runner.play("steady_show", size_hw=[720, 1280], frames=100, paced=True)
    assert results["wrong"] == 0
    with capsys.disabled():
        print(f"\n  a cook at 1280x720: {results['code_ms']} ms of {results['frames']}")
