"""Messages of any form change nothing unless they are accepted; bombs are refused by their head."""

import ast
import json
import threading
import time
import zlib
from pathlib import Path
from struct import pack
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from links_testing import free_address, free_zmq_address
from promptmatte.clock import RealClock
from promptmatte.config import PipelineConfig
from promptmatte.control.commands import FIELDS, command_handler
from promptmatte.control.osc_packet import encoded, messages_of
from promptmatte.errors import CommandError, SourceError
from promptmatte.frame import Frame, FrameInfo
from promptmatte.links import open_client_link, open_server_link, wire
from promptmatte.links.newest import Newest
from promptmatte.links.reply import answer
from promptmatte.links.wire import Stamp
from promptmatte.models.choice import ModelChoice
from promptmatte.pipeline import Pipeline
from promptmatte.sources import open_source, read_image
from promptmatte.sources.link import LinkSource
from promptmatte.sources.picture_size import picture_size
from promptmatte.sources.video import open_file
from promptmatte_shm.errors import LayoutError
from promptmatte_shm.mailbox import packed, unpacked

ROOT = Path(__file__).parents[1]
STEADY = settings(
    derandomize=True, database=None, deadline=None, max_examples=150,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text()
VALUES = st.recursive(
    LEAVES, lambda v: st.lists(v, max_size=4) | st.dictionaries(st.text(), v, max_size=4),
    max_leaves=12,
)  # fmt: skip
SOUND = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False) | st.text(),
    lambda v: st.lists(v, max_size=4) | st.dictionaries(st.text(), v, max_size=4), max_leaves=12,
)  # fmt: skip
NAMES = sorted({name for fields in FIELDS.values() for part in fields for name in part})


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    """One that stands still: what a command changes is seen at once."""
    clock = RealClock()
    return Pipeline(
        open_source=lambda: open_source("test:", clock=clock), model=ModelChoice(), links=(),
        config=PipelineConfig(), clock=clock,
    )  # fmt: skip


@STEADY
@given(st.dictionaries(st.text(), SOUND, max_size=5))
def test_messages_come_back_as_they_were(message: dict[str, Any]) -> None:
    assert wire.decode_command(wire.encode_command(message)) == message
    assert unpacked(packed(message)) == message


@STEADY
@given(st.floats(width=32, allow_nan=False) | st.integers(-(2**31), 2**31 - 1)
       | st.text("abc 红"))  # fmt: skip
def test_osc_comes_back_as_it_was(value: float | str) -> None:
    (message,) = messages_of(encoded("/promptmatte/1/prompt", value))
    assert message.arguments == (value,)


@STEADY
@given(command=st.sampled_from(sorted(set(FIELDS) - {"stop"})),
       fields=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4))  # fmt: skip
def test_a_refused_command_changes_nothing(
    pipeline: Pipeline, command: str, fields: dict[str, Any]
) -> None:
    handle = command_handler(pipeline, threading.Event())
    before = state_of(pipeline)
    reply = answer(handle, {**fields, "command": command})
    assert not str(reply.get("error")).startswith("internal error")
    if not reply["ok"]:
        assert state_of(pipeline) == before


def state_of(pipeline: Pipeline) -> tuple[object, ...]:
    status = pipeline.status()
    return pipeline.controls, status["prompts"], status["prompts_version"], status["model"]


@pytest.mark.parametrize("link", ["shm", "zmq"])
def test_a_flood_leaves_the_processor_to_others(link: str) -> None:
    """What answers commands works at most a fifth of the time, whatever comes."""
    address = free_address("shm") if link == "shm" else free_zmq_address()
    server, client = open_server_link(address), open_client_link(address)
    worked_s = 0.0

    def slow(_: object) -> dict[str, Any]:
        nonlocal worked_s
        begun_s = time.monotonic()
        while time.monotonic() - begun_s < 0.002:
            pass
        worked_s += time.monotonic() - begun_s
        return {}

    server.serve(slow)
    try:
        begun_s = time.monotonic()
        for _ in range(100):
            assert client.request({"command": "ping"}, 30.0)["ok"]
        assert time.monotonic() - begun_s >= 3 * min(worked_s, 100 * 0.005)
    finally:
        client.close()
        server.close()


def test_made_up_numbers_make_no_count_that_cannot_be_sent() -> None:
    newest: Newest[int] = Newest()
    for sender in range(8):
        newest.offer(1, Stamp(sender=sender, serial=0))
        newest.offer(1, Stamp(sender=sender, serial=2**63 - 1))
    assert wire.encode_command({"missed": newest.missed})


def test_a_deep_mailbox_message_is_refused() -> None:
    with pytest.raises(LayoutError, match="at most 16 deep"):
        unpacked(json.dumps({"a": json.loads("[" * 30 + "]" * 30)}).encode())


