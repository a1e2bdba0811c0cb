"""OSC in and out over real sockets, with a client of another make."""

from __future__ import annotations

import logging
import random
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("pythonosc", reason='needs python-osc: pip install "promptmatte[osc]"')

import subprocess

from osc_peer import DEADLINE_S, OscPeer, bundle, message
from promptmatte.clock import RealClock
from promptmatte.config import PipelineConfig
from promptmatte.control.commands import command_handler
from promptmatte.control.osc import OscServer
from promptmatte.control.osc_faults import MOST_LINES, WINDOW_NS, Faults
from promptmatte.control.osc_feedback import MOST_SUBSCRIBERS, SUBSCRIBED_NS, Target, Targets
from promptmatte.control.osc_map import PLACED, SHARED
from promptmatte.control.osc_places import NOTHING, Places
from promptmatte.controls import CONTROLS, Control, Value
from promptmatte.endpoint import Endpoint
from promptmatte.errors import CommandError, ConfigError
from promptmatte.frame import Matte
from promptmatte.links import open_client_link
from promptmatte.links.protocol import ClientLink
from promptmatte.models.choice import ModelChoice
from promptmatte.pipeline import Pipeline
from promptmatte.prompts import Prompt
from promptmatte.sources import open_source
from server_testing import Server, next_matte, promptmatte, status_of, wait_for

ANY_PORT = Endpoint(host="127.0.0.1", port=0)


@pytest.fixture
def pipeline() -> Pipeline:
    """A pipeline that is not started: commands change and tell its state all the same."""
    clock = RealClock()
    return Pipeline(
        open_source=lambda: open_source("test:", clock=clock, links=[]),
        model=ModelChoice(device="cpu"),
        links=[],
        config=PipelineConfig(),
        clock=clock,
    )


@pytest.fixture
def server(pipeline: Pipeline) -> Iterator[OscServer]:
    osc = OscServer(endpoint=ANY_PORT, clock=RealClock())
    osc.serve(command_handler(pipeline, threading.Event()))
    yield osc
    osc.close()
    osc.close()


@pytest.fixture
def peer(server: OscServer) -> Iterator[OscPeer]:
    with OscPeer(server.address) as peer:
        yield peer


def until(pipeline: Pipeline, *texts: str) -> None:
    """Waits for these prompts, "" for a place that is empty."""
    wanted = tuple(Prompt.parse(text) if text else NOTHING for text in texts)
    wait_for(lambda: _prompts(pipeline) == wanted)


def _prompts(pipeline: Pipeline) -> tuple[Prompt, ...]:
    return tuple(map(Prompt.of_entry, pipeline.status()["prompts"]))


def test_a_subscriber_hears_every_parameter_with_its_default(peer: OscPeer) -> None:
    wanted = {f"{n}/{name}" for n in range(1, 5) for name in PLACED} | {*SHARED}
    values = peer.wait_until(lambda: wanted <= set(peer.values))
    for address in wanted:
        row = CONTROLS.get(address.rpartition("/")[2])
        if row is not None:
            assert values[address] == (
                (row.default,) if row.kind != "float" else (pytest.approx(row.default),)
            )
    assert values["1/prompt"] == values["4/negative"] == ("",)
    assert values["model"] == ("embedded",)


def test_how_the_mattes_go_is_told(peer: OscPeer) -> None:
    wanted = {"fps", "latency_ms", "age_ms", "state", *(f"{n}/confidence" for n in range(1, 5))}
    values = peer.wait_until(lambda: wanted <= set(peer.values))
    assert values["4/confidence"] == values["fps"] == (0.0,)
    assert values["state"][0]


def test_every_control_is_set_by_its_address(pipeline: Pipeline, peer: OscPeer) -> None:
    for row in CONTROLS.values():
        peer.send(f"3/{row.name}" if row.scope == "channel" else row.name, _other(row))

    def all_set() -> bool:
        channel, stream = pipeline.controls.channels[2], pipeline.controls.stream
        return all(
            getattr(channel if row.scope == "channel" else stream, row.name) == _other(row)
            for row in CONTROLS.values()
        )

    wait_for(all_set)
    assert pipeline.controls.channels[0] == pipeline.controls.channels[3]
    peer.send("threshold", 0.25)
    wait_for(lambda: {c.threshold for c in pipeline.controls.channels} == {0.25})


