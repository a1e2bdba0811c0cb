"""Loading and exchanging models while others work: progress, failures, and want of memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from moving_scene import ColourModel
from promptmatte.errors import ConfigError, DownloadError, ModelError
from promptmatte.models.choice import ModelChoice
from promptmatte.models.device import is_out_of_memory
from promptmatte.models.host import ModelHost, smaller_choices
from promptmatte.models.protocol import Model, Progress

VIT_H = ModelChoice(name="sam-vit-h", device="cpu")


class NamedModel(ColourModel):
    """A ColourModel that says which choice it was loaded for."""

    def __init__(self, choice: ModelChoice) -> None:
        super().__init__()
        self.name = choice.name
        self.choice = choice


class Stage:
    """A host whose loader does as it is told, and what the host did."""

    def __init__(self, first: ModelChoice | Model) -> None:
        self.used: list[Model | None] = []
        self.failures: list[str] = []
        self.errors: dict[str, Exception] = {}
        self.gates: dict[str, threading.Event] = {}
        self.loaded: list[ModelChoice] = []
        self.host = ModelHost(
            first,
            use=self.used.append,
            failed=self.failures.append,
            load=self.load,
            load_smaller=self.load,
        )

    def load(self, choice: ModelChoice, progress: Progress) -> Model:
        progress("reading", 0.4)
        gate = self.gates.get(choice.name)
        while gate is not None and not gate.wait(0.005):
            progress("reading", 0.4)
        self.loaded.append(choice)
        key = f"{choice.name} {choice.precision}"
        error = self.errors.get(key) or self.errors.get(choice.name)
        if error is not None:
            raise error
        return NamedModel(choice)

    def names(self) -> list[str | None]:
        return [model and model.name for model in self.used]

    def until(self, reached: Callable[[], object]) -> None:
        deadline = time.monotonic() + 10.0
        while not reached():
            assert time.monotonic() < deadline, self.host.status()
            time.sleep(0.002)

    def settled(self) -> None:
        self.until(lambda: self.host.status()["loading"] is None and self.idle())

    def idle(self) -> bool:
        return not any(t.name == "promptmatte-model" for t in threading.enumerate())


@pytest.fixture
def stage() -> Iterator[Callable[..., Stage]]:
    made: list[Stage] = []

    def make(first: ModelChoice | Model = VIT_H) -> Stage:
        made.append(Stage(first))
        return made[-1]

    yield make
    for one in made:
        one.host.close()
        assert one.idle()


def test_the_host_answers_while_it_loads(stage: Callable[..., Stage]) -> None:
    it = stage()
    gate = it.gates["sam-vit-h"] = threading.Event()
    it.host.start()
    it.until(lambda: (it.host.status()["loading"] or {}).get("share") == 0.4)
    assert it.host.status() == {
        "model": "sam-vit-h",
        "device": "cpu",
        "loading": {"model": "sam-vit-h", "stage": "reading", "share": 0.4},
        "notice": None,
    }
    assert not it.host.ready
    gate.set()
    it.settled()
    assert it.names() == ["sam-vit-h"]
    assert it.host.ready


def test_a_model_that_is_there_is_handed_over_at_once(stage: Callable[..., Stage]) -> None:
    model = ColourModel()
    it = stage(model)
    it.host.start()
    assert it.used == [model]
    assert it.host.status()["model"] == "colour"


def test_the_old_model_works_until_the_new_one_is_there(stage: Callable[..., Stage]) -> None:
    it = stage()
    it.host.start()
    it.settled()
    gate = it.gates["sam-vit-b"] = threading.Event()
    it.host.choose(name="sam-vit-b", clip="ViT-L-14")
    it.until(lambda: it.host.loading)
    assert it.names() == ["sam-vit-h"]
    assert it.host.status()["model"] == "sam-vit-h"
    gate.set()
    it.settled()
    assert it.names() == ["sam-vit-h", "sam-vit-b"]
    assert it.loaded[-1].clip == "ViT-L-14"
    it.host.choose(name="sam-vit-b")
    it.settled()
    assert len(it.loaded) == 2  # it is there already


def test_a_newer_choice_ends_a_load_under_way(stage: Callable[..., Stage]) -> None:
    it = stage()
    it.gates["sam-vit-h"] = threading.Event()  # never opened
    it.host.start()
    it.until(lambda: it.host.loading)
    it.host.choose(name="embedded")
    it.settled()
    assert it.names() == ["embedded"]


def test_closing_ends_a_load_under_way(stage: Callable[..., Stage]) -> None:
    it = stage()
    it.gates["sam-vit-h"] = threading.Event()
    it.host.start()
    it.until(lambda: it.host.loading)
    it.host.close()
    assert it.used == []
    it.host.choose(name="embedded")
    assert it.idle()


def test_files_come_from_the_first_choice_only(stage: Callable[..., Stage]) -> None:
    first = ModelChoice(
        name="sam-vit-b", device="cpu", weights=Path("own.pth"),
        prompter="projection", projection=Path("own.safetensors"),
    )  # fmt: skip
    it = stage(first)
    it.host.start()
    it.settled()
    other = it.host.choose(name="embedded", prompter="dense")
    it.settled()
    assert (other.weights, other.projection) == (None, None)
    back = it.host.choose(name="sam-vit-b", prompter="projection")
    assert back == first
    plain = stage()
    with pytest.raises(ConfigError, match="started with --projection"):
        plain.host.choose(prompter="projection")
    with pytest.raises(ConfigError, match="expected a model of"):
        plain.host.choose(name="sam-vit-z")
    with pytest.raises(ConfigError, match="expected a CLIP of"):
        plain.host.choose(clip="ViT-Z")


def test_a_model_that_cannot_be_loaded_leaves_the_old_one_in_place(
    stage: Callable[..., Stage],
) -> None:
    it = stage(ModelChoice(device="cpu"))
    it.host.start()
    it.settled()
    it.errors["sam3"] = ModelError("the licence has not been accepted")
    it.host.choose(name="sam3")
    it.settled()
    assert it.names() == ["embedded"]
    assert it.host.status()["notice"] == (
        "sam3 could not be loaded: the licence has not been accepted; embedded goes on"
    )
    it.host.choose(name="sam-vit-b")
    it.settled()
    assert it.host.status()["notice"] is None


def test_a_first_model_that_cannot_be_fetched_gives_way_to_the_embedded_one(
    stage: Callable[..., Stage],
) -> None:
    it = stage()
    it.errors["sam-vit-h"] = DownloadError("no network")
    it.host.start()
    it.settled()
    assert it.names() == ["embedded"]
    assert it.host.status()["notice"] == "sam-vit-h: no network; went on with embedded"
    assert it.failures == []


def test_a_first_model_that_is_unusable_is_a_failure(stage: Callable[..., Stage]) -> None:
    it = stage()
    it.errors["sam-vit-h"] = ModelError("not a SAM file")
    it.host.start()
    it.settled()
    assert it.used == []
    assert it.failures == ["not a SAM file"]


def test_what_does_not_fit_gives_way_step_by_step(stage: Callable[..., Stage]) -> None:
    it = stage(ModelChoice(name="sam-vit-h", device="cpu", precision="fp32"))
    it.errors["sam-vit-h"] = torch.OutOfMemoryError("CUDA out of memory")
    it.errors["sam-vit-l"] = ModelError("not downloaded")
    it.host.start()
    it.settled()
    assert [(c.name, c.precision) for c in it.loaded] == [
        ("sam-vit-h", "fp32"), ("sam-vit-h", "bf16"), ("sam-vit-l", "bf16"), ("sam-vit-b", "bf16"),
    ]  # fmt: skip
    assert it.names() == ["sam-vit-b"]
    notice = it.host.status()["notice"]
    assert notice == "sam-vit-h: out of memory; went on with sam-vit-b in bf16"


def test_a_model_short_of_memory_is_given_up_before_a_smaller_one_loads(
    stage: Callable[..., Stage],
) -> None:
    it = stage(ModelChoice(name="sam-vit-b", device="cpu", precision="bf16"))
    it.host.start()
    it.settled()
    it.host.step_down()
    it.host.step_down()  # once is enough
    it.settled()
    assert it.names() == ["sam-vit-b", None, "mobile-sam"]
    it.errors["embedded"] = MemoryError("none at all")
    it.host.step_down()
    it.settled()
    assert it.names()[3:] == [None]
    assert "no smaller model" in it.failures[0]


def test_the_embedded_model_stays_where_there_is_no_smaller_one(
    stage: Callable[..., Stage],
) -> None:
    it = stage(ModelChoice(device="cpu"))
    it.host.start()
    it.settled()
    it.host.step_down()
    it.settled()
    assert it.names() == ["embedded"]
    assert it.host.ready
    assert it.failures == []


def test_the_last_resort_is_the_embedded_model_on_the_processor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("promptmatte.models.host.choose_device", lambda device: device)
    steps = list(smaller_choices(ModelChoice(name="mobile-sam", device="cuda", precision="fp16")))
    assert [(step.name, step.device) for step in steps] == [
        ("embedded", "cuda"),
        ("embedded", "cpu"),
    ]
    own = ModelChoice(device="cuda", weights=Path("own.safetensors"))
    assert list(smaller_choices(own)) == [ModelChoice(device="cpu", weights=own.weights)]


def test_the_last_resort_is_the_embedded_model() -> None:
    steps = list(smaller_choices(ModelChoice(name="sam3", device="cpu", precision="bf16")))
    assert [step.name for step in steps] == ["embedded"]
    assert list(smaller_choices(ModelChoice(device="cpu"))) == []
    first = ModelChoice(
        name="sam-vit-l", device="cpu", prompter="projection", projection=Path("p.safetensors")
    )
    names = [(s.name, s.precision, s.prompter) for s in smaller_choices(first)]
    assert names == [
        ("sam-vit-l", "bf16", "projection"), ("sam-vit-b", "bf16", "dense"),
        ("mobile-sam", "bf16", "dense"), ("embedded", "bf16", "dense"),
    ]  # fmt: skip


def test_only_want_of_memory_is_taken_for_it() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("sizes do not match"))
