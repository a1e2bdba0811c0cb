"""SAM + CLIP as one model: real library code on small seeded weights, read from files."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from moving_scene import CollectingLink, MovingScene, SceneSource
from promptmatte.clock import RealClock
from promptmatte.errors import ConfigError, ModelError
from promptmatte.frame import Frame, FrameInfo
from promptmatte.models import load_model
from promptmatte.models.choice import ModelChoice
from promptmatte.models.prompters.projection_network import (
    ProjectionArchitecture,
    ProjectionNetwork,
)
from promptmatte.models.prompters.projection_weights import Fit, save_projection
from promptmatte.models.protocol import Model, Progress
from promptmatte.models.sam_clip import SamClipModel
from promptmatte.pipeline import Pipeline
from promptmatte.prompts import Prompt, PromptSet
from test_pipeline import CONFIG, wait_until
from tiny_clip import tiny_clip_folder
from tiny_sam import tiny_sam


def frame(height: int, width: int) -> Frame:
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    return Frame(info=FrameInfo(stream_id=1, seq=3, pts_ns=0, captured_ns=0), pixels=pixels)


def prompts(*texts: str, version: int = 1) -> PromptSet:
    return PromptSet(version=version, prompts=tuple(Prompt.parse(text) for text in texts))


@pytest.fixture(scope="module")
def choice(tmp_path_factory: pytest.TempPathFactory) -> ModelChoice:
    folder = tmp_path_factory.mktemp("pair")
    torch.save(tiny_sam().state_dict(), folder / "sam.pth")
    clip = tiny_clip_folder(folder / "clip")
    return ModelChoice(
        name="sam-vit-b", device="cpu", weights=folder / "sam.pth", clip=f"local-dir:{clip}"
    )


@pytest.fixture(scope="module")
def model(choice: ModelChoice) -> SamClipModel:
    made = load_model(choice)
    assert isinstance(made, SamClipModel)
    return made


@pytest.mark.parametrize("size_hw", [(90, 160), (160, 90), (64, 64), (33, 257), (1, 1)])
def test_logits_cover_any_frame_without_padding(
    model: SamClipModel, size_hw: tuple[int, int]
) -> None:
    scene = model.encode(frame(*size_hw))
    decoded = model.decode(scene, model.embed(prompts("person", "red car - wheel")))
    count, height, width = decoded.logits.shape
    assert (count, scene.size_hw, scene.info.seq) == (2, size_hw, 3)
    longer = max(size_hw)
    assert abs(height - 16 * size_hw[0] / longer) <= 1
    assert abs(width - 16 * size_hw[1] / longer) <= 1
    assert decoded.logits.dtype == np.float32
    assert np.isfinite(decoded.logits).all()
    assert all(0 <= c <= 1 for c in decoded.confidence)


def test_a_prompt_change_costs_no_encoder_call(model: SamClipModel) -> None:
    calls: list[str] = []
    hooks = [
        module.register_forward_pre_hook(lambda *_, name=name: calls.append(name))
        for name, module in (
            ("sam", model._sam._encoder.patch_embed), ("clip", model._clip._clip.visual.conv1),
        )
    ]  # fmt: skip
    scene = model.encode(frame(90, 160))
    assert sorted(calls) == ["clip", "sam"]
    first = model.decode(scene, model.embed(prompts("person")))
    model.decode(scene, model.embed(prompts("a prompt never seen", "sky", version=2)))
    again = model.decode(scene, model.embed(prompts("person", version=3)))
    assert sorted(calls) == ["clip", "sam"]
    np.testing.assert_array_equal(first.logits, again.logits)
    for hook in hooks:
        hook.remove()


def test_nothing_to_find_decodes_to_nothing(model: SamClipModel) -> None:
    scene = model.encode(frame(90, 160))
    decoded = model.decode(scene, model.embed(PromptSet()))
    assert (len(decoded.logits), decoded.confidence) == (0, ())


def test_everything_is_everywhere_and_competes_with_nothing(model: SamClipModel) -> None:
    scene = model.encode(frame(90, 160))
    all_of_it = model.decode(scene, model.embed(prompts("everything")))
    assert all_of_it.confidence == (1.0,)
    assert (all_of_it.logits > 0).all()
    both = model.decode(scene, model.embed(prompts("everything but the sky", "the sky")))
    sky = model.decode(scene, model.embed(prompts("the sky")))
    assert both.confidence == (1.0, sky.confidence[0])
    np.testing.assert_array_equal(both.logits[1], sky.logits[0])
    left_out = both.logits[0] < 0
    assert left_out.any() == (sky.confidence[0] > 0.15 and (sky.logits[0] > 0).any())


def test_any_text_is_known(model: SamClipModel) -> None:
    assert (model.unknown_words("dragon"), model.taken_as("persn")) == ((), None)


def test_presence_is_told_for_each_word(model: SamClipModel) -> None:
    scene = model.encode(frame(90, 160))
    found = model.presence(scene, model.words[:30])
    assert len(found) == 30
    assert all(0.0 <= share <= 1.0 for share in found)
    assert model.presence(scene, ()) == ()


def test_warming_up_leaves_nothing_but_warmth(model: SamClipModel) -> None:
    scene = model.encode(frame(90, 160))
    before = model.decode(scene, model.embed(prompts("person")))
    model.warm_up()
    after = model.decode(scene, model.embed(prompts("person")))
    np.testing.assert_array_equal(before.logits, after.logits)


def test_the_stages_of_loading_are_told_in_order(choice: ModelChoice) -> None:
    told: list[tuple[str, float]] = []
    load_model(choice, progress=lambda stage, share: told.append((stage, share)))
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert any("sam-vit-b" in stage for stage, _ in told)


def test_the_projection_is_chosen_with_its_file_and_refused_for_other_models(
    model: SamClipModel, choice: ModelChoice, tmp_path: Path
) -> None:
    network = ProjectionNetwork(ProjectionArchitecture(text_dim=48, prompt_dim=32))
    own = tmp_path / "projection.safetensors"
    save_projection(network, own, fit=Fit.of(model._sam, model._clip), metadata={})
    chosen = replace(choice, prompter="projection", projection=own)
    projected = load_model(chosen)
    scene = projected.encode(frame(90, 160))
    decoded = projected.decode(scene, projected.embed(prompts("person", "sky")))
    dense = model.decode(model.encode(frame(90, 160)), model.embed(prompts("person", "sky")))
    assert decoded.logits.shape == dense.logits.shape
    assert not np.allclose(decoded.logits, dense.logits)
    torch.save(tiny_sam(seed=1).state_dict(), tmp_path / "other.pth")
    with pytest.raises(ModelError, match="expected a projection for"):
        load_model(replace(chosen, weights=tmp_path / "other.pth"))


def test_other_pixel_formats_and_choices_are_refused(
    model: SamClipModel, choice: ModelChoice, tmp_path: Path
) -> None:
    pixels = np.zeros((9, 9, 4), np.uint8)
    with pytest.raises(ModelError, match="expected an rgb8 frame"):
        model.encode(Frame(info=frame(9, 9).info, pixels=pixels))
    base = {"name": "sam-vit-b", "device": "cpu", "weights": choice.weights}
    with pytest.raises(ConfigError, match="expected a CLIP of ViT-B-16"):
        load_model(ModelChoice(**base, clip="ViT-Z"))
    with pytest.raises(ModelError, match="promptmatte train projection"):
        load_model(ModelChoice(**base, clip=choice.clip, prompter="projection"))
    junk = tmp_path / "junk.pth"
    junk.write_bytes(b"PK" + bytes(100))
    with pytest.raises(ModelError, match="cannot read"):
        load_model(ModelChoice(name="sam-vit-b", device="cpu", weights=junk, clip=choice.clip))


def test_a_running_server_reports_loading_and_changes_models_without_dropping_the_stream(
    choice: ModelChoice, tiny_weights: Path
) -> None:
    scene, link = MovingScene(speed=1.0), CollectingLink()
    pipeline = Pipeline(
        open_source=lambda: SceneSource(scene), model=choice, links=[link], config=CONFIG,
        clock=RealClock(),
    )  # fmt: skip
    pipeline.set_prompts((Prompt(text="person"),))
    gate = threading.Event()

    def load_when_told(chosen: ModelChoice, progress: Progress) -> Model:
        progress("reading", 0.4)
        gate.wait(30.0)
        return load_model(chosen, progress=progress)

    pipeline._host._load = load_when_told
    pipeline.start()
    try:
        wait_until(lambda: "loading_model" in pipeline.status()["dropped"])
        assert pipeline.status()["state"] == "loading 40%"
        assert link.mattes == []
        gate.set()
        wait_until(lambda: len(link.mattes) > 5)
        status = pipeline.status()
        assert (status["model"], status["loading"], status["notice"]) == ("sam-vit-b", None, None)
        before, dropped = len(link.mattes), status["dropped"].get("waiting_for_keyframe", 0)
        pipeline.choose_model(name="embedded")
        wait_until(lambda: pipeline.status()["model"] == "embedded")
        swapped = link.mattes[-1].info.seq
        wait_until(lambda: link.mattes[-1].anchor_seq > swapped)
        assert len(link.mattes) > before
        pipeline.choose_model(name="sam-vit-b")
        wait_until(lambda: pipeline.status()["model"] == "sam-vit-b")
        pipeline.suggest(["person", "sky", "tree"])
        wait_until(lambda: pipeline.suggestions(2)["done"])
        assert len(pipeline.suggestions(2)["suggestions"]) == 2
        status = pipeline.status()
        assert status["errors"] is None
        assert status["dropped"].get("waiting_for_keyframe", 0) == dropped
    finally:
        pipeline.stop()
