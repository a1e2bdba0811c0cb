"""promptmatte points as a user runs it: files, and a live server, sender and reader, killed too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np
import plyfile
import pytest
from links_testing import Child, free_address
from points_peer import xyz_of
from promptmatte.cli import main
from promptmatte.frame import Matte
from promptmatte.links import open_client_link
from promptmatte.links.protocol import ClientLink
from promptmatte.points.exr import decoded_exr
from server_testing import Server, next_matte, promptmatte, status_of, wait_for

EVERYTHING = ("--prompt", "person", "--confidence-floor", "1", "--hold", "0", "--invert")
"""A matte that is full everywhere, whatever a network with random weights finds."""


@pytest.fixture
def depth(tmp_path: Path) -> Path:
    """Millimetres, 2 m everywhere but for a hole; half the picture's size."""
    pixels = np.full((45, 80), 2000, np.uint16)
    pixels[10:20, 30:40] = 0
    path = tmp_path / "depth.png"
    cv2.imwrite(str(path), pixels)
    return path


def test_files_become_a_cloud_in_colour(
    picture: Path, depth: Path, tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "out.ply"
    done = main(["points", str(picture), str(depth), *EVERYTHING, "--fov", "90", "-o", str(out),
                 "--weights", str(tiny_weights)])  # fmt: skip
    assert done == 0
    assert "3500 of 3600 points" in capsys.readouterr().out
    vertices = plyfile.PlyData.read(str(out))["vertex"].data
    assert len(vertices) == 3500
    np.testing.assert_allclose(vertices["z"], 2.0, rtol=1e-6)
    np.testing.assert_allclose([vertices["x"].min(), vertices["x"].max()], [-1.975, 1.975])
    assert (vertices["alpha"] == 255).all()
    colours = cv2.resize(cv2.imread(str(picture)), (80, 45), interpolation=cv2.INTER_AREA)
    first = vertices[0]
    assert [first["blue"], first["green"], first["red"]] == colours[0, 0].tolist()


@pytest.mark.parametrize("name", ["out.npy", "out.exr", "out.ply"])
def test_soft_alpha_is_kept_where_it_is_above_the_least(
    picture: Path, sure_weights: Path, tmp_path: Path, name: str
) -> None:
    points, out = tmp_path / "xyz.npy", tmp_path / name
    xyz = xyz_of(7, 90, 160)
    np.save(points, xyz[..., :3])
    texts = [
        "points",
        str(picture),
        str(points),
        "--prompt",
        "person",
        "--weights",
        str(sure_weights),
    ]
    png = tmp_path / "cut.png"
    assert main(["cut", str(picture), *texts[3:], "-o", str(png)]) == 0
    alpha = cv2.imread(str(png), cv2.IMREAD_UNCHANGED)[..., 3]
    kept = alpha / np.float32(255) >= 0.3
    kept[:2] = False  # no depth there
    assert kept.any()
    assert not kept[2:].all()
    assert main([*texts, "-o", str(out), "--min-alpha", "0.3"]) == 0
    if name == "out.ply":
        vertices = plyfile.PlyData.read(str(out))["vertex"].data
        np.testing.assert_array_equal(vertices["alpha"], alpha[kept])
        np.testing.assert_array_equal(vertices["y"], xyz[kept][:, 1])
        return
    texture = np.load(out) if name == "out.npy" else decoded_exr(out.read_bytes())
    assert (texture.shape, texture.dtype) == ((90, 160, 4), np.float32)
    np.testing.assert_array_equal(texture[kept][:, :3], xyz[kept][:, :3])
    np.testing.assert_allclose(texture[kept][:, 3], alpha[kept] / 255, rtol=1e-6)
    assert (texture[~kept] == 0).all()


def test_nothing_found_is_told(
    picture: Path, depth: Path, tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "out.ply"
    arguments = ["points", str(picture), str(depth), "--confidence-floor", "1", "--prompt", "cat",
                 "--fov", "60", "-o", str(out), "--weights", str(tiny_weights)]  # fmt: skip
    assert main(arguments) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "0 of 3600 points" in told
    assert "nothing in still.png matches 'cat'" in told
    assert len(plyfile.PlyData.read(str(out))["vertex"].data) == 0


PERSON = "--prompt person"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("", "COLOUR DEPTH --prompt TEXT -o OUT"),
        (f"C D {PERSON}", "COLOUR DEPTH --prompt TEXT -o OUT"),
        ("C D -o O.ply", "expected --prompt TEXT"),
        (f"C D {PERSON} -o O.obj", "ending in .ply, .npy, .exr"),
        (f"C D {PERSON} -o none/O.ply", "a folder that exists"),
        (f"C D {PERSON} -o O.ply", "--fov or --intrinsics for the depth image"),
        (f"C D {PERSON} -o O.ply --axes opengl", "with --axes and --depth-unit"),
        (f"C D {PERSON} -o O.ply --fov 200", "between 0 and 180"),
        (f"C D {PERSON} -o O.ply --intrinsics 1,2", "fx,fy,cx,cy"),
        (f"C D {PERSON} -o O.ply --intrinsics 500,500,640,360", "intrinsics of this size"),
        (f"C D {PERSON} -o O.ply --fov 60 --min-alpha 2", "0 to 1"),
        (f"C D {PERSON} -o O.ply --fov 60 --only 5", "1 to 4"),
        (f"C D {PERSON} -o O.ply --fov 60 --ply x.ply", "--xyz ADDRESS with --ply"),
        (f"C D {PERSON} -o O.ply --fov 60 --seconds 1", "--xyz ADDRESS with --seconds"),
        (f"C C {PERSON} -o O.ply --fov 60", "holds no depth"),
        (f"C none.png {PERSON} -o O.ply --fov 60", "cannot read the depth file"),
        (f"none.png D {PERSON} -o O.ply --fov 60", "cannot read the picture"),
        (f"C D.npy {PERSON} -o D.npy --fov 60", "an output other than the input"),
        ("C --xyz shm:a", "no files with --xyz"),
        (f"--xyz shm:a {PERSON}", "the server has them"),
        ("--xyz shm:a --threshold 0.3", "the server has them"),
        ("--xyz a", "expected a link such as"),
        ("--xyz zmq:tcp://127.0.0.1:5571", "--xyz as shm:NAME or touch:NAME"),
        ("--xyz shm:a --out cuda:a", "--out as shm:NAME or touch:NAME"),
        ("--xyz shm:promptmatte", "a name of its own for --xyz"),
        ("--xyz shm:a --link shm:b --out shm:b", "a name of its own for --out"),
        ("--xyz shm:a --apart -1", "milliseconds from 0"),
        ("--xyz shm:a --ply O.obj", "ending in .ply"),
        ("--xyz shm:a --ply none/O.ply", "a folder that exists"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    line: str, told: str, picture: Path, depth: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "C").write_bytes(picture.read_bytes())
    np.save("D.npy", np.ones((4, 4), np.float32))
    names = {"C": str(picture), "D": str(depth)}
    before = sorted(tmp_path.iterdir())
    assert main(["points", *(names.get(word, word) for word in line.split())]) == 2
    error = capsys.readouterr().err
    assert error.startswith("promptmatte: ")
    assert error.count("\n") == 1
    assert told in error
    assert sorted(tmp_path.iterdir()) == before


class Chain:
    """A server, `promptmatte points` and a reader of its texture; senders come and go."""

    def __init__(self, stack: ExitStack, folder: Path, weights: Path, *options: object) -> None:
        self.server_address, self.depth = free_address("shm"), free_address("shm")
        self.stack = stack
        self.server = stack.enter_context(
            Server("--source", self.server_address, "--out", self.server_address, *EVERYTHING,
                   "--weights", weights, log=folder / "server.log")
        )  # fmt: skip
        status_of(self.server_address, self.server)
        self.points = self.start(folder, *options)
        self.reader = open_client_link(self.depth)
        stack.callback(self.reader.close)

    def start(self, folder: Path, *options: object) -> Server:
        return self.stack.enter_context(
            Server("--xyz", self.depth, "--link", self.server_address, *options,
                   log=folder / "points.log", command="points")
        )  # fmt: skip

    def sender(self, stream: int, size: str = "64x48") -> Child:
        child = Child("points_peer.py", self.server_address[4:], self.depth[4:], str(stream), size)
        self.stack.callback(child.kill)
        assert child.line() == "ready"
        return child

    def texture_of(self, stream: int) -> Matte:
        """The next masked texture of this sender's frames."""
        for _ in range(300):
            matte = next_matte(self.reader)
            if matte.info.stream_id == stream:
                return matte
        raise AssertionError(f"none of stream {stream}: {self.points.said()}")


@pytest.fixture
def chain(tmp_path: Path, tiny_weights: Path) -> Iterator[Callable[..., Chain]]:
    with ExitStack() as stack:
        yield lambda *options: Chain(stack, tmp_path, tiny_weights, *options)


def assert_is_of_its_frame(matte: Matte) -> None:
    height, width = matte.size_hw
    expected = xyz_of(matte.info.seq, height, width)
    expected[:2] = 0
    np.testing.assert_array_equal(matte.alpha, expected)


def test_live_each_texture_is_of_its_own_frame_and_the_cloud_of_one(
    chain: Callable[..., Chain], tmp_path: Path
) -> None:
    path = tmp_path / "cloud.ply"
    ours = chain("--ply", path)
    ours.sender(11)
    seqs = []
    for _ in range(40):
        matte = ours.texture_of(11)
        assert_is_of_its_frame(matte)
        seqs.append(matte.info.seq)
    assert seqs == sorted(set(seqs))
    wait_for(path.exists)
    promptmatte("set", "fill=picture", "--link", ours.server_address)

    def coloured() -> list[np.ndarray]:
        vertices = plyfile.PlyData.read(str(path))["vertex"].data
        return [vertices] if "red" in vertices.dtype.names else []

    [vertices] = wait_for(coloured)
    assert len(vertices) == 46 * 64
    assert len(set(vertices["x"].tolist())) == 1
    assert vertices["red"].std() > 10
    ours.points.process.send_signal(signal.SIGTERM)
    assert ours.points.process.wait(20) == (0 if os.name == "posix" else 1)
    if os.name == "posix":
        assert "pictures went out" in ours.points.said()


def test_live_a_killed_sender_and_its_successor_of_another_size(
    chain: Callable[..., Chain],
) -> None:
    ours = chain()
    wait_for(lambda: "no XYZ frames come" in ours.points.said())
    for stream, size in ((11, "64x48"), (12, "64x48"), (13, "320x90")):
        sender = ours.sender(stream, size)
        matte = ours.texture_of(stream)
        assert_is_of_its_frame(matte)
        assert f"{matte.size_hw[1]}x{matte.size_hw[0]}" == size
        sender.kill()
    wait_for(lambda: ours.points.said().count("no XYZ frames come") >= 2)
    assert "is the XYZ aligned to the colour picture?" in ours.points.said()
    assert ours.points.process.poll() is None


def test_live_a_killed_server_and_killed_points_come_back(
    chain: Callable[..., Chain], tmp_path: Path, tiny_weights: Path
) -> None:
    ours = chain()
    ours.sender(11)
    ours.texture_of(11)
    ours.server.kill()
    wait_for(lambda: "no mattes come" in ours.points.said())
    ours.server = ours.stack.enter_context(
        Server("--source", ours.server_address, "--out", ours.server_address, *EVERYTHING,
               "--weights", tiny_weights, log=tmp_path / "server2.log")
    )  # fmt: skip
    while ours.reader.latest_matte() is not None:
        pass
    assert_is_of_its_frame(ours.texture_of(11))
    ours.points.kill()
    ours.points = ours.start(tmp_path)
    while ours.reader.latest_matte() is not None:
        pass
    assert_is_of_its_frame(ours.texture_of(11))


def test_live_the_example_gets_its_points_back(chain: Callable[..., Chain]) -> None:
    ours = chain("--min-alpha", "0.9")
    example = Path(__file__).parents[1] / "examples" / "depth_camera_shm.py"
    done = subprocess.run(
        [sys.executable, example, ours.server_address, ours.depth, "10"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == 10
    assert all(line.endswith(": 76800 of 76800 points") for line in lines)


def test_live_to_another_session_for_a_time(chain: Callable[..., Chain]) -> None:
    out = free_address("shm")
    ours = chain("--out", out, "--seconds", "60", "--min-alpha", "1")
    ours.sender(11)
    reader: ClientLink = open_client_link(out)
    try:
        assert_is_of_its_frame(next_matte(reader))
    finally:
        reader.close()
    assert ours.reader.latest_matte() is None


def test_live_two_for_one_name_are_one_too_many(chain: Callable[..., Chain]) -> None:
    ours = chain()
    wait_for(lambda: "no XYZ frames come" in ours.points.said())
    done = promptmatte("points", "--xyz", ours.depth, "--link", ours.server_address)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "in use" in done.stderr


def test_live_it_ends_by_itself(session: str) -> None:
    done = promptmatte("points", "--xyz", session, "--link", free_address("shm"), "--seconds", "3")
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert lines[0] == "waiting for XYZ frames and mattes"
    assert "no XYZ frames come" in lines[1]
    assert lines[-1].startswith("points: 0 pictures went out")
