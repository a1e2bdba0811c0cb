"""Streams on a Ray cluster of several nodes' processes: placed, killed, brought back."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import links_testing
import pytest
from links_testing import free_address
from promptmatte.cli import main
from promptmatte.clock import RealClock
from promptmatte.cluster.connection import installed_ray
from promptmatte.cluster.supervisor import Supervisor
from promptmatte.cluster.worker_spec import WorkerSpec
from promptmatte.commands.control import ask
from promptmatte.errors import CommandError, LinkError
from promptmatte.links import open_client_link
from promptmatte.links.protocol import CommandHandler
from promptmatte.models.choice import ModelChoice
from promptmatte.prompts import Prompt
from promptmatte.stream_spec import StreamSpec
from server_testing import Server

pytest.importorskip("ray")

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="ray.cluster_utils needs a Unix"),
    # Ray leaves pipes and processes of its own to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

DEADLINE_S = 180.0


def wait_for(look: Callable[[], Any]) -> Any:
    return links_testing.wait_for(look, DEADLINE_S)


class Show:
    """Two streams on two nodes of a cluster that has three, the third one's room being spare."""

    def __init__(self, weights: Path) -> None:
        from ray.cluster_utils import Cluster

        self.ray = installed_ray()
        self.cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "include_dashboard": False},
            shutdown_at_exit=False,
        )
        self.nodes = [self.cluster.add_node(num_cpus=1) for _ in range(2)]
        self.cluster.wait_for_nodes()
        self.ray.init(address=self.cluster.address, log_to_driver=False)
        self.links = {name: free_address("shm") for name in ("left", "right")}
        self.workers = [
            WorkerSpec(
                name=name,
                streams=(
                    StreamSpec(
                        name=name, source="test:", out=(link,), prompts=(Prompt(text="person"),)
                    ),
                ),
            )
            for name, link in self.links.items()
        ]
        model = ModelChoice(device="cpu", weights=weights)
        self.supervisor = Supervisor(self.ray, self.workers, model=model, clock=RealClock())
        self.stop = threading.Event()
        self.handle: CommandHandler = self.supervisor.handler(self.stop)
        self.supervisor.start()

    def close(self) -> None:
        self.supervisor.close()
        self.ray.shutdown()
        self.cluster.shutdown()

    def worker(self, name: str) -> dict[str, Any]:
        return dict(self.supervisor.status()["workers"][name])

    def runs(self, name: str, restarts: int) -> dict[str, Any] | None:
        worker, stream = self.worker(name), self.supervisor.status()["streams"][name]
        at_work = worker["restarts"] == restarts and stream.get("matte_fps", 0.0) > 0
        return worker if at_work and stream["state"] == "running" else None

    def status(self, name: str) -> dict[str, Any]:
        return dict(self.handle({"command": "status", "stream": name})["status"])


@pytest.fixture(scope="module")
def show(sure_weights: Path) -> Iterator[Show]:
    running = Show(sure_weights)
    yield running
    running.close()


def test_every_stream_runs_on_a_node_of_its_own_and_its_link_carries_its_mattes(show: Show) -> None:
    pids = {name: wait_for(lambda name=name: show.runs(name, 0))["pid"] for name in show.links}
    assert len(set(pids.values())) == 2
    assert os.getpid() not in pids.values()
    nodes = {actor_node(show, pid) for pid in pids.values()}
    assert len(nodes) == 2
    for address in show.links.values():
        link = open_client_link(address)
        assert wait_for(lambda link=link: link.latest_matte(timeout_s=0.5)).alpha.any()
        link.close()


