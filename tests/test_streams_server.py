"""Several streams in one server: each with its own source, links, prompts; one model for all."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from links_testing import free_address, wait_for
from moving_scene import ColourModel
from promptmatte import frame_failures
from promptmatte.clock import RealClock
from promptmatte.config import PipelineConfig
from promptmatte.control.streams import streams_handler
from promptmatte.controls import Controls
from promptmatte.errors import CommandError, ConfigError
from promptmatte.frame import Frame
from promptmatte.links import open_client_link
from promptmatte.matte.draft import Draft
from promptmatte.matte.stream import MatteStream
from promptmatte.models.embedded import EmbeddedModel
from promptmatte.prompts import Prompt
from promptmatte.stream_server import StreamServer
from promptmatte.stream_spec import StreamSpec
from server_testing import Server, promptmatte, status_of
from server_testing import wait_for as wait_long_for

NAMES = ("cam1", "cam2", "cam3")


class ThreeStreams:
    """A server of three; the third one's source is a folder that is not there at first."""

    def __init__(self, folder: Path, picture: Path) -> None:
        self.late, self.picture = folder / "late.png", picture
        self.links = {name: free_address("shm") for name in NAMES}
        sources = {"cam1": "test:person", "cam2": "test:", "cam3": str(self.late)}
        specs = [
            StreamSpec(
                name=name, source=sources[name], out=(self.links[name],),
                prompts=(Prompt(text="red"),), controls=Controls().replaced({"encode_hz": 5}),
            )
            for name in NAMES
        ]  # fmt: skip
        self.model = ColourModel()
        self.stop = threading.Event()
        self.server = StreamServer(
            specs, model=self.model, clock=RealClock(), stop=self.stop,
            config=PipelineConfig(retry_s=(0.05, 0.2)),
        )  # fmt: skip
        self.server.serve()
        self.server.start()

    def ask(self, link: str, **command: Any) -> dict[str, Any]:
        client = open_client_link(self.links[link])
        try:
            return client.request(command, timeout_s=10.0)
        finally:
            client.close()

    def status(self, name: str) -> dict[str, Any]:
        return self.server.pipelines[name].status()


@pytest.fixture
def three(tmp_path: Path, picture: Path) -> Iterator[ThreeStreams]:
    streams = ThreeStreams(tmp_path, picture)
    yield streams
    streams.server.close()
    names = {thread.name for thread in threading.enumerate()}
    assert not any(name.startswith("promptmatte-") for name in names)
    for pipeline in streams.server.pipelines.values():
        status = pipeline.status()
        assert status["frames_in"] == status["mattes_out"] + sum(status["dropped"].values())


def test_all_streams_share_a_model_and_its_thread_and_a_lost_one_disturbs_none(
    three: ThreeStreams,
) -> None:
    wait_for(lambda: min(three.status(name)["mattes_out"] for name in NAMES[:2]) > 10)
    assert three.status("cam3")["state"].startswith("source lost: expected a file")
    assert three.model.threads == {"promptmatte-keyframe"}
    before = {name: three.status(name)["mattes_out"] for name in NAMES[:2]}
    shutil.copy(three.picture, three.late)
    wait_for(lambda: three.status("cam3")["mattes_out"] > 3)
    assert all(three.status(name)["mattes_out"] > count for name, count in before.items())
    assert all(three.status(name)["errors"] is None for name in NAMES)