def png_bomb(width: int, height: int) -> bytes:
    """A PNG of one bit a pixel, all 0."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return pack(">I", len(body)) + kind + body + pack(">I", zlib.crc32(kind + body))

    deflate = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    rows = b"".join(deflate.compress(row) for _ in range(height)) + deflate.flush()
    head = pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_a_picture_bomb_is_refused_by_its_head(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_bomb(20_000, 20_000))
    assert path.stat().st_size < 100_000
    with pytest.raises(SourceError, match="at most 40 megapixels; got 20000 x 20000"):
        read_image(path)


def test_a_part_of_a_picture_that_says_gigabytes_is_not_waited_for(tmp_path: Path) -> None:
    """OpenCV takes the memory first; found by fuzzing."""
    path = tmp_path / "bomb.png"
    whole = png_bomb(8, 6)
    path.write_bytes(whole[:33] + pack(">I", 0xE7000000) + whole[37:])
    with pytest.raises(SourceError, match="damaged file"):
        read_image(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".tiff"])
def test_the_size_in_the_head_is_the_size(suffix: str) -> None:
    import cv2

    data = cv2.imencode(suffix, np.zeros((13, 21, 3), np.uint8))[1].tobytes()
    assert picture_size(data) == (21, 13)


def test_a_video_bomb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.avi"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 8000, 6000, "gray"
        frame = av.VideoFrame.from_ndarray(np.zeros((6000, 8000), np.uint8), format="gray")
        out.mux([*stream.encode(frame), *stream.encode(None)])
    with pytest.raises(SourceError, match="at most 40 megapixels; got 8000 x 6000"):
        open_file(path)


def test_a_frame_bomb_on_a_link_is_refused() -> None:
    address = free_address("shm")
    server, client = open_server_link(address), open_client_link(address)
    try:
        info = FrameInfo(stream_id=1, seq=1, pts_ns=0, captured_ns=0)
        until_s = time.monotonic() + 30
        while not client.status.connected and time.monotonic() < until_s:
            time.sleep(0.01)
        client.send_frame(Frame(info=info, pixels=np.zeros((7000, 6000, 1), np.uint8)))
        with pytest.raises(SourceError, match="at most 40 megapixels"):
            LinkSource(server).read(10.0)
    finally:
        client.close()
        server.close()


@pytest.mark.parametrize("field", ["name", "clip", "prompter"])
@pytest.mark.parametrize("path", ["/tmp/x.pt", "../x", "local-dir:/tmp", "a\\b", "hf-hub:a/b", "~"])
def test_no_message_names_a_file(pipeline: Pipeline, field: str, path: str) -> None:
    handle = command_handler(pipeline, threading.Event())
    with pytest.raises(CommandError, match="one of the names"):
        handle({"command": "model", "name": "embedded", field: path})


def test_a_recording_takes_no_path(pipeline: Pipeline) -> None:
    handle = command_handler(pipeline, threading.Event())
    with pytest.raises(CommandError, match="the field 'path'"):
        handle({"command": "record", "on": True, "path": "/tmp/x.mov"})


FORBIDDEN = {"pickle", "cPickle", "marshal", "shelve", "dill", "joblib", "cloudpickle"}

HARMLESS = {"UnpicklingError"}
"""What torch.load raises for a file that would have needed a pickle."""


def test_nothing_that_runs_code_from_data() -> None:
    """No pickle, eval, exec or shell anywhere in what is installed."""
    faults: list[str] = []
    for path in sorted([*(ROOT / "server").rglob("*.py"), *(ROOT / "shared_memory").rglob("*.py")]):
        found = map(fault_of, ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        faults += [f"{path.name}: {fault}" for fault in found if fault]
    assert faults == []


def fault_of(node: ast.AST) -> str | None:
    if isinstance(node, ast.Import | ast.ImportFrom):
        if isinstance(node, ast.ImportFrom) and {a.name for a in node.names} <= HARMLESS:
            return None
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names]
        return next((name for name in names if name.partition(".")[0] in FORBIDDEN), None)
    if not isinstance(node, ast.Call):
        return None
    called = ast.unparse(node.func)
    given = {word.arg: ast.unparse(word.value) for word in node.keywords}
    if called in ("eval", "exec", "os.system", "os.popen", "yaml.load"):
        return called
    if given.get("shell", "False") != "False" or given.get("allow_pickle", "False") != "False":
        return f"{called} with shell or allow_pickle"
    if called == "torch.load" and given.get("weights_only") != "True":
        return "torch.load without weights_only=True"
    return None


@pytest.mark.parametrize(
    "code", ["import pickle", "from marshal import loads", "eval(x)", "run(x, shell=True)",
             "torch.load(p)", "np.load(p, allow_pickle=True)"],
)  # fmt: skip
def test_the_search_finds_it(code: str) -> None:
    assert any(fault_of(node) for node in ast.walk(ast.parse(code)))