def test_commands_reach_a_stream_wherever_it_runs(show: Show) -> None:
    with pytest.raises(CommandError, match="a stream of left, right in the field stream; got none"):
        show.handle({"command": "status"})
    with pytest.raises(CommandError, match="got 'middle'"):
        show.handle({"command": "status", "stream": "middle"})
    with pytest.raises(CommandError, match="threshold"):
        show.handle({"command": "set", "controls": {"threshold": 7}, "stream": "left"})
    show.handle({"command": "set", "controls": {"threshold": 0.7}, "stream": "right"})
    assert show.status("right")["controls"]["channels"][0] == {"threshold": 0.7}
    assert show.status("left")["controls"]["channels"][0] == {}
    streams = show.status("left")["streams"]
    assert {name: entry["worker"] for name, entry in streams.items()} == {
        "left": "left", "right": "right",
    }  # fmt: skip


def test_a_killed_worker_comes_back_with_what_was_set_last_while_the_other_goes_on(
    show: Show,
) -> None:
    link = open_client_link(show.links["left"])
    link.request({"command": "prompt", "prompts": [{"text": "red jacket", "also": ["hat"]}]})
    link.request({"command": "set", "controls": {"threshold": 0.3, "encode_hz": 3}})
    link.close()
    before, other = show.worker("left")["pid"], show.status("right")
    os.kill(before, signal.SIGKILL)
    after = wait_for(lambda: show.runs("left", 1))
    assert after["pid"] != before
    assert after["lost"]
    status = show.status("left")
    assert [entry["text"] for entry in status["prompts"]] == ["red jacket"]
    assert status["prompts"][0]["also"] == ["hat"]
    assert status["controls"]["channels"][0] == {"threshold": 0.3}
    assert status["controls"]["stream"] == {"encode_hz": 3.0}
    now = show.status("right")
    assert show.worker("right")["restarts"] == 0
    assert now["mattes_out"] > other["mattes_out"]


def test_a_lost_node_s_stream_comes_back_on_another_node(show: Show) -> None:
    pid = show.worker("right")["pid"]
    lost = actor_node(show, pid)
    spare = show.cluster.add_node(num_cpus=1)
    show.cluster.wait_for_nodes()
    [node] = [node for node in show.nodes if node.node_id == lost]
    show.cluster.remove_node(node, allow_graceful=False)
    after = wait_for(lambda: show.runs("right", 1))
    assert actor_node(show, after["pid"]) == spare.node_id
    assert show.status("right")["controls"]["channels"][0] == {"threshold": 0.7}
    assert show.worker("left")["restarts"] == 1


def test_the_command_serves_a_show_and_tells_how_it_is(
    show: Show, tmp_path: Path, sure_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, link, own = tmp_path / "show.toml", free_address("shm"), free_address("shm")
    path.write_text(
        f'device = "cpu"\nweights = "{sure_weights.as_posix()}"\n[[stream]]\nname = "solo"\n'
        f'source = "test:"\nout = ["{own}"]\n[[worker]]\nname = "solo"\nnum_cpus = 0\n',
        encoding="utf-8",
    )
    options = (path, "--address", show.cluster.address, "--link", link)
    with Server("serve", *options, command="cluster", log=tmp_path / "log") as server:

        def told() -> dict[str, Any] | None:
            assert server.process.poll() is None, server.said()
            try:
                cluster = ask(link, {"command": "cluster"})["cluster"]
            except LinkError:  # not yet
                return None
            return cluster if cluster["streams"]["solo"]["state"] == "running" else None

        worker = wait_for(told)["workers"]["solo"]
        assert main(["cluster", "status", "--link", link]) == 0
        shown = capsys.readouterr().out.splitlines()[-1].split()
        assert shown[:2] == ["solo", "running"]
        assert shown[-2:] == [str(worker["pid"]), "0"]
        ask(link, {"command": "stop"})
        assert server.process.wait(60) == 0, server.said()


def actor_node(show: Show, pid: int) -> str:
    """The node of a live actor's process."""
    from ray._private.state import actors

    return str(
        next(
            actor["Address"]["NodeID"]
            for actor in actors().values()
            if actor["State"] == "ALIVE" and actor.get("Pid", actor.get("pid")) == pid
        )
    )
