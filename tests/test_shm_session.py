"""Sessions: both directions, resize, restart, kill -9, take-over, nothing left behind."""

import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest
import shm_peer
from promptmatte_shm import (
    ClientSession,
    FrameFormatError,
    LayoutError,
    Matte,
    ServerSession,
    SessionBusyError,
    SessionNameError,
    SessionNotFoundError,
    ShmError,
)
from promptmatte_shm import channel as channel_module
from promptmatte_shm.directory import DIRECTORY_BYTES, Channel, Directory, directory_name
from promptmatte_shm.pulse import Pulse
from promptmatte_shm.ring import LAYOUT_VERSION
from promptmatte_shm.segment import Segment, unlink


@pytest.fixture
def name() -> Iterator[str]:
    yield from shm_peer.fresh_name()


def connected(client: ClientSession) -> ClientSession:
    shm_peer.until(lambda: client.status.connected)
    return client


def test_frames_and_mattes_keep_their_identity(name: str) -> None:
    with ServerSession(name) as server, ClientSession(name) as client:
        connected(client)
        sent = shm_peer.frame(4, seq=11)
        client.send_frame(sent)
        frame = server.latest_frame(shm_peer.DEADLINE_S)
        assert frame is not None
        assert frame.info == sent.info
        np.testing.assert_array_equal(frame.pixels, sent.pixels)
        assert not frame.pixels.flags.writeable
        assert server.latest_frame() is None
        told = shm_peer.matte(200, seq=11)
        server.send_matte(told)
        matte = client.latest_matte(shm_peer.DEADLINE_S)
        assert matte is not None
        assert (matte.info, matte.anchor_seq, matte.age_ms) == (told.info, 10, 12.5)
        assert (matte.confidence, matte.prompts_version) == ((0.25, 1.0), 3)
        np.testing.assert_array_equal(matte.alpha, told.alpha)
        assert client.latest_matte(0.01) is None
        shm_peer.until(lambda: server.status.connected)
        assert (server.status.sent, server.status.received) == (1, 1)
        assert (client.status.sent, client.status.received) == (1, 1)


def test_several_clients_read_the_same_mattes(name: str) -> None:
    with ServerSession(name) as server, ClientSession(name) as one, ClientSession(name) as two:
        server.send_matte(shm_peer.matte(1, seq=5))
        for client in (one, two):
            matte = client.latest_matte(shm_peer.DEADLINE_S)
            assert matte is not None
            assert matte.info.seq == 5


def test_pictures_may_grow_and_shrink_at_any_time(name: str) -> None:
    rng = np.random.default_rng(3)
    with ServerSession(name) as server, ClientSession(name) as client:
        connected(client)
        for seq in range(30):
            height, width = (int(n) for n in rng.integers(1, 200, 2))
            client.send_frame(shm_peer.frame(seq, (height, width, 4), seq))
            frame = server.latest_frame(shm_peer.DEADLINE_S)
            assert frame is not None
            assert (frame.size_hw, frame.info.seq) == ((height, width), seq)
            assert (frame.pixels == seq).all()
            server.send_matte(shm_peer.matte(seq, (width, height, 1), seq))
            matte = client.latest_matte(shm_peer.DEADLINE_S)
            assert matte is not None
            assert (matte.size_hw, matte.info.seq) == ((width, height), seq)
            assert (matte.alpha == seq).all()
        assert len(shm_peer.leftovers(name)) in (0, 3), "one ring a direction, and the directory"


def test_a_fill_that_is_switched_on_and_off_keeps_the_larger_slots(name: str) -> None:
    rings = []
    with ServerSession(name) as server, ClientSession(name) as client:
        for seq in range(12):
            fill_channels = (0, 3, 0, 4, 0, 0)[seq % 6]
            server.send_matte(shm_peer.matte(seq, (60, 80, 1), seq, fill_channels))
            matte = client.latest_matte(shm_peer.DEADLINE_S)
            assert matte is not None
            assert (matte.alpha == seq).all()
            assert (matte.fill is None) == (fill_channels == 0)
            if matte.fill is not None:
                assert matte.fill.shape == (60, 80, fill_channels)
                assert (matte.fill == seq).all()
            rings.append(server._directory.record(Channel.MATTES))
    assert len({ring.generation for ring in rings}) == 3
    assert len({ring.generation for ring in rings[3:]}) == 1


