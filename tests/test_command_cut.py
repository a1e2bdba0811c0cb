"""promptmatte cut: the files it writes, read again, and what it refuses."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest
from moving_scene import ColourModel, MovingScene, iou
from promptmatte.cli import main
from promptmatte.commands.cut_best import best_mattes
from promptmatte.commands.cut_video import offline_mattes
from promptmatte.config import PipelineConfig
from promptmatte.controls import Controls
from promptmatte.frame import Frame
from promptmatte.models import load_model
from promptmatte.models.choice import ModelChoice
from promptmatte.prompts import Prompt, PromptSet
from promptmatte.sources.video import read_video

RATE = Fraction(24000, 1001)
FRAMES = 9
SIZE_HW = (71, 95)


def picture(index: int) -> npt.NDArray[np.uint8]:
    """A bright disc that moves over a dark ground."""
    pixels = np.full((*SIZE_HW, 3), (30, 50, 70), np.uint8)
    cv2.circle(pixels, (30 + 3 * index, 35), 18, (220, 180, 40), -1)
    return pixels


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lossless recording of odd size, its times rounded to 1 ms, with one pause."""
    path = tmp_path_factory.mktemp("video") / "in.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=RATE)
        stream.height, stream.width, stream.pix_fmt = *SIZE_HW, "bgr0"
        for index in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
            frame.pts = index if index < 6 else index + 4
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def decoded(path: Path, decoder: str) -> list[tuple[float, npt.NDArray[np.uint8]]]:
    """Times in seconds and RGBA pictures, alpha included."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert float(stream.average_rate) > 0
        context = av.CodecContext.create(decoder, "r")
        context.extradata = stream.codec_context.extradata
        frames = []
        for packet in container.demux(stream):
            frames += context.decode(packet if packet.size else None)
        return [
            (float(frame.pts * stream.time_base), frame.to_ndarray(format="rgba"))
            for frame in frames
        ]


def test_picture_becomes_rgba_png(tmp_path: Path, sure_weights: Path) -> None:
    source, output = tmp_path / "in.png", tmp_path / "out.png"
    cv2.imwrite(str(source), picture(0)[..., ::-1])
    arguments = ["cut", str(source), "--prompt", "disc", "--weights", str(sure_weights)]
    assert main([*arguments, "-o", str(output)]) == 0
    result = cv2.imread(str(output), cv2.IMREAD_UNCHANGED)
    assert result.shape == (*SIZE_HW, 4)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result[..., 2::-1], picture(0))
    assert np.ptp(result[..., 3]) > 0


@pytest.mark.parametrize(
    ("suffix", "decoder", "tick_s"), [(".mov", "prores", 1e-4), (".webm", "libvpx-vp9", 1e-3)]
)
def test_video_keeps_size_times_and_every_frame(
    tmp_path: Path, sure_weights: Path, video: Path, suffix: str, decoder: str, tick_s: float
) -> None:
    output = tmp_path / f"out{suffix}"
    arguments = ["cut", str(video), "--prompt", "disc", "--weights", str(sure_weights)]
    assert main([*arguments, "-o", str(output)]) == 0
    frames = decoded(output, decoder)
    assert len(frames) == FRAMES
    steps = [i if i < 6 else i + 4 for i in range(FRAMES)]
    np.testing.assert_allclose(
        [t for t, _ in frames], [float(s / RATE) for s in steps], atol=tick_s
    )
    for index, (_, rgba) in enumerate(frames):
        assert rgba.shape == (*SIZE_HW, 4)
        assert np.abs(rgba[..., :3].astype(int) - picture(index)).mean() < 6
        assert 0 < rgba[..., 3].mean() < 255
    assert list(tmp_path.iterdir()) == [output]


@pytest.mark.parametrize(("quality", "mattes"), [("fast", offline_mattes), ("best", best_mattes)])
def test_the_file_holds_each_frame_with_its_own_matte(
    tmp_path: Path, sure_weights: Path, video: Path, quality: str, mattes: Any
) -> None:
    arguments = ["--prompt", "disc", "--weights", str(sure_weights), "--quality", quality]
    output = tmp_path / "out.mov"
    assert main(["cut", str(video), *arguments, "--encode-hz", "6", "-o", str(output)]) == 0
    expected = mattes(
        read_video(video),
        model=load_model(ModelChoice(device="cpu", weights=sure_weights)),
        prompts=PromptSet(version=1, prompts=(Prompt(text="disc"),)),
        config=PipelineConfig(),
        controls=Controls(),
        keyframe_every=4,
    )
    for (_, rgba), (frame, matte) in zip(decoded(output, "prores"), expected, strict=True):
        assert np.abs(rgba[..., 3].astype(int) - matte.alpha[..., 0]).mean() < 2
        assert np.abs(rgba[..., :3].astype(int) - frame.pixels).mean() < 6


def test_best_quality_of_a_picture_has_the_colours_of_the_thing(
    tmp_path: Path, sure_weights: Path
) -> None:
    source, output = tmp_path / "in.png", tmp_path / "out.png"
    cv2.imwrite(str(source), picture(0)[..., ::-1])
    arguments = ["cut", str(source), "--prompt", "disc", "--weights", str(sure_weights)]
    assert main([*arguments, "--quality", "best", "-o", str(output)]) == 0
    result = cv2.imread(str(output), cv2.IMREAD_UNCHANGED)
    assert result.shape == (*SIZE_HW, 4)
    solid = result[..., 3] == 255
    assert solid.any()
    np.testing.assert_array_equal(result[..., 2::-1][solid], picture(0)[solid])


def test_controls_change_what_is_written(tmp_path: Path, sure_weights: Path) -> None:
    source = tmp_path / "in.png"
    cv2.imwrite(str(source), picture(0)[..., ::-1])
    alphas = {}
    for quality in ("fast", "best"):
        for extra in ((), ("--invert",)):
            output = tmp_path / "out.png"
            arguments = ["cut", str(source), "--prompt", "disc", "--weights", str(sure_weights)]
            arguments += ["--quality", quality, *extra, "-o", str(output)]
            assert main(arguments) == 0
            alphas[quality, extra] = cv2.imread(str(output), cv2.IMREAD_UNCHANGED)[..., 3]
        np.testing.assert_array_equal(
            alphas[quality, ("--invert",)], 255 - alphas[quality, ()], err_msg=quality
        )


def numbered(indices: Iterable[int], scene: MovingScene) -> Iterator[Frame]:
    return (scene.frame(index) for index in indices)


def test_best_mattes_know_the_frames_to_come() -> None:
    """Between keyframes far apart the two-way mattes are nearer to the truth, and every
    frame has one, under its own identity."""
    scene, overlaps = MovingScene(speed=7.0), {}
    for mattes in (offline_mattes, best_mattes):
        shown = list(
            mattes(
                numbered(range(30), scene),
                model=ColourModel(),
                prompts=PromptSet(version=1, prompts=(Prompt(text="red"),)),
                config=PipelineConfig(),
                controls=Controls(),
                keyframe_every=12,
            )
        )
        assert [matte.info.seq for _, matte in shown] == list(range(30))
        assert all(frame.info == matte.info for frame, matte in shown)
        overlaps[mattes] = np.mean(
            [iou(matte.alpha[..., 0], scene.red_alpha(m)) for m, (_, matte) in enumerate(shown)]
        )
    assert overlaps[best_mattes] > 0.95
    assert overlaps[best_mattes] >= overlaps[offline_mattes] - 0.002


def test_best_mattes_encode_both_ends_of_every_shot() -> None:
    scene, model = MovingScene(), ColourModel()
    blocks = np.random.default_rng(1).integers(0, 256, (11, 20, 3), np.uint8)
    other = blocks.repeat(16, axis=0).repeat(16, axis=1)
    pictures = [scene.frame(index) for index in range(8)]
    pictures[5:] = [Frame(info=frame.info, pixels=other) for frame in pictures[5:]]
    shown = list(
        best_mattes(
            pictures,
            model=model,
            prompts=PromptSet(version=1, prompts=(Prompt(text="red"),)),
            config=PipelineConfig(),
            controls=Controls(),
            keyframe_every=24,
        )
    )
    assert [matte.info.seq for _, matte in shown] == list(range(8))
    assert model.encoded == [0, 4, 5, 7]


def test_says_when_nothing_matches(
    tmp_path: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, output = tmp_path / "in.png", tmp_path / "out.png"
    cv2.imwrite(str(source), picture(0)[..., ::-1])
    arguments = ["cut", str(source), "--prompt", "disc", "--weights", str(tiny_weights)]
    assert main([*arguments, "-o", str(output)]) == 0
    assert not cv2.imread(str(output), cv2.IMREAD_UNCHANGED)[..., 3].any()
    assert "matches 'disc'" in " ".join(capsys.readouterr().out.split())


def test_says_which_words_the_model_does_not_know(
    tmp_path: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, output = tmp_path / "in.png", tmp_path / "out.png"
    cv2.imwrite(str(source), picture(0)[..., ::-1])
    arguments = ["cut", str(source), "--weights", str(tiny_weights), "-o", str(output)]
    assert main([*arguments, "--prompt", "dragon"]) == 0
    said = capsys.readouterr().out
    assert 'embedded does not know "dragon": its matte stays empty' in said
    assert "(--model sam-vit-b)" in said
    assert main([*arguments, "--prompt", "disc"]) == 0
    assert "does not know" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("source", "output", "prompt", "says"),
    [
        ("missing.mp4", "out.mov", "disc", "nothing there"),
        ("missing.png", "out.png", "disc", "cannot read the picture"),
        ("damaged.mp4", "out.mov", "disc", "cannot open"),
        ("damaged.png", "out.png", "disc", "got a file of another kind"),
        ("in.mkv", "out.avi", "disc", "expected an output ending in .mov"),
        ("in.mkv", "in.mkv", "disc", "expected an output other than the input"),
        ("in.png", "out.mov", "disc", "expected an output ending in .png"),
        ("in.mkv", "none/out.mov", "disc", "expected a file in a folder that exists"),
        ("in.mkv", "out.mov", "  ", "expected a prompt"),
    ],
)
def test_refuses_in_one_line(
    tmp_path: Path,
    sure_weights: Path,
    video: Path,
    capsys: pytest.CaptureFixture[str],
    source: str,
    output: str,
    prompt: str,
    says: str,
) -> None:
    (tmp_path / "in.mkv").write_bytes(video.read_bytes())
    cv2.imwrite(str(tmp_path / "in.png"), picture(0))
    for name in ("damaged.mp4", "damaged.png"):
        (tmp_path / name).write_bytes(bytes(range(256)) * 8)
    before = sorted(tmp_path.iterdir())
    arguments = ["cut", str(tmp_path / source), "--prompt", prompt, "--weights", str(sure_weights)]
    code = main([*arguments, "-o", str(tmp_path / output)])
    error = capsys.readouterr().err
    assert code == 2
    assert says in error
    assert error.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on a file's size there")
def test_full_disk_leaves_no_half_file(
    tmp_path: Path, sure_weights: Path, video: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import resource

    output = tmp_path / "out.mov"
    output.write_bytes(b"the last good one")
    arguments = ["cut", str(video), "--prompt", "disc", "--weights", str(sure_weights)]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (9000, limits[1]))
    try:
        code = main([*arguments, "-o", str(output)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    error = capsys.readouterr().err
    assert code == 2
    assert f"cannot write {output}" in error
    assert error.count("\n") == 1
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"the last good one"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals cannot be sent to a process there")
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_leaves_no_half_file(
    tmp_path: Path, sure_weights: Path, kind: signal.Signals
) -> None:
    source, output = tmp_path / "long.mkv", tmp_path / "out.mov"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("ffv1", rate=30)
        stream.height, stream.width, stream.pix_fmt = *SIZE_HW, "bgr0"
        for index in range(2000):
            frame = av.VideoFrame.from_ndarray(picture(index % 20), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with subprocess.Popen(
        [sys.executable, "-m", "promptmatte", "cut", str(source), "--prompt", "disc",
         "--weights", str(sure_weights), "-o", str(output)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        deadline_s = time.monotonic() + 120
        while not any(p.stat().st_size > 1000 for p in tmp_path.glob(".promptmatte-*")):
            assert process.poll() is None
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        process.send_signal(kind)
        out, error = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "was not written" in " ".join(out.split())
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == [source]