def _other(row: Control) -> Value:
    """A value that is not the default."""
    return True if row.kind == "bool" else row.choices[-1] if row.choices else row.high


def test_prompts_keep_their_number(pipeline: Pipeline, peer: OscPeer) -> None:
    peer.send("3/prompt", "roter Schal über 猫")
    until(pipeline, "", "", "roter Schal über 猫")
    peer.send("1/prompt", "person - hair")
    until(pipeline, "person - hair", "", "roter Schal über 猫")
    peer.wait_for("3/prompt", lambda text: text == "roter Schal über 猫")
    peer.wait_for("1/prompt", lambda text: text == "person - hair")
    peer.wait_for("2/prompt", lambda text: text == "")
    peer.send("1/prompt", "")
    until(pipeline, "", "", "roter Schal über 猫")
    peer.send("3/prompt", "")
    until(pipeline)
    peer.wait_for("3/prompt", lambda text: text == "")


def test_a_bundle_sets_all_prompts_at_once(pipeline: Pipeline, peer: OscPeer) -> None:
    version = pipeline.status()["prompts_version"]
    peer.send_raw(
        bundle(*(message(f"/promptmatte/{n}/prompt", text) for n, text in enumerate("abcd", 1)))
    )
    until(pipeline, "a", "b", "c", "d")
    assert pipeline.status()["prompts_version"] == version + 1


def test_prompts_of_another_surface_are_kept(pipeline: Pipeline, peer: OscPeer) -> None:
    peer.send("1/prompt", "cat")
    until(pipeline, "cat")
    pipeline.set_prompts((Prompt(text="dog", also=("fox",)), Prompt(text="sky")))
    peer.wait_for("1/prompt", lambda text: text == "dog + fox")
    peer.send("2/prompt", "tree")
    until(pipeline, "dog + fox", "tree")


def test_a_negative_stays_with_its_prompt_until_it_is_taken_away(
    pipeline: Pipeline, peer: OscPeer
) -> None:
    peer.send("1/negative", "hair, hat")
    peer.wait_for("1/negative", lambda text: text == "hair, hat")
    peer.send("1/prompt", "person - bag")
    wait_for(
        lambda: _prompts(pipeline) == (Prompt(text="person", negative=("bag", "hair", "hat")),)
    )
    peer.wait_for("1/prompt", lambda text: text == "person - bag")
    peer.send("1/prompt", "man")
    wait_for(lambda: _prompts(pipeline) == (Prompt(text="man", negative=("hair", "hat")),))
    peer.send("1/negative", "")
    until(pipeline, "man")


def test_what_the_feedback_says_changes_nothing_when_sent_back() -> None:
    places = Places()
    entries = places.changed([], 1, "negative", "hair")
    entries = places.changed(entries, 3, "prompt", "person + dog - tail")
    entries = places.changed(entries, 1, "prompt", "man")
    entries.append({"text": "sky", "also": [], "negative": ["cloud"]})
    for place, (prompt, negative) in enumerate(places.shown(entries), 1):
        assert places.changed(entries, place, "negative", negative) == entries
        assert places.changed(entries, place, "prompt", prompt) == entries