def test_a_client_may_provide_the_arrays_and_go_without_the_fill(name: str) -> None:
    alpha, fill = np.zeros((6, 8, 1), np.uint8), np.zeros((6, 8, 3), np.uint8)
    with ServerSession(name) as server, ClientSession(name) as client:
        server.send_matte(shm_peer.matte(7, fill_channels=3))
        matte = client.latest_matte(shm_peer.DEADLINE_S, out=alpha, fill_out=fill)
        assert matte is not None
        assert np.shares_memory(matte.alpha, alpha)
        assert np.shares_memory(matte.fill, fill)
        assert (alpha == 7).all()
        assert (fill == 7).all()
        server.send_matte(shm_peer.matte(8, fill_channels=3))
        matte = client.latest_matte(with_fill=False, out=alpha, fill_out=fill)
        assert matte is not None
        assert matte.fill is None
        assert (alpha == 8).all()
        assert (fill == 7).all(), "it was not even copied"
        server.send_matte(shm_peer.matte(9, fill_channels=4))
        matte = client.latest_matte(fill_out=fill)
        assert matte is not None
        assert (matte.fill == 9).all()
        assert (fill == 7).all(), "it did not fit"
        assert fill.flags.writeable


def test_a_client_may_start_first_and_outlive_servers(name: str) -> None:
    with ClientSession(name) as client:
        assert not client.status.connected
        client.send_frame(shm_peer.frame())
        assert client.latest_matte(0.02) is None
        for run in range(3):
            with ServerSession(name) as server:
                shm_peer.until(lambda: client.status.connected)
                server.send_matte(shm_peer.matte(run))
                matte = client.latest_matte(shm_peer.DEADLINE_S)
                assert matte is not None
                assert matte.alpha.flat[0] == run
                client.send_frame(shm_peer.frame(run))
                frame = server.latest_frame(shm_peer.DEADLINE_S)
                assert frame is not None
                assert frame.pixels.flat[0] == run
            shm_peer.until(lambda: not client.status.connected)
            assert shm_peer.leftovers(name) == []
        assert client.status.sent == 3


def test_a_second_server_is_refused_and_the_first_goes_on(name: str) -> None:
    with ServerSession(name) as server, ClientSession(name) as client:
        with pytest.raises(SessionBusyError, match=name):
            ServerSession(name)
        server.send_matte(shm_peer.matte(8))
        assert client.latest_matte(shm_peer.DEADLINE_S) is not None


