"""Links whose port or name is taken when the server starts, and free later."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Iterator

import pytest
from links_testing import free_address, wait_for
from moving_scene import ColourModel, MovingScene
from promptmatte.clock import RealClock
from promptmatte.config import PipelineConfig
from promptmatte.errors import LinkError
from promptmatte.links import open_client_link, open_server_link
from promptmatte.links.protocol import ServerLink
from promptmatte.prompts import Prompt
from promptmatte.stream_server import StreamServer
from promptmatte.stream_spec import StreamSpec

KINDS = ("zmq", "shm")
OTHER = {"zmq": "shm", "shm": "zmq"}


@pytest.fixture(params=KINDS)
def taken(request: pytest.FixtureRequest) -> Iterator[ServerLink]:
    """A link of somebody else."""
    link = open_server_link(free_address(request.param))
    yield link
    link.close()


def served(source: str, *links: str, wait_for_links: bool) -> StreamServer:
    prompts = (Prompt(text="red"),)
    server = StreamServer(
        [StreamSpec(name="main", source=source, out=links, prompts=prompts)],
        model=ColourModel(), clock=RealClock(), stop=threading.Event(),
        config=PipelineConfig(retry_s=(0.05, 0.2)), wait_for_links=wait_for_links,
    )  # fmt: skip
    server.serve()
    server.start()
    return server


def test_the_others_go_on_until_a_taken_one_is_free(taken: ServerLink) -> None:
    free = free_address(OTHER[taken.address[:3]])
    server = served("test:", free, taken.address, wait_for_links=True)
    reader, late = open_client_link(free), open_client_link(taken.address)
    try:
        for _ in range(5):
            assert wait_for(lambda: reader.latest_matte(0.5)) is not None
        told = reader.request({"command": "status"})["status"]
        mine = {link["address"]: link for link in told["links"]}
        assert mine[free]["error"] is None
        assert re.search("in use|taken", mine[taken.address]["error"])
        assert mine[taken.address]["errors"] > 0
        assert mine[taken.address]["sent"] == 0
        assert told["mattes_out"] > 0
        taken.close()
        assert wait_for(lambda: late.latest_matte(0.5)) is not None
        told = late.request({"command": "status"})["status"]
        assert [link["error"] for link in told["links"]] == [None, None]
        assert late.request({"command": "prompt", "prompts": [{"text": "blue"}]})["ok"]
    finally:
        reader.close()
        late.close()
        server.close()
    open_server_link(taken.address).close()


def test_a_source_on_a_taken_one_is_waited_for(taken: ServerLink) -> None:
    server = served(taken.address, taken.address, wait_for_links=True)
    client = open_client_link(taken.address)
    try:
        pipeline = server.pipelines["main"]
        wait_for(lambda: pipeline.status()["state"].startswith("source lost: "))
        taken.close()
        scene, numbers = MovingScene(speed=1.0), itertools.count()

        def sent_until_seen() -> bool:
            client.send_frame(scene.frame(next(numbers), captured_ns=RealClock().now_ns()))
            return client.latest_matte(0.05) is not None

        assert wait_for(sent_until_seen)
    finally:
        client.close()
        server.close()


def test_one_that_stays_taken_is_given_up_with_the_server(taken: ServerLink) -> None:
    server = served("test:", free_address("shm"), taken.address, wait_for_links=True)
    server.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("promptmatte-late")]


def test_without_the_option_a_taken_one_is_an_error(taken: ServerLink) -> None:
    with pytest.raises(LinkError):
        served("test:", free_address("shm"), taken.address, wait_for_links=False)
