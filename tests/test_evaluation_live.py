"""promptmatte eval --live: the command on generated clips, beside its baselines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from moving_scene import SIZE_HW, MovingScene
from promptmatte.cli import main
from promptmatte.evaluation.clips import LabelledFrames, read_clips
from promptmatte.evaluation.scores import Judge, Score
from promptmatte.evaluation.truth import LabelledPrompt

FRAMES = 16
MEASURES = {"J", "F", "flicker", "stale_share", "ms_per_frame"}


def write_clip(
    folder: Path, name: str, *, frames: int = FRAMES, speed: float = 4.0, seed: int = 7
) -> None:
    """A textured red blob that moves, labelled 1, and a part of the ground labelled 2."""
    scene = MovingScene(speed=speed, seed=seed)
    for kind in ("images", "masks"):
        (folder / kind / name).mkdir(parents=True)
    for index in range(frames):
        labels = (scene.red_alpha(index) > 0.5).astype(np.uint8)
        labels[:20, :30] = 2
        bgr = cv2.cvtColor(scene.picture(index), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(folder / "images" / name / f"{index}.jpg"), bgr)
        cv2.imwrite(str(folder / "masks" / name / f"{index}.png"), labels)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    write_clip(folder, "fast", speed=7.0)
    write_clip(folder, "slow", speed=2.0, seed=8)
    return folder


def evaluated(folder: Path, *options: str) -> dict[str, Any]:
    out = folder / "out.json"
    assert main(["eval", str(folder), "--live", *options, "--json", str(out)]) == 0
    result: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    out.unlink()
    return result


@pytest.fixture(scope="module")
def result(clips: Path) -> dict[str, Any]:
    return evaluated(clips, "--oracle", "--prompt", "red=1")


def test_result_has_the_agreed_shape(result: dict[str, Any]) -> None:
    assert set(result) == {"mean", "clips", "baselines", "settings"}
    assert set(result["mean"]) == MEASURES
    assert set(result["clips"]) == {"fast", "slow"}
    assert all(set(row) == MEASURES for row in result["clips"].values())
    assert set(result["baselines"]) == {"stale", "chain", "every_frame"}
    for baseline in result["baselines"].values():
        assert set(baseline) == MEASURES | {"clips"}
        assert set(baseline["clips"]) == {"fast", "slow"}
    assert result["settings"] == {
        "fps": 30.0, "encode_hz": 5.0, "encode_ms": 120.0, "oracle": True, "model": "oracle",
        "device": "cpu", "prompts": ["red"], "controls": {}, "frames": 2 * FRAMES,
    }  # fmt: skip


def test_the_mean_is_that_of_the_clips(result: dict[str, Any]) -> None:
    for name in ("J", "flicker"):
        rows = [row[name] for row in result["clips"].values()]
        assert result["mean"][name] == pytest.approx(np.mean(rows), abs=1e-4)


def test_each_way_scores_as_it_must(result: dict[str, Any]) -> None:
    baselines = result["baselines"]
    live, stale, chain, every = (
        result["mean"], baselines["stale"], baselines["chain"], baselines["every_frame"],
    )  # fmt: skip
    assert every["J"] > 0.95
    assert every["F"] > 0.99
    assert every["J"] >= live["J"] > stale["J"] + 0.1
    assert chain["J"] > stale["J"] + 0.1
    assert stale["clips"]["fast"]["J"] < stale["clips"]["slow"]["J"] - 0.1
    assert stale["flicker"] > 2 * every["flicker"]
    assert [row["stale_share"] for row in (live, stale, chain, every)] == [0.0] * 4
    assert all(row["ms_per_frame"] > 0 for row in (live, stale, chain, every))


def test_a_run_gives_the_same_result_again(clips: Path, result: dict[str, Any]) -> None:
    def without_times(values: Any) -> Any:
        if isinstance(values, dict):
            return {k: without_times(v) for k, v in values.items() if k != "ms_per_frame"}
        return values

    again = evaluated(clips, "--oracle", "--prompt", "red=1")
    assert without_times(again) == without_times(result)


def test_a_later_keyframe_makes_the_stale_mask_worse(clips: Path) -> None:
    options = ("--oracle", "--only", "slow", "--encode-ms")
    soon, late = evaluated(clips, *options, "120"), evaluated(clips, *options, "400")
    assert late["mean"]["stale_share"] == 0.0  # it is as old as it may be
    assert late["baselines"]["stale"]["J"] < soon["baselines"]["stale"]["J"] - 0.05


def test_an_anchor_older_than_a_period_an_encode_and_a_frame_is_stale(tmp_path: Path) -> None:
    write_clip(tmp_path, "a")
    for index in range(1, 11):  # so that the oracle has to wait for frame 11
        (tmp_path / "masks" / "a" / f"{index}.png").unlink()
    found = evaluated(tmp_path, "--oracle", "--prompt", "red=1")
    shares = {name: row["stale_share"] for name, row in found["baselines"].items()}
    assert found["mean"]["stale_share"] == 0.8  # 11 to 14 of 11 to 15, 367 ms and older
    assert shares == {"stale": 0.8, "chain": 0.8, "every_frame": 0.0}


def test_clips_frames_and_prompts_are_chosen(clips: Path) -> None:
    options = ("--oracle", "--only", "slow", "--limit", "8")
    both = evaluated(clips, *options, "--prompt", "red=1", "--prompt", "corner=2")
    assert both["settings"]["prompts"] == ["red", "corner"]
    assert both["settings"]["frames"] == 8
    assert set(both["clips"]) == {"slow"}
    red, corner = (evaluated(clips, *options, "--prompt", p) for p in ("red=1", "corner=2"))
    mean = (red["baselines"]["stale"]["J"] + corner["baselines"]["stale"]["J"]) / 2
    assert both["baselines"]["stale"]["J"] == pytest.approx(mean, abs=2e-4)
    everything = evaluated(clips, *options)
    assert everything["settings"]["prompts"] == ["object"]


def test_a_picture_shows_frames_of_each_clip(clips: Path, tmp_path: Path) -> None:
    path = tmp_path / "strip.png"
    evaluated(clips, "--oracle", "--limit", "8", "--picture", str(path))
    picture = cv2.imread(str(path))
    assert picture is not None
    height, width = picture.shape[:2]
    assert width == 4 * 328 + 8
    panel_height = round(SIZE_HW[0] * 320 / SIZE_HW[1])
    assert height == 40 + 8 * (panel_height + 8)  # four frames of each clip


def test_a_frame_without_a_mask_is_stepped_but_not_scored(tmp_path: Path) -> None:
    write_clip(tmp_path, "a", frames=12)
    for index in (0, 5, 6, 7):
        (tmp_path / "masks" / "a" / f"{index}.png").unlink()
    found = evaluated(tmp_path, "--oracle", "--prompt", "red=1")
    assert found["settings"]["frames"] == 12
    assert found["mean"]["stale_share"] == 0.0
    assert found["baselines"]["every_frame"]["J"] > 0.95


def test_frames_of_another_size_do_not_stop_it(tmp_path: Path) -> None:
    write_clip(tmp_path, "a", frames=14)
    for index in range(8, 14):
        path = tmp_path / "images" / "a" / f"{index}.jpg"
        cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path)), (200, 150)))
    found = evaluated(tmp_path, "--oracle", "--prompt", "red=1")
    assert found["mean"]["stale_share"] > 0.3  # frames 8 to 11 wait for a new keyframe
    assert found["baselines"]["every_frame"]["J"] > 0.95


def test_a_model_is_measured_by_the_names_of_classes_json(
    tmp_path: Path, tiny_weights: Path
) -> None:
    write_clip(tmp_path, "a", frames=8)
    model = ("--weights", str(tiny_weights), "--device", "cpu")
    classes = {"classes": {"0": "background", "1": "red blob", "2": "corner"}, "ignore": [2]}
    (tmp_path / "classes.json").write_text(json.dumps(classes))
    found = evaluated(tmp_path, *model)
    assert found["settings"]["prompts"] == ["red blob"]
    assert (found["settings"]["model"], found["settings"]["oracle"]) == ("embedded", False)
    assert 0.0 <= found["mean"]["J"] <= 1.0


def test_controls_reach_the_matte(clips: Path) -> None:
    options = ("--oracle", "--only", "slow", "--limit", "8", "--prompt", "red=1")
    plain, choked = evaluated(clips, *options), evaluated(clips, *options, "--expand=-15")
    assert choked["settings"]["controls"] == {"expand": -15.0}
    assert choked["mean"]["J"] < plain["mean"]["J"] - 0.05


def test_latency_matches_mattes_to_their_own_frames(clips: Path) -> None:
    options = ("--oracle", "--only", "slow", "--prompt", "red=1")
    plain, late = evaluated(clips, *options), evaluated(clips, *options, "--latency", "3")
    assert late["mean"]["stale_share"] == 0.0
    assert late["mean"]["J"] > plain["mean"]["J"] - 0.02


def bare(tmp_path: Path) -> tuple[LabelledFrames, Judge]:
    write_clip(tmp_path, "a", frames=6)
    (clip,) = read_clips(tmp_path)
    frames = LabelledFrames(clip, [LabelledPrompt.parse("red=1")], fps=30)
    return frames, Judge(frames, first=2)


def test_a_frame_without_a_matte_counts_as_an_empty_and_stale_one(tmp_path: Path) -> None:
    frames, judge = bare(tmp_path)
    score = Score(judge)
    for seq in (0, 3, 5):
        score.took(float(seq))
        score.add(seq, frames.truth(seq).planes.astype(np.uint8) * 255, stale=False)
    measures = score.measures()
    assert (measures["J"], measures["stale_share"]) == (0.5, 0.5)  # frames 2 and 4 have none
    assert measures["ms_per_frame"] == 3.0
    assert measures["flicker"] > 0.05


def test_the_truth_itself_is_perfect(tmp_path: Path) -> None:
    frames, judge = bare(tmp_path)
    score = Score(judge)
    for seq in range(6):
        score.add(seq, frames.truth(seq).planes.astype(np.uint8) * 255, stale=False)
    measures = score.measures()
    assert (measures["J"], measures["F"], measures["stale_share"]) == (1.0, 1.0, 0.0)
    assert measures["flicker"] < 0.002


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--live", "--fps", "0"], "expected fps of 1 to 240; got 0"),
        (["--live", "--encode-ms", "nan"], "expected encode_ms of 0 to 10000; got nan"),
        (["--live"], "expected --prompt TEXT=IDS"),
        (["--live", "--oracle", "--only", "cow"], "expected a clip of fast, slow; got 'cow'"),
        (["--live", "--oracle", "--limit", "0"], "expected a limit of at least 1"),
        (["--live", "--oracle", "--limit", "3"], "expected masks of clip fast from frame 3 on"),
        (["--live", "--oracle", "--stride", "2"], "expected no --stride with --live"),
        (["--live", "--oracle", "--picture", "strip.jpg"], "expected a picture ending in .png"),
        (["--live", "--oracle", "--latency", "9"], "expected latency"),
        (["--live", *["--prompt", "a=1"] * 5], "at most 4 prompts"),
        (["--oracle", "--prompt", "red=1"], "expected --live with the option for oracle"),
        (["--expand", "3", "--prompt", "red=1"], "expected --live with the option for controls"),
        ([], "expected a prompt and its mask ids"),
    ],
)  # fmt: skip
def test_bad_input_is_one_clear_line(
    clips: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", str(clips), *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_a_missing_folder_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", str(tmp_path / "absent"), "--live", "--oracle"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "found no pair" in line