def test_errors_in_one_stream_leave_the_others_and_the_server_is_over_only_with_all(
    three: ThreeStreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow, failing = MatteStream.follow, set[str]()

    def sometimes(stream: MatteStream, frame: Frame, **options: Any) -> Draft | None:
        kind = "small" if frame.size_hw == (90, 160) else "large"
        if kind in failing:
            raise MemoryError(f"{kind} ones fail")
        return follow(stream, frame, **options)

    monkeypatch.setattr(MatteStream, "follow", sometimes)
    monkeypatch.setattr(frame_failures, "MOST_TIME_NS", 300_000_000)
    shutil.copy(three.picture, three.late)
    wait_for(lambda: min(three.status(name)["mattes_out"] for name in NAMES) > 3)
    failing.add("small")
    wait_for(lambda: three.status("cam3")["state"] == "failed: MemoryError: small ones fail")
    before = {name: three.status(name)["mattes_out"] for name in NAMES[:2]}
    wait_for(lambda: all(three.status(name)["mattes_out"] > n + 5 for name, n in before.items()))
    assert not three.server.over
    failing.add("large")
    wait_for(lambda: three.server.over)
    failing.clear()
    wait_for(lambda: all(three.status(name)["state"] == "running" for name in NAMES))
    assert not three.server.over


def test_a_link_carries_the_mattes_of_its_stream_alone(three: ThreeStreams) -> None:
    shutil.copy(three.picture, three.late)
    sizes = {}
    for name, address in three.links.items():
        link = open_client_link(address)
        sizes[name] = {
            wait_for(lambda link=link: link.latest_matte(0.5)).alpha.shape[:2] for _ in range(5)
        }
        link.close()
    assert sizes["cam3"] == {(90, 160)}
    assert (90, 160) not in sizes["cam1"] | sizes["cam2"]


def test_a_command_is_for_the_stream_of_its_link_or_the_one_it_names(three: ThreeStreams) -> None:
    three.ask("cam1", command="prompt", prompts=[{"text": "blue"}])
    three.ask("cam1", command="set", controls={"threshold": 0.7}, stream="cam2")
    texts = {name: three.status(name)["prompts"][0]["text"] for name in NAMES}
    assert texts == {"cam1": "blue", "cam2": "red", "cam3": "red"}
    set_in = [
        name for name in NAMES if "threshold" in three.status(name)["controls"]["channels"][0]
    ]
    assert set_in == ["cam2"]
    reply = three.ask("cam3", command="status", stream="cam1")
    assert (reply["status"]["stream"], reply["status"]["source"]) == ("cam1", "test:person")
    assert list(reply["status"]["streams"]) == list(NAMES)
    assert reply["status"]["streams"]["cam2"]["source"] == "test:"
    refused = three.ask("cam1", command="status", stream="cam9")
    assert not refused["ok"]
    assert "a stream of cam1, cam2, cam3" in refused["error"]


def test_a_broken_link_of_one_stream_leaves_the_others_theirs(three: ThreeStreams) -> None:
    wait_for(lambda: min(three.status(name)["mattes_out"] for name in NAMES[:2]) > 3)
    three.server._links["cam1"][0].close()
    wait_for(lambda: any("link_error" in cause for cause in three.status("cam1")["dropped"]))
    before = three.status("cam2")["mattes_out"]
    wait_for(lambda: three.status("cam2")["mattes_out"] > before + 5)


def test_without_a_stream_a_command_needs_one_that_is_alone_or_is_for_all() -> None:
    def answers(name: str) -> Any:
        return lambda command: {"ok": True, "by": name, "command": dict(command)}

    several = streams_handler({"a": answers("a"), "b": answers("b")}, brief=dict)
    with pytest.raises(CommandError, match="a stream of a, b in the field stream; got none"):
        several({"command": "prompt", "prompts": []})
    assert several({"command": "ping"})["ok"]
    assert several({"command": "x", "stream": "b"}) == {
        "ok": True, "by": "b", "command": {"command": "x"},
    }  # fmt: skip
    with pytest.raises(CommandError, match="got 3"):
        several({"command": "x", "stream": 3})
    alone = streams_handler({"a": answers("a")}, brief=dict)
    assert alone({"command": "prompt"})["by"] == "a"


def test_streams_have_names_and_outputs_of_their_own() -> None:
    first = StreamSpec(name="a", source="test:", out=("shm:x",))
    for second, fault in (
        (StreamSpec(name="a", source="test:", out=("shm:y",)), "name of its own; got 'a'"),
        (StreamSpec(name="b", source="test:", out=("shm:x",)), "output of its own; got 'shm:x'"),
    ):
        with pytest.raises(ConfigError, match=fault):
            StreamServer(
                [first, second], model=ColourModel(), clock=RealClock(), stop=threading.Event()
            )
    with pytest.raises(ConfigError, match=r"share as 0\.1 to 10"):
        StreamSpec(name="a", source="test:", out=(), share=0.0)
    with pytest.raises(ConfigError, match="name of a stream"):
        StreamSpec(name="a b", source="test:", out=())


SHOW = """\
device = "cpu"
weights = "{weights}"
[controls]
encode_hz = 4
[[stream]]
name = "cam1"
source = "test:person"
out = ["{one}"]
[[stream.prompt]]
text = "person"
[[stream]]
name = "cam2"
source = "test:"
out = ["{two}"]
share = 2
[stream.controls]
encode_hz = 2
[[stream.prompt]]
text = "dog"
threshold = 0.4
"""


def test_a_show_of_two_streams_is_served_and_followed(tmp_path: Path, sure_weights: Path) -> None:
    links = [free_address("shm") for _ in range(2)]
    path = tmp_path / "show.toml"
    text = SHOW.format(weights=sure_weights.as_posix(), one=links[0], two=links[1])
    path.write_text(text, encoding="utf-8")
    with Server("--config", path, log=tmp_path / "log") as server:
        status = [status_of(link, server) for link in links]
        assert [one["stream"] for one in status] == ["cam1", "cam2"]
        assert [one["prompts"][0]["text"] for one in status] == ["person", "dog"]
        assert status[0]["controls"]["stream"] == {"encode_hz": 4.0}
        assert status[1]["controls"]["stream"] == {"encode_hz": 2.0}
        assert status[1]["controls"]["channels"][0] == {"threshold": 0.4}
        path.write_text(text.replace('"dog"', '"cat"').replace("share = 2", "share = 3"))
        wait_long_for(lambda: status_of(links[1], server)["prompts"][0]["text"] == "cat")
        wait_long_for(
            lambda: status_of(links[0], server)["config"]["at_next_start"] == ["stream cam2"]
        )
        assert status_of(links[0], server)["prompts"][0]["text"] == "person"
        client = open_client_link(links[1])
        assert client.request({"command": "stop"})["ok"]
        client.close()
        assert server.process.wait(60) == 0, server.said()


@pytest.mark.parametrize(
    ("change", "options", "fault"),
    [
        ('source = "test:"\n', (), "no source outside of [[stream]]"),
        ("", ("--prompt", "car"), "no --prompt with a show of [[stream]]"),
        ("", ("--source", "test:"), "no --source with a show of [[stream]]"),
    ],
)
def test_what_is_not_said_for_which_stream_is_refused(
    change: str, options: tuple[str, ...], fault: str, tmp_path: Path
) -> None:
    path = tmp_path / "show.toml"
    path.write_text(change + '[[stream]]\nname = "cam1"\nsource = "test:"\n', encoding="utf-8")
    done = promptmatte("serve", "--config", path, *options)
    assert done.returncode == 2
    assert fault in done.stderr


def test_scenes_of_one_pass_are_those_of_single_ones(sure_weights: Path) -> None:
    import numpy as np
    from moving_scene import MovingScene
    from promptmatte.models.embedded import load_network
    from promptmatte.prompts import PromptSet

    model = EmbeddedModel(load_network(sure_weights)[0])  # in torch, as on a card
    frames = [MovingScene(size_hw=size).frame(3) for size in ((90, 160), (90, 160), (160, 90))]
    embedding = model.embed(PromptSet(prompts=(Prompt(text="person"),)))
    for frame, scene in zip(frames, model.encode_many(frames), strict=True):
        assert (scene.info, scene.size_hw) == (frame.info, frame.size_hw)
        alone = model.decode(model.encode(frame), embedding)
        together = model.decode(scene, embedding)
        np.testing.assert_allclose(together.logits, alone.logits, atol=1e-3)
        np.testing.assert_allclose(together.confidence, alone.confidence, atol=1e-4)
