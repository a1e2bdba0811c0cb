"""Prometheus metrics: a real server, read over HTTP with Prometheus' own parser."""

from __future__ import annotations

import re
import socket
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from promptmatte.counters import LATENCY_BOUNDS_S, Counters
from server_testing import Server, promptmatte, status_of, wait_for

pytest.importorskip("prometheus_client", reason="needs the extra metrics")
from prometheus_client.parser import text_string_to_metric_families

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def parsed(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrape(url: str) -> Samples:
    with urllib.request.urlopen(url, timeout=60) as response:
        return parsed(response.read().decode())


def url_of(server: Server) -> str:
    def look() -> str | None:
        assert server.process.poll() is None, server.said()
        found = re.search(r"http://127\.0\.0\.1:\d+/metrics", server.said())
        return found and found[0]

    return wait_for(look)


def documented() -> set[str]:
    page = Path(__file__).parent.parent / "docs" / "metrics.md"
    return set(re.findall(r"^\| `(promptmatte_\w+)`", page.read_text(encoding="utf-8"), re.M))


def test_a_server_counts_and_lives_through_garbage(
    session: str, picture: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    with Server(
        "--source", picture, "--prompt", 'a "person"\\', "--weights", tiny_weights,
        "--device", "cpu", "--out", session, "--metrics", "0", log=tmp_path / "log",
    ) as server:  # fmt: skip
        url = url_of(server)
        wait_for(lambda: status_of(session, server)["age_ms"] is not None)
        before = status_of(session, server)
        samples = wait_for(lambda: _with_confidence(scrape(url)))
        after = status_of(session, server)
        mattes = samples["promptmatte_mattes_total", ()]
        assert before["mattes_out"] <= mattes <= after["mattes_out"]
        assert samples["promptmatte_latency_seconds_bucket", (("le", "+Inf"),)] >= mattes
        assert samples["promptmatte_latency_seconds_sum", ()] > 0
        assert samples["promptmatte_running", ()] == 1
        assert samples["promptmatte_link_connected", (("address", session),)] in (0, 1)
        assert samples["promptmatte_link_sent_total", (("address", session),)] >= mattes
        assert any(name == "promptmatte_info" and ("model", "embedded") in labels
                   for name, labels in samples)  # fmt: skip
        assert not any("person" in value for _, labels in samples for _, value in labels)

        port = int(url.split(":")[2].partition("/")[0])
        for garbage in (b"\x00\xff" * 40_000, b"GET /metrics HTTP/1.1\r\n" + b"a" * 70_000, b""):
            with socket.create_connection(("127.0.0.1", port)) as client:
                try:
                    client.sendall(garbage)
                except ConnectionError:
                    continue  # it hung up in the middle, as it may
        with socket.create_connection(("127.0.0.1", port)):  # says nothing, holds nobody up
            again = wait_for(lambda: _beyond(scrape(url), mattes))
        assert again["promptmatte_frames_total", ()] > 0

        taken = promptmatte(
            "serve", "--source", picture, "--weights", tiny_weights, "--device", "cpu",
            "--out", session + "b", "--metrics", port,
        )  # fmt: skip
        assert taken.returncode == 2
        assert f"cannot serve metrics on 127.0.0.1:{port}" in taken.stderr
        assert "Traceback" not in server.said() + taken.stderr


def _with_confidence(samples: Samples) -> Samples | None:
    return samples if ("promptmatte_confidence", (("channel", "1"),)) in samples else None


def _beyond(samples: Samples, mattes: float) -> Samples | None:
    return samples if samples["promptmatte_mattes_total", ()] > mattes else None


class Counted:
    """A pipeline's counts, with a drop cause that has to be escaped."""

    def __init__(self) -> None:
        self._counters = Counters()
        self._counters.drop('link_error:zmq:"\\\n')
        for latency_s in (LATENCY_BOUNDS_S[0], 0.02, 99.0):
            self._counters.matte_out(captured_ns=0, now_ns=round(latency_s * 1e9))
        self.latency_histogram = self._counters.latency_histogram

    def status(self) -> dict[str, Any]:
        link = dict.fromkeys(("sent", "received", "torn", "missed", "rejected", "errors"), 0)
        return {
            **self._counters.snapshot(0),
            "model": "m", "device": "cpu", "state": "running", "age_ms": 250.0,
            "prompts": [{"text": "cat", "confidence": 0.5}],
            "links": [{"address": "shm:a", "connected": False, **link}],
        }  # fmt: skip


def test_the_histogram_is_cumulative_and_labels_are_escaped() -> None:
    samples = parsed(_exposed(Counted()))
    buckets = {labels[0][1]: value for (name, labels), value in samples.items()
               if name == "promptmatte_latency_seconds_bucket"}  # fmt: skip
    assert [buckets[str(LATENCY_BOUNDS_S[0])], buckets["0.025"], buckets["2.5"]] == [1, 2, 2]
    assert buckets["+Inf"] == samples["promptmatte_latency_seconds_count", ()] == 3
    cause = ("cause", 'link_error:zmq:"\\\n')
    assert samples["promptmatte_drops_total", (cause,)] == 1
    assert samples["promptmatte_keyframe_age_seconds", ()] == 0.25


def test_every_metric_is_documented() -> None:
    text = _exposed(Counted())
    exposed = set(re.findall(r"^# TYPE (\w+)", text, re.M))
    gpu = {name for name in documented() if name.startswith("promptmatte_gpu_memory_")}
    assert exposed == documented() - gpu
    assert len(gpu) == 4


@pytest.mark.gpu
def test_the_memory_of_a_card_is_documented() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    from promptmatte.metrics.gpu_memory import gpu_memory

    names = {metric.name for metric in gpu_memory("cuda")}
    assert names == {name for name in documented() if name.startswith("promptmatte_gpu_memory_")}


def _exposed(counted: Counted) -> str:
    from prometheus_client import CollectorRegistry, generate_latest
    from promptmatte.metrics.collector import PipelineCollector

    registry = CollectorRegistry(auto_describe=False)
    registry.register(PipelineCollector(counted))
    return generate_latest(registry).decode()
