"""Points live over real shared memory: what goes out, what is said, the file that is kept."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import plyfile
import pytest
import touch_peer
from links_testing import free_address, wait_for
from promptmatte.errors import LinkError
from promptmatte.frame import Frame, FrameInfo, Matte
from promptmatte.links import open_client_link, open_server_link
from promptmatte.points.cloud_file import CloudFile
from promptmatte.points.geometry import DepthCamera, Intrinsics
from promptmatte.points.inputs import MatteInput, Turns, XyzInput
from promptmatte.points.live import LivePoints
from promptmatte.points.masked import Masker
from promptmatte.points.pairing import KEPT, Pairing
from sources_testing import SimulatedClock

SIZE_HW = (6, 8)


def info(seq: int) -> FrameInfo:
    return FrameInfo(stream_id=4, seq=seq, pts_ns=0, captured_ns=10**9 + seq * 33_000_000)


def xyz_of(seq: int, size_hw: tuple[int, int] = SIZE_HW) -> np.ndarray:
    rows, columns = np.mgrid[: size_hw[0], : size_hw[1]].astype(np.float32)
    return np.dstack([columns, rows + seq, rows + 1, rows * 0]).astype(np.float32)


def matte_of(seq: int, fill_channels: int = 0, kind: str = "uint8") -> Matte:
    """Full on the right half."""
    alpha = np.zeros((*SIZE_HW, 4 if kind == "float32" else 1), kind)
    alpha[:, 4:] = 255
    fill = np.full((*SIZE_HW, fill_channels), seq, np.uint8) if fill_channels else None
    return Matte(
        info=info(seq), alpha=alpha, anchor_seq=seq - 1, age_ms=33.0, confidence=(0.75,),
        prompts_version=5, fill=fill,
    )  # fmt: skip


class Rig:
    """A server of mattes, a sender of XYZ, the points between them, a reader of what comes out."""

    def __init__(
        self, *, kind: str, camera: DepthCamera | None = None, ply: Path | None = None
    ) -> None:
        address, depth = free_address(kind), free_address("shm")
        self.clock = SimulatedClock()
        self.server = open_server_link(address)
        points = open_server_link(depth)
        client = open_client_link(address)
        self.sender = open_client_link(depth)
        self.links = [self.sender, client, points, self.server]
        self.live = LivePoints(
            mattes=MatteInput(client, with_fill=ply is not None),
            xyz=XyzInput(points),
            send=points.send_matte,
            masker=Masker(min_alpha=0.5),
            pairing=Pairing(apart_ns=25_000_000),
            clock=self.clock,
            camera=camera,
            cloud_file=CloudFile(ply) if ply else None,
        )
        wait_for(lambda: (self.step() and False) or client.status.connected)

    def step(self) -> bool:
        self.live.step()
        return True

    def send_xyz(self, seq: int, pixels: np.ndarray) -> None:
        self.sender.send_frame(Frame(info=info(seq), pixels=pixels))

    def out(self) -> Matte:
        """What came out, after as many steps as it takes."""
        return wait_for(lambda: self.step() and self.sender.latest_matte())

    def passed(self, seq: int, **options: int) -> Matte:
        """The result for an XYZ frame and its own matte."""
        self.send_xyz(seq, xyz_of(seq))
        self.server.send_matte(matte_of(seq, **options))
        return self.out()

    def said(self, text: str) -> bool:
        """Whether the news, which must be new, hold these words."""
        news = self.live.news()
        assert news is not None
        assert text in news
        return True

    def close(self) -> None:
        self.live.close()
        for link in self.links:
            link.close()


@pytest.fixture(params=["shm", "zmq"])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    rig = Rig(kind=request.param)
    yield rig
    rig.close()


@pytest.fixture
def shm_rig() -> Iterator[Rig]:
    rig = Rig(kind="shm")
    yield rig
    rig.close()


def test_the_masked_texture_comes_back_under_the_frames_identity(rig: Rig) -> None:
    for seq in range(3 * KEPT):
        out = rig.passed(seq)
        assert out.info == info(seq)
        assert (out.anchor_seq, out.confidence, out.prompts_version) == (seq - 1, (0.75,), 5)
        assert (out.alpha.dtype, out.alpha.shape) == (np.float32, (*SIZE_HW, 4))
        assert (out.alpha[:, :4] == 0).all()
        np.testing.assert_array_equal(out.alpha[:, 4:, :3], xyz_of(seq)[:, 4:, :3])
        assert (out.alpha[:, 4:, 3] == 1).all()
    assert rig.live.counts.paired == 3 * KEPT
    assert rig.said("points go out")
    assert rig.live.news() is None


def test_a_late_matte_gets_its_own_frame(rig: Rig) -> None:
    late = KEPT - 1
    for seq in range(3 * KEPT):
        rig.send_xyz(seq, xyz_of(seq))
        if seq < late:
            rig.step()
            continue
        rig.step()
        rig.server.send_matte(matte_of(seq - late))
        out = rig.out()
        assert out.info == info(seq - late)
        np.testing.assert_array_equal(out.alpha[:, 4:, 1], xyz_of(seq - late)[:, 4:, 1])


@pytest.mark.parametrize("camera", [None, DepthCamera(lens=70.0)])
def test_a_steady_stream_allocates_nothing_of_the_size_of_a_picture(
    camera: DepthCamera | None,
) -> None:
    rig = Rig(kind="shm", camera=camera)
    try:
        xyz, alpha = xyz_of(0, (200, 300)), np.full((300, 400, 4), 255, np.uint8)
        out = np.empty((200, 300, 4), np.float32)

        def turn(seq: int) -> None:
            rig.send_xyz(seq, xyz)
            rig.server.send_matte(replace(matte_of(seq), alpha=alpha))
            wait_for(lambda: rig.step() and rig.live.counts.paired == seq + 1)
            wait_for(lambda: rig.sender._session.latest_matte(out=out))

        for seq in range(KEPT):
            turn(seq)
        tracemalloc.start()
        turn(KEPT)
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        for seq in range(KEPT + 1, 2 * KEPT):
            turn(seq)
        # numpy converts types in blocks of some 10 KiB
        assert tracemalloc.get_traced_memory()[1] - before < alpha.nbytes / 4
    finally:
        tracemalloc.stop()
        rig.close()


def test_depth_in_red_becomes_points() -> None:
    lens = Intrinsics(fx=10.0, fy=10.0, cx=4.0, cy=0.0)
    rig = Rig(kind="shm", camera=DepthCamera(lens=lens, axes="opengl"))
    try:
        depth = np.full((*SIZE_HW, 4), 2.0, np.float32)
        depth[0, 4, 0] = np.nan
        rig.send_xyz(1, depth)
        rig.server.send_matte(matte_of(1))
        out = rig.out().alpha
        np.testing.assert_allclose(out[1, 7], [0.6, -0.2, -2, 1], rtol=1e-6)
        assert (out[0, 4] == 0).all()
    finally:
        rig.close()


def test_sizes_may_change_and_differ(rig: Rig) -> None:
    for seq, size_hw in enumerate([(6, 8), (12, 16), (3, 4), (5, 16), (6, 8)]):
        rig.send_xyz(seq, xyz_of(seq, size_hw))
        rig.server.send_matte(matte_of(seq))
        out = rig.out()
        assert out.alpha.shape == (*size_hw, 4)
        np.testing.assert_array_equal(out.alpha[:, -1, 1], xyz_of(seq, size_hw)[:, -1, 1])
        assert (out.alpha[:, 0] == 0).all()
        if size_hw in ((5, 16), (6, 8)):
            assert rig.said("XYZ is 16x5 and the matte 8x6" if seq == 3 else "points go out")


def test_it_says_what_is_missing_and_when_it_goes_on(shm_rig: Rig) -> None:
    rig = shm_rig
    assert rig.said("waiting")
    rig.clock.sleep_s(3)
    assert rig.said("no XYZ frames come")
    rig.send_xyz(1, xyz_of(1))
    rig.step()
    assert rig.said("no mattes come")
    rig.server.send_matte(matte_of(1))
    rig.out()
    assert rig.said("points go out")
    for seq in range(100, 100 + KEPT + 2):
        rig.send_xyz(seq, xyz_of(seq))
        rig.server.send_matte(matte_of(seq + 9000))
        rig.step()
        rig.clock.sleep_s(0.5)
    assert rig.said("captured 297033 ms apart")
    assert rig.live.news() is None
    rig.passed(20_000)
    assert rig.said("points go out")


def test_frames_of_another_format_are_refused_and_it_goes_on(shm_rig: Rig) -> None:
    rig = shm_rig
    rig.send_xyz(1, np.zeros((*SIZE_HW, 3), np.uint8))
    rig.step()
    assert rig.said("expected XYZ frames as rgba32f; got rgb8")
    assert rig.live.rejected == 1
    rig.passed(2)
    assert rig.said("points go out")


def test_mattes_that_are_none_are_refused_and_it_goes_on(shm_rig: Rig) -> None:
    rig = shm_rig
    rig.send_xyz(1, xyz_of(1))
    rig.server.send_matte(matte_of(1, kind="float32"))
    wait_for(lambda: rig.step() and rig.live.rejected == 1)
    assert rig.said("expected mattes of 8 bits; got rgba32f")
    rig.passed(2)
    assert rig.said("points go out")


def test_an_output_without_room_is_told_and_it_goes_on(shm_rig: Rig) -> None:
    rig, send = shm_rig, shm_rig.live._send

    def full(matte: Matte) -> None:
        raise LinkError("no room")

    rig.live._send = full
    rig.send_xyz(1, xyz_of(1))
    rig.server.send_matte(matte_of(1))
    wait_for(lambda: rig.step() and rig.live.rejected == 1)
    assert rig.said("no room")
    rig.live._send = send
    rig.passed(2)
    assert rig.said("points go out")


def test_touchdesigners_shared_mem_tops_send_xyz_and_get_the_texture() -> None:
    fresh = touch_peer.fresh_name()
    name = next(fresh)
    address = free_address("shm")
    server, client = open_server_link(address), open_client_link(address)
    points = open_server_link(f"touch:{name}")
    live = LivePoints(
        mattes=MatteInput(client, with_fill=False), xyz=XyzInput(points), send=points.send_matte,
        masker=Masker(min_alpha=0.5), pairing=Pairing(apart_ns=10**12), clock=SimulatedClock(),
    )  # fmt: skip
    try:
        sender = touch_peer.Sender(name)
        sender.show(109, 8, 6, xyz_of(3)[::-1].tobytes())
        late = replace(info(1), captured_ns=time.monotonic_ns() + 10**11)

        def paired() -> bool:
            server.send_matte(replace(matte_of(1), info=late))
            live.step()
            return live.counts.paired == 1

        wait_for(paired)
        receiver = touch_peer.Receiver(f"{name}_matte")
        (width, height, code), pixels = receiver.look()
        assert (width, height, code) == (8, 6, 109)
        np.testing.assert_array_equal(pixels[::-1][:, 4:, :3], xyz_of(3)[:, 4:, :3])
        assert (pixels[:, :4] == 0).all()
    finally:
        for link in (client, points, server):
            link.close()
    sender.go()
    with pytest.raises(StopIteration):
        next(fresh)


@pytest.mark.parametrize("fill_channels", [0, 3])
def test_the_newest_cloud_is_kept_with_the_colours_of_its_matte(
    tmp_path: Path, fill_channels: int
) -> None:
    path = tmp_path / "cloud.ply"
    rig = Rig(kind="shm", ply=path)
    try:
        for seq in range(5):
            rig.passed(seq, fill_channels=fill_channels)
        wait_for(lambda: rig.live._cloud_file.written == 1)
        vertices = plyfile.PlyData.read(str(path))["vertex"].data
        assert vertices["y"].max() == 5  # of the first; the second is not due
        # more mattes than are kept, so that their memory has been used again
        for seq in range(100, 101 + 2 * KEPT):
            rig.server.send_matte(matte_of(seq, fill_channels))
            rig.step()
    finally:
        rig.close()
    vertices = plyfile.PlyData.read(str(path))["vertex"].data
    assert len(vertices) == 24
    assert vertices["y"].max() == 9
    assert ("red" in vertices.dtype.names) == bool(fill_channels)
    if fill_channels:
        assert (vertices["red"] == 4).all()
    assert [p.name for p in tmp_path.iterdir()] == ["cloud.ply"]


def test_a_file_that_cannot_be_written_is_told_and_tried_again(tmp_path: Path) -> None:
    folder = tmp_path / "clouds"
    folder.mkdir()
    rig = Rig(kind="shm", ply=folder / "a.ply")
    try:
        folder.rmdir()
        rig.passed(1)
        wait_for(lambda: rig.live._cloud_file.error)
        assert rig.said("points go out; cannot write")
        folder.mkdir()
        rig.clock.sleep_s(2)
        rig.passed(2)
        wait_for(lambda: rig.live._cloud_file.written)
        assert rig.said("points go out")
    finally:
        rig.close()
    assert (folder / "a.ply").exists()


def test_arrays_are_used_in_turn_and_made_anew_for_another_size() -> None:
    turns = Turns()
    assert turns.next() is None
    turns.read(np.zeros((2, 2, 4)))
    places = []
    for _ in range(2 * (KEPT + 1)):
        place = turns.next()
        places.append(place)
        turns.read(place)
    assert len({id(place) for place in places}) == KEPT + 1
    assert all(a is b for a, b in zip(places, places[KEPT + 1 :], strict=False))
    turns.read(np.zeros((3, 3, 1), np.uint8))
    assert (turns.next().shape, turns.next().dtype) == ((3, 3, 1), np.uint8)


def test_frames_are_read_into_the_same_memory() -> None:
    address = free_address("shm")
    link, sender = open_server_link(address), open_client_link(address)
    try:
        reader, seen = XyzInput(link), []
        for seq in range(3 * (KEPT + 1)):
            sender.send_frame(Frame(info=info(seq), pixels=xyz_of(seq)))
            frame = wait_for(reader.read)
            np.testing.assert_array_equal(frame.pixels, xyz_of(seq))
            seen.append(frame.pixels.__array_interface__["data"][0])
        assert len(set(seen[1:])) == KEPT + 1
    finally:
        sender.close()
        link.close()