def test_a_beating_heart_keeps_the_session_where_lock_files_differ(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    with ServerSession(name):
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        with pytest.raises(SessionBusyError, match="process"):
            ServerSession(name)


def test_a_killed_server_is_replaced_and_its_clients_go_on(name: str) -> None:
    with ClientSession(name) as client:
        with shm_peer.peer("serve", name) as process:
            assert client.request({"n": 1}, shm_peer.DEADLINE_S)["ok"] is True
            assert client.latest_matte(shm_peer.DEADLINE_S) is not None
            process.kill()
            process.wait()
        shm_peer.until(lambda: not client.status.connected)
        while client.latest_matte() is not None:
            pass
        with ServerSession(name) as server:
            server.serve(lambda command: {"ok": True, "run": 2})
            shm_peer.until(lambda: client.status.connected)
            assert client.latest_matte(0.02) is None, "the dead server's mattes are gone"
            server.send_matte(shm_peer.matte(250))
            matte = client.latest_matte(shm_peer.DEADLINE_S)
            assert matte is not None
            assert matte.alpha.flat[0] == 250
            assert client.request({}, shm_peer.DEADLINE_S)["run"] == 2
            client.send_frame(shm_peer.frame(77))
            frame = server.latest_frame(shm_peer.DEADLINE_S)
            assert frame is not None
            assert frame.pixels.flat[0] == 77


def test_a_killed_servers_last_matte_is_not_shown_to_a_new_client(name: str) -> None:
    with shm_peer.peer("serve", name) as process:
        process.kill()
        process.wait()
    with ClientSession(name) as client:
        assert client.latest_matte(0.3) is None
        assert not client.status.connected
    with ServerSession(name), ClientSession(name) as client:
        assert connected(client).latest_matte(0.02) is None


def test_a_new_server_does_not_take_a_dead_clients_frame_for_live(name: str) -> None:
    with shm_peer.peer("serve", name) as server_process, shm_peer.peer("send", name, "5"):
        server_process.kill()
        server_process.wait()
    with ServerSession(name) as server:
        assert server._directory.record(Channel.FRAMES) is not None
        assert server.latest_frame(0.1) is None


def test_a_killed_reader_and_one_that_exits_harm_nobody(name: str) -> None:
    with shm_peer.peer("serve", name):
        with shm_peer.peer("read", name) as process:
            process.kill()
            process.wait()
        with shm_peer.peer("read", name, "once") as process:
            _, error = process.communicate(timeout=shm_peer.DEADLINE_S)
            assert (process.returncode, error) == (0, "")
        with ClientSession(name) as client:
            for _ in range(20):
                assert client.latest_matte(shm_peer.DEADLINE_S) is not None
            assert client.request({"a": 1}, shm_peer.DEADLINE_S)["ok"] is True
            assert client.status.rejected == 0
    with ServerSession(name):
        pass


def test_no_torn_matte_is_ever_returned(name: str) -> None:
    with shm_peer.peer("flood", name), ClientSession(name) as client:
        read, filled, until_s = 0, 0, time.monotonic() + shm_peer.DEADLINE_S
        while (read < 100 or client.status.torn == 0) and time.monotonic() < until_s:
            matte = client.latest_matte(0.1)
            if matte is not None:
                assert matte.alpha.min() == matte.alpha.max() == matte.info.seq % 256
                read += 1
                assert (matte.fill is not None) == bool(matte.info.seq % 2)
                if matte.fill is not None:
                    assert matte.fill.min() == matte.fill.max() == matte.info.seq % 256
                    filled += 1
        assert read > 20
        assert filled > 5
        assert client.status.torn > 0
        assert client.status.missed > 0
        assert client.status.rejected == 0
    with ServerSession(name):
        pass


def test_the_newer_of_two_senders_has_the_frames_and_the_older_gets_them_back(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_module, "SILENCE_S", 0.3)
    with ServerSession(name) as server, ClientSession(name) as old:
        connected(old).send_frame(shm_peer.frame(1))
        assert server.latest_frame(shm_peer.DEADLINE_S) is not None
        with ClientSession(name) as new:
            connected(new).send_frame(shm_peer.frame(2))
            old.send_frame(shm_peer.frame(3))
            frame = server.latest_frame(shm_peer.DEADLINE_S)
            assert frame is not None
            assert frame.pixels.flat[0] == 2
            assert server.latest_frame(0.02) is None
            assert (old.status.sent, new.status.sent) == (1, 1)

            def back() -> bool:
                old.send_frame(shm_peer.frame(4))
                return old.status.sent == 2

            shm_peer.until(back)
            frame = server.latest_frame(shm_peer.DEADLINE_S)
            assert frame is not None
            assert frame.pixels.flat[0] == 4
            new.send_frame(shm_peer.frame(5))
            assert new.status.sent == 1, "it rests now: the older one is active"
        old.send_frame(shm_peer.frame(6))
        assert old.status.sent == 3


def test_a_sender_gets_the_frames_back_at_once_when_the_newer_one_leaves(name: str) -> None:
    with ServerSession(name) as server, ClientSession(name) as old:
        connected(old).send_frame(shm_peer.frame(1))
        with ClientSession(name) as new:
            connected(new).send_frame(shm_peer.frame(2))
            old.send_frame(shm_peer.frame(3))
            assert old.status.sent == 1
        old.send_frame(shm_peer.frame(4))
        assert old.status.sent == 2
        frame = server.latest_frame(shm_peer.DEADLINE_S)
        assert frame is not None
        assert frame.pixels.flat[0] == 4


def test_a_live_server_heals_its_directory(name: str) -> None:
    rng = np.random.default_rng(4)
    with ServerSession(name) as server, ClientSession(name) as client:
        server.serve(lambda command: {"ok": True})
        connected(client)
        segment = Segment.attach(directory_name(name), DIRECTORY_BYTES)
        for round_ in range(10):
            segment.write(0, rng.bytes(512 + 2000))
            server.send_matte(shm_peer.matte(round_))
            client.send_frame(shm_peer.frame(round_))
            client.latest_matte()
            server.latest_frame()
            assert client.status.rejected == 0

        def healed() -> bool:
            server.send_matte(shm_peer.matte(99))
            matte = client.latest_matte(0.01)
            return matte is not None and matte.alpha.flat[0] == 99

        shm_peer.until(healed)
        assert client.request({}, shm_peer.DEADLINE_S) == {"ok": True}
        with ClientSession(name) as late:
            connected(late)


@pytest.mark.parametrize("size", [1, 4096, DIRECTORY_BYTES])
def test_a_foreign_segment_of_the_name_is_replaced(name: str, size: int) -> None:
    foreign = Segment.create(directory_name(name), size)
    foreign.write(0, np.random.default_rng(6).bytes(min(size, 5000)))
    with ClientSession(name) as client:
        assert not client.status.connected
        with ServerSession(name) as server:
            connected(client)
            server.send_matte(shm_peer.matte(3))
            assert client.latest_matte(shm_peer.DEADLINE_S) is not None


def test_a_session_that_is_being_made_is_no_fault(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    memory = Segment.create(directory_name(name), DIRECTORY_BYTES)
    try:
        with ClientSession(name) as client:
            assert not client.status.connected
            with pytest.raises(SessionNotFoundError):
                client.request({}, timeout_s=0.02)
        assert not any(memory.read(0, 64))
    finally:
        unlink(directory_name(name))
    assert not caplog.records


def test_another_layout_version_is_not_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with ServerSession(name) as server:
        server.serve(lambda command: {"ok": True})
        monkeypatch.setattr("promptmatte_shm.directory.LAYOUT_VERSION", LAYOUT_VERSION - 1)
        with pytest.raises(ShmError, match="same PromptMatte version"):
            Directory.attach(name)
        with ClientSession(name) as client:
            assert client.latest_matte() is None
            with pytest.raises(LayoutError, match="same PromptMatte version"):
                client.request({}, timeout_s=0.02)
            monkeypatch.undo()
            assert client.request({}, shm_peer.DEADLINE_S) == {"ok": True}


def test_a_size_without_memory_is_an_error_and_the_session_goes_on(name: str) -> None:
    with ServerSession(name) as server, ClientSession(name) as client:
        huge = np.lib.stride_tricks.as_strided(
            np.zeros(1, np.uint8), (1 << 20, 1 << 20, 1), (0, 0, 0)
        )
        template = shm_peer.matte()
        with pytest.raises(ShmError, match="room"):
            server.send_matte(
                Matte(
                    info=template.info,
                    alpha=huge,
                    anchor_seq=0,
                    age_ms=0.0,
                    confidence=(),
                    prompts_version=0,
                )
            )
        server.send_matte(template)
        assert client.latest_matte(shm_peer.DEADLINE_S) is not None


def test_values_that_cannot_be_carried_are_refused(name: str) -> None:
    with ServerSession(name) as server:
        with pytest.raises(FrameFormatError):
            server.send_matte(shm_peer.matte(seq=2**63))
        server.send_matte(shm_peer.matte())


def test_closing_is_final_and_safe_to_repeat(name: str) -> None:
    server, client = ServerSession(name), ClientSession(name)
    server.serve(lambda command: {"ok": True})
    with pytest.raises(ShmError, match="once"):
        server.serve(lambda command: {"ok": True})
    for end in (client, server):
        end.close()
        end.close()
    assert not client.status.connected
    with pytest.raises(ShmError, match="closed"):
        server.send_matte(shm_peer.matte())
    with pytest.raises(ShmError, match="closed"):
        client.latest_matte()


def test_a_program_that_forgets_to_close_leaves_nothing(name: str) -> None:
    code = (
        "import sys, shm_peer\n"
        "from promptmatte_shm import ClientSession, ServerSession\n"
        "server, client = ServerSession(sys.argv[1]), ClientSession(sys.argv[1])\n"
        "shm_peer.until(lambda: client.status.connected)\n"
        "server.send_matte(shm_peer.matte()); client.send_frame(shm_peer.frame())\n"
        "assert server.latest_frame(9) and client.latest_matte(9)\n"
        "print(len(shm_peer.leftovers(sys.argv[1])))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, name],
        cwd=shm_peer.__file__.rpartition("shm_peer.py")[0],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == ("3\n" if shm_peer.SHM.is_dir() else "0\n")
    assert shm_peer.leftovers(name) == []


def test_bad_names_are_refused_on_both_sides() -> None:
    for session in (ServerSession, ClientSession):
        with pytest.raises(SessionNameError):
            session("no/slash")


@pytest.mark.parametrize("slot_count", [1, 65])
def test_too_few_or_many_slots_are_refused(name: str, slot_count: int) -> None:
    for session in (ServerSession, ClientSession):
        with pytest.raises(ShmError, match="2 to 64 slots"):
            session(name, slot_count=slot_count)
    with ServerSession(name):
        pass


def test_a_pulse_goes_by_its_own_clock() -> None:
    now = [0.0]
    pulse = Pulse(1.0, lambda: now[0])
    assert not pulse.look(5), "a first look shows no life"
    now[0] = 0.5
    assert pulse.look(6)
    now[0] = 1.4
    assert pulse.look(6)
    assert not pulse.silent
    now[0] = 1.5
    assert not pulse.look(6)
    assert pulse.silent
    assert pulse.look(0), "any change counts, also a wrap or a new server's"


def test_unlinking_what_is_gone_is_quiet(name: str) -> None:
    unlink(directory_name(name))
