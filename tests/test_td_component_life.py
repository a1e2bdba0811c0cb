"""The component among what happens on a stage, on the stand-in with a server without a model."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from promptmatte.links import open_server_link
from touchdesigner.keyer import Keyer
from touchdesigner.stage import Stage, project

KEYER = Path(__file__).parent / "touchdesigner" / "keyer.py"


@pytest.fixture
def stage(tmp_path: Path, session: str) -> Iterator[Stage]:
    with project(tmp_path) as bench:
        yield Stage(bench, session)
        assert bench.errors == []


@pytest.fixture
def keyer(session: str) -> Iterator[Keyer]:
    keyer = Keyer(open_server_link(session))
    yield keyer
    keyer.close()


def test_what_went_wrong_is_said_and_then_gives_way(stage: Stage, keyer: Keyer) -> None:
    stage.run_until(lambda: stage.status.startswith("Running"))
    stage.component.RecallPreset("nonsense")
    stage.run_until(lambda: "name of a preset" in stage.status)
    stage.run_until(lambda: stage.status.startswith("Running"))


def test_a_fade_of_so_many_seconds_is_one_whatever_the_fade_time(
    stage: Stage, keyer: Keyer
) -> None:
    stage.run_until(lambda: stage.info("fps") > 5)
    for text in ("hair", "hat", "sky", "tree"):
        stage.component.FadePrompt(1, text, 0.3)
        stage.run_until(lambda: len(keyer.prompts.prompts) == 2)
        assert keyer.prompts.prompts[1].text == text
        stage.run_until(lambda: len(keyer.prompts.prompts) == 1)
    stage.component.SetPrompt(1, "cloud")
    stage.run_until(lambda: keyer.prompts.prompts[0].text == "cloud")
    assert len(keyer.prompts.prompts) == 1, "the fade time is 0"


def test_a_preset_is_glided_to(stage: Stage, keyer: Keyer) -> None:
    stage.set(Threshold1=0.8)
    stage.run_until(lambda: keyer.controls.channels[0].threshold == pytest.approx(0.8))
    stage.component.SavePreset("verse")
    stage.set(Threshold1=0.2, Prompt1="hair")
    stage.run_until(lambda: [p.text for p in keyer.prompts.prompts] == ["hair"])
    stage.run_until(lambda: stage.info("fps") > 5)
    stage.component.RecallPreset("verse", 0.8)
    between = set()

    def arrived() -> bool:
        between.add(round(keyer.controls.channels[0].threshold, 1))
        return [p.text for p in keyer.prompts.prompts] == ["jacket"]

    stage.run_until(arrived)
    assert between >= {0.2, 0.8}
    assert len(between) > 3
    assert float(stage.component.par.Threshold1.eval()) == pytest.approx(0.8)


def test_switched_off_it_stays_as_it_is(stage: Stage, keyer: Keyer) -> None:
    stage.set(Losttime=0.2)
    stage.run_until(lambda: stage.matte()[..., 0].max() > 0.5)
    stage.set(Active=False)
    stage.run_for(1.0)
    assert stage.matte()[..., 0].max() > 0.5
    stage.set(Active=True)
    stage.run_until(lambda: stage.info("fps") > 5)


@pytest.mark.parametrize(("choice", "level"), [("empty", 0.0), ("full", 1.0), ("hold", 200 / 255)])
def test_what_is_shown_when_mattes_stop_is_chosen(
    stage: Stage, session: str, choice: str, level: float
) -> None:
    stage.set(Losttime=0.3, Whenlost=choice)
    keyer = Keyer(open_server_link(session))
    try:
        stage.run_until(lambda: stage.matte()[..., 0].max() == pytest.approx(200 / 255))
    finally:
        keyer.close()
    stage.run_for(1.5)
    assert stage.matte()[..., 0] == pytest.approx(level)


@pytest.mark.skipif(os.name != "posix", reason="the program is a script with a first line")
def test_it_starts_by_itself_and_a_restarted_server_gets_the_model_chosen_since(
    stage: Stage, tmp_path: Path, session: str
) -> None:
    program = tmp_path / "promptmatte"
    program.write_text(
        f"#!{sys.executable}\n"
        "import runpy, sys\n"
        f"sys.argv = [{str(KEYER)!r}, sys.argv[sys.argv.index('--out') + 1]]\n"
        f"runpy.run_path({str(KEYER)!r}, run_name='__main__')\n"
    )
    program.chmod(0o755)
    stage.set(Program=str(program), Autostart=True)
    stage.run_until(lambda: stage.status.startswith("Running"))
    stage.run_until(lambda: "sam-vit-b" in stage.component.par.Model.menuNames)
    stage.set(Model="sam-vit-b")
    report = lambda: stage.extension._engine.conversation.report  # noqa: E731
    stage.run_until(lambda: report().status.get("model") == "sam-vit-b")
    first, pid = report().hello["run"], stage.extension._process.pid
    os.kill(pid, signal.SIGKILL)
    stage.run_until(lambda: report().hello["run"] != first)
    stage.run_until(lambda: report().status.get("model") == "sam-vit-b")
    assert str(stage.component.par.Model.eval()) == "sam-vit-b"
    stage.component.StopServer()
    stage.run_until(lambda: stage.extension._process.pid is None)