def test_bad_messages_are_named_once_and_the_rest_goes_on(
    pipeline: Pipeline, peer: OscPeer, caplog: pytest.LogCaptureFixture
) -> None:
    peer.wait_for("state", bool)
    chance = random.Random(5)
    with caplog.at_level(logging.WARNING):
        for size in (0, 1, 3, 8, 60, 500, 20_000, 60_000):
            peer.send_raw(chance.randbytes(size))
            peer.send_raw(b"/promptmatte/" + chance.randbytes(size))
        peer.send_raw(bundle(message("/promptmatte/1/threshold", 0.3))[:-3])
        for _ in range(2000):
            peer.send("1/threshold", 7.0)
        for saying, word in (
            (("1/threshold", "NaN"), "'NaN'"),
            (("2/prompt", "x" * 300), "at most 200 characters"),
            (("start", 1), "component"),
            (("model", "no-such-model"), "no-such-model"),
        ):
            peer.wait_for("error", lambda text, word=word: word in text, saying=saying)
        peer.send("1/threshold", 0.75)
        wait_for(lambda: pipeline.controls.channels[0].threshold == 0.75)
    lines = [record.getMessage() for record in caplog.records]
    assert 5 <= len(lines) <= 4 * MOST_LINES
    assert sum("got 7.0" in line and "more" not in line for line in lines) <= 4
    assert all("\n" not in line and len(line) < 400 for line in lines)
    assert not any("internal" in line for line in lines)


def test_a_flood_of_values_ends_with_the_last(pipeline: Pipeline, peer: OscPeer) -> None:
    for step in range(3000):
        peer.send("2/feather", step % 50)
        if step % 100 == 0:
            peer.receive()

    def last() -> bool:
        peer.send("2/feather", 12.5)
        return pipeline.controls.channels[1].feather == 12.5

    wait_for(last)


def test_suggestions_come_back(pipeline: Pipeline, peer: OscPeer) -> None:
    peer.wait_for("state", bool)
    peer.send("suggest", 1)
    wait_for(lambda: pipeline._inquiry is not None)
    assert pipeline._inquiry is not None
    pipeline._inquiry.fail("there is no picture")
    peer.wait_for("error", lambda text: text == "there is no picture")


def test_fixed_receivers_and_subscribers_at_another_port_get_feedback(pipeline: Pipeline) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        nobody = gone.getsockname()[1]
    with OscPeer(("127.0.0.1", 9)) as fixed, OscPeer(("127.0.0.1", 9)) as other:
        receivers = [Endpoint(host="127.0.0.1", port=port) for port in (nobody, fixed.port)]
        osc = OscServer(endpoint=ANY_PORT, feedback=receivers, clock=RealClock())
        try:
            osc.serve(command_handler(pipeline, threading.Event()))
            wait_for(lambda: fixed.receive() and "4/hold" in fixed.values)
            with OscPeer(osc.address) as peer:
                peer.send("subscribe", nobody)  # refused by the system each time: nobody listens
                peer.send("subscribe", other.port)
                wait_for(lambda: other.receive() and "4/hold" in other.values)
                peer.send("1/hold", 2)
                wait_for(lambda: other.receive() and other.values["1/hold"] == (2.0,))
                wait_for(lambda: fixed.receive() and fixed.values["1/hold"] == (2.0,))
                fixed.values.clear()
                peer.send("refresh")
                wait_for(lambda: fixed.receive() and "3/feather" in fixed.values)
                peer.send("unsubscribe", other.port)
                wait_for(lambda: other.receive() is None)
                wait_for(lambda: fixed.receive() and "fps" in fixed.values)
        finally:
            osc.close()


def test_subscribers_are_few_and_expire() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        targets = Targets([], out=out)
        for port in range(1, MOST_SUBSCRIBERS + 1):
            targets.subscribe(("127.0.0.1", 1000 + port), None, 5)
        targets.subscribe(("127.0.0.1", 1001), None, 10)
        with pytest.raises(CommandError):
            targets.subscribe(("127.0.0.1", 99), None, 10)
        targets.expire(5 + SUBSCRIBED_NS)
        assert [target.address for target in targets.all] == [("127.0.0.1", 1001)]
        targets.unsubscribe(("127.0.0.1", 5), 1001)
        assert targets.all == ()


def test_what_cannot_be_sent_is_said_and_no_more() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        targets = Targets([Target(out=out, address=("127.0.0.1", 0))], out=out)
        (fault,) = targets.send({"/a": (1,), "/b": (2,)})
        assert "127.0.0.1:0" in fault


