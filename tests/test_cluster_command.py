"""Which workers a show has, and what promptmatte cluster refuses; tests/test_cluster_ray.py runs
it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from promptmatte.cli import main
from promptmatte.cluster.worker_spec import WorkerSpec
from promptmatte.commands.cluster import _workers_of
from promptmatte.errors import ConfigError

STREAMS = """\
[[stream]]
name = "a"
source = "test:"
worker = "left"
[[stream]]
name = "b"
source = "test:"
[[stream]]
name = "c"
source = "test:"
worker = "left"
"""


def workers(text: str, folder: Path) -> list[WorkerSpec]:
    path = folder / "show.toml"
    path.write_text(text, encoding="utf-8")
    return _workers_of(path)[0]


def test_streams_of_one_worker_share_its_process_others_have_their_own(tmp_path: Path) -> None:
    left, own = workers(
        STREAMS + '[[worker]]\nname = "left"\nnum_gpus = 0.25\nnode = "stage"\n', tmp_path
    )
    assert [stream.name for stream in left.streams] == ["a", "c"]
    assert (left.name, left.options["num_gpus"], left.options["num_cpus"]) == ("left", 0.25, 1.0)
    assert list(left.options["resources"]) == ["stage"]
    assert [stream.name for stream in own.streams] == ["b"]
    assert (own.name, own.options["num_gpus"], own.options["resources"]) == ("b", 0.0, {})
    assert own.options["scheduling_strategy"] == "SPREAD"


def test_a_show_of_one_stream_has_one_worker(tmp_path: Path) -> None:
    [only] = workers('source = "test:"\n[[prompt]]\ntext = "sky"\n', tmp_path)
    assert [prompt.text for prompt in only.streams[0].prompts] == ["sky"]


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ('[[worker]]\nname = "right"\n', "one for each of left, b at most; got right"),
        ('[[worker]]\nname = "b"\n[[worker]]\nname = "b"\n', "got b, b"),
        ('[[worker]]\nname = "b"\nnum_gpus = -1\n', "num_gpus as a number, 0 or more; got -1"),
        ('[[worker]]\nname = "b"\ngpus = 1\n', "a key of [[worker]]"),
        ("[[worker]]\n", "name as a text in every [[worker]]; got None"),
    ],
)
def test_a_worker_that_cannot_be_is_refused(more: str, fault: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        workers(STREAMS + more, tmp_path)
    assert fault in str(refused.value)


def test_what_a_cluster_cannot_do_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no osc in the show of a cluster"):
        workers("osc = 5573\n" + STREAMS, tmp_path)


def test_without_ray_a_line_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    path = tmp_path / "show.toml"
    path.write_text(STREAMS, encoding="utf-8")
    assert main(["cluster", "serve", str(path)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "promptmatte[cluster]" in said


def test_the_status_of_no_cluster_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cluster", "status", "--link", "shm:pm-no-cluster"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