def test_faults_are_counted_in_windows(caplog: pytest.LogCaptureFixture) -> None:
    faults = Faults()
    assert faults.add("a", 0)
    assert not any(faults.add("a", now_ns) for now_ns in range(5))
    for number in range(MOST_LINES + 3):
        faults.add(f"b{number}", 6)
    assert faults.add("a", WINDOW_NS)
    lines = [record.getMessage() for record in caplog.records]
    assert lines[MOST_LINES:] == [
        "a (5 times more)", "OSC: 4 other messages were refused", "a"
    ]  # fmt: skip


def test_the_socket_is_free_again_after_close(pipeline: Pipeline) -> None:
    osc = OscServer(endpoint=ANY_PORT, clock=RealClock())
    host, port = osc.address
    with pytest.raises(ConfigError, match=rf"127.0.0.1:{port}.*--osc PORT"):
        OscServer(endpoint=Endpoint(host=host, port=port), clock=RealClock())
    osc.serve(command_handler(pipeline, threading.Event()))
    osc.close()
    OscServer(endpoint=Endpoint(host=host, port=port), clock=RealClock()).close()


def test_a_running_server_is_played_by_osc(
    session: str, picture: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    show = tmp_path / "show.toml"
    show.write_text(f"source = '{picture.as_posix()}'\nosc = '0'\n", encoding="utf-8")
    with Server(
        "--config", show, "--weights", tiny_weights, "--device", "cpu", "--out", session,
        log=tmp_path / "log",
    ) as server:  # fmt: skip
        status_of(session, server)
        said = wait_for(lambda: [s for s in server.said().split() if s.startswith("127.0.0.1:")])
        with OscPeer(("127.0.0.1", int(said[0].rpartition(":")[2]))) as peer:
            peer.wait_for("state", lambda text: text == "running")
            peer.send("confidence_floor", 0.0)
            peer.send("2/prompt", "everything")
            peer.wait_for("2/confidence", lambda sure: sure == 1.0)
            assert peer.values["1/confidence"] == (0.0,)
            for _ in range(500):
                peer.send("1/threshold", 99.0)
                peer.send_raw(b"\xff" * 100)
            link = open_client_link(session)
            try:
                matte = wait_for(lambda: _only_second(link))
            finally:
                link.close()
            assert matte.alpha.shape[-1] == 4
            assert promptmatte("prompt", "sky", "--link", session).returncode == 0
            peer.wait_for("1/prompt", lambda text: text == "sky")
            peer.wait_for("2/prompt", lambda text: text == "")
            peer.wait_for("fps", lambda rate: rate > 0)
        assert promptmatte("stop", "--link", session).returncode == 0
        assert server.process.wait(60) == 0
        assert server.said().count("99.0") <= 6, server.said()


def _only_second(link: ClientLink) -> Matte | None:
    """The next matte, if it is everything in the second channel and nothing in the others."""
    matte: Matte = next_matte(link)
    if matte.alpha.ndim < 3:
        return None
    others = matte.alpha[..., [0, 2, 3]]
    return matte if others.max() == 0 and matte.alpha[..., 1].min() > 0 else None


def test_bad_options_end_with_one_line(picture: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        for options, word in (
            (["--osc", port], "--osc PORT"),
            (["--osc", "nonsense"], "--osc as a port"),
            (["--osc-feedback", "127.0.0.1:9000"], "expected --osc with"),
            (["--osc", "0", "--osc-feedback", "x"], "--osc-feedback as a port"),
        ):
            done = promptmatte("serve", "--source", picture, *options)
            assert done.returncode == 2
            assert word in done.stderr
            assert "Traceback" not in done.stderr


def test_without_python_osc_the_extra_is_named(picture: Path) -> None:
    program = (
        "import sys; sys.modules['pythonosc'] = None; from promptmatte.cli import main; "
        f"sys.exit(main(['serve', '--source', {str(picture)!r}, '--osc']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=DEADLINE_S,
        check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert 'pip install "promptmatte[osc]"' in done.stderr
