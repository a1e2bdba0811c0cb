"""SAM 3 with small random weights: transformers' own classes, in folders as they save them."""

from __future__ import annotations

import importlib
import json
import logging
import socket
import sys
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import numpy as np
import numpy.typing as npt
import pytest
import torch
from promptmatte.errors import ModelError
from promptmatte.frame import Frame, FrameInfo
from promptmatte.models.choice import ModelChoice
from promptmatte.models.sam3 import Sam3
from promptmatte.prompts import Prompt, PromptSet
from tiny_sam3 import (
    MASK_SIDE,
    TEXTS,
    by_the_library,
    counted,
    picture,
    save_tiny_sam3,
    scored,
    scores_of,
    tiny_processor,
    tiny_sam3,
)  # fmt: skip

KINDS = ("sam3", "sam3_lite_text")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("sam3")
    return {kind: save_tiny_sam3(root / kind, kind) for kind in (*KINDS, "sam3_video")}


@pytest.fixture(scope="module")
def model(folders: dict[str, Path]) -> Sam3:
    """One for all tests that do not change it."""
    return load(folders["sam3"])


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("a test reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def load(folder: Path, *, precision: str = "fp32", device: str = "cpu") -> Sam3:
    choice = ModelChoice(name="sam3", weights=folder, precision=precision)
    return Sam3.load(choice, device=device)


def detector_of(model: Sam3) -> Any:
    return model._network._detector


def frame(pixels: npt.NDArray[Any] | None = None) -> Frame:
    info = FrameInfo(stream_id=1, seq=1, pts_ns=0, captured_ns=0)
    return Frame(info=info, pixels=picture() if pixels is None else pixels)


def prompts(*texts: str) -> PromptSet:
    return PromptSet(prompts=tuple(Prompt.parse(text) for text in texts))


@pytest.mark.parametrize("kind", KINDS)
def test_every_instance_equals_the_library_s(folders: dict[str, Path], kind: str) -> None:
    model = load(folders[kind])
    detector = detector_of(model)
    assert type(detector) is type(tiny_sam3(kind))
    outputs = by_the_library(tiny_sam3(kind))
    assert (outputs.pred_masks[0] - outputs.pred_masks[1]).abs().max() > 0.01, "words matter"
    scene = model.encode(frame())
    embedding = model.embed(prompts(*TEXTS))
    confidence = model.decode(scene, embedding).confidence
    assert confidence == pytest.approx(scores_of(outputs).amax(1).tolist(), abs=1e-4)
    for query in (0, 5, 11):
        logits = [-12.0] * 12
        logits[query] = 12.0
        with scored(detector, logits):
            decoded = model.decode(scene, embedding)
        np.testing.assert_allclose(decoded.logits, outputs.pred_masks[:, query], atol=2e-5)
        assert decoded.logits.dtype == np.float32
        assert decoded.logits.shape == (3, MASK_SIDE, MASK_SIDE)


@pytest.mark.parametrize("size_hw", [(90, 160), (271, 483), (112, 112)])
def test_the_encoder_sees_what_the_processor_makes(model: Sam3, size_hw: tuple[int, int]) -> None:
    pixels = picture(*size_hw)
    expected = tiny_processor()(images=pixels, return_tensors="pt").pixel_values
    seen: list[torch.Tensor] = []
    handle = detector_of(model).vision_encoder.register_forward_pre_hook(
        lambda _module, args: seen.append(args[0])
    )
    scene = model.encode(frame(pixels))
    handle.remove()
    np.testing.assert_allclose(seen[0], expected, atol=1e-5)
    assert scene.size_hw == size_hw


@pytest.mark.parametrize(
    ("kind", "precision"), [("sam3", "bf16"), ("sam3", "fp16"), ("sam3_lite_text", "bf16")]
)
def test_half_precision_comes_near(folders: dict[str, Path], kind: str, precision: str) -> None:
    whole = load(folders[kind])
    half = load(folders[kind], precision=precision)
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    detector = detector_of(half)
    assert {w.dtype for w in detector.vision_encoder.parameters()} == {dtype}
    assert {w.dtype for w in detector.text_encoder.parameters()} == {dtype}
    assert {w.dtype for w in detector.detr_decoder.parameters()} == {torch.float32}
    assert detector.vision_encoder.backbone.layers[1].position_ids.dtype is torch.float32
    results = []
    for model in (whole, half):
        scene = model.encode(frame())
        results.append(model.decode(scene, model.embed(prompts(*TEXTS))))
    expected, found = results
    assert found.confidence == pytest.approx(expected.confidence, abs=0.005)
    assert not np.array_equal(found.logits, expected.logits)
    spread = float(np.std(expected.logits))
    assert np.abs(found.logits - expected.logits).max() < 0.25 * spread


def test_all_instances_that_count_are_united(model: Sam3) -> None:
    detector = detector_of(model)
    with scored(detector, [3.0, 0.5, -2.0]):  # scores 0.95, 0.62, 0.12
        outputs = by_the_library(detector, ("cat",))
        decoded = model.decode(model.encode(frame()), model.embed(prompts("cat")))
    found = tiny_processor().post_process_instance_segmentation(outputs, threshold=0.5)[0]
    assert len(found["masks"]) == 2
    union = found["masks"].amax(0).numpy().astype(bool)
    assert 0 < union.sum() < union.size
    np.testing.assert_array_equal(decoded.logits[0] > 0.0, union)
    assert decoded.confidence[0] == pytest.approx(0.9525, abs=1e-3)


def test_an_instance_fades_in_between_its_limits(model: Sam3) -> None:
    detector = detector_of(model)
    scene, embedding = model.encode(frame()), model.embed(prompts("cat"))
    shares = []
    for score in (0.29, 0.35, 0.4, 0.45, 0.51):
        with scored(detector, [6.0, float(np.log(score / (1.0 - score)))]):
            decoded = model.decode(scene, embedding)
            own = by_the_library(detector, ("cat",)).pred_masks[0, 1].numpy()
        with scored(detector, [6.0]):
            alone = model.decode(scene, embedding).logits[0]
        added = own - alone
        shares.append(float((decoded.logits[0] - alone).max() / added.max()))
    assert shares[0] == pytest.approx(0.0, abs=1e-3)
    assert shares[-1] == pytest.approx(1.0, abs=1e-3)
    assert shares == sorted(shares)


def test_the_best_instance_is_whole_however_unsure(model: Sam3) -> None:
    detector = detector_of(model)
    with scored(detector, [-1.5, -6.0]):  # scores 0.18 and 0.002
        decoded = model.decode(model.encode(frame()), model.embed(prompts("cat")))
        masks = by_the_library(detector, ("cat",)).pred_masks
    np.testing.assert_allclose(decoded.logits[0], masks[0, 0], atol=2e-5)
    assert decoded.confidence[0] == pytest.approx(0.1824, abs=1e-3)


def test_what_is_absent_has_no_confidence(model: Sam3) -> None:
    detector = detector_of(model)
    with scored(detector, [12.0], presence=-10.0):
        scene = model.encode(frame())
        decoded = model.decode(scene, model.embed(prompts("cat", "red jacket")))
        assert max(decoded.confidence) < 1e-4
        assert max(model.presence(scene, TEXTS)) < 1e-4


def test_negatives_are_taken_off(model: Sam3) -> None:
    scene = model.encode(frame())
    cat, jacket = model.decode(scene, model.embed(prompts("cat", "red jacket"))).logits
    both = model.decode(scene, model.embed(prompts("cat - red jacket", "cat + red jacket")))
    np.testing.assert_allclose(both.logits[0], np.minimum(cat, -jacket), atol=2e-5)
    np.testing.assert_allclose(both.logits[1], np.maximum(cat, jacket), atol=2e-5)


def test_a_prompt_change_costs_no_encoder_call(folders: dict[str, Path]) -> None:
    model = load(folders["sam3"])
    detector = detector_of(model)
    with counted(detector.vision_encoder) as encodes, counted(detector.text_encoder) as reads:
        scene = model.encode(frame())
        first = model.decode(scene, model.embed(prompts("cat")))
        model.decode(scene, model.embed(prompts("red jacket", "cat")))
        assert len(encodes) == 1
        assert len(reads) == 2
        again = model.decode(scene, model.embed(prompts("cat")))
        model.presence(scene, ["cat", "red jacket"])
        assert len(encodes) == 1
        assert len(reads) == 2
    np.testing.assert_array_equal(again.logits, first.logits)


def test_no_prompts_is_nothing(model: Sam3) -> None:
    decoded = model.decode(model.encode(frame()), model.embed(PromptSet()))
    assert decoded.logits.shape[0] == 0
    assert decoded.confidence == ()


def test_everything_needs_no_detector_and_leaves_out_what_is_found(model: Sam3) -> None:
    scene = model.encode(frame())
    all_of_it = model.decode(scene, model.embed(prompts("everything")))
    assert all_of_it.confidence == (1.0,)
    assert (all_of_it.logits > 0).all()
    both = model.decode(scene, model.embed(prompts("everything but cat", "cat")))
    assert both.logits.shape[0] == 2
    assert both.confidence[0] == 1.0
    cat = model.decode(scene, model.embed(prompts("cat")))
    np.testing.assert_array_equal(both.logits[1], cat.logits[0])


def test_any_text_is_known(model: Sam3) -> None:
    assert (model.unknown_words("dragon"), model.taken_as("persn")) == ((), None)


def test_presence_is_the_confidence_of_each(model: Sam3) -> None:
    scene = model.encode(frame())
    texts = ["cat", "dog", "red jacket", "lamp", "cat", "chair"]
    found = model.presence(scene, texts)
    for text, presence in zip(texts, found, strict=True):
        decoded = model.decode(scene, model.embed(prompts(text)))
        assert presence == pytest.approx(decoded.confidence[0], abs=1e-4)
    assert len(set(found)) == 5
    assert model.presence(scene, []) == ()
    assert len(model.words) > 100


def test_a_prompt_of_many_words_is_cut(model: Sam3) -> None:
    scene = model.encode(frame())
    decoded = model.decode(scene, model.embed(prompts("word " * 40)))
    assert np.isfinite(decoded.logits).all()


def test_half_precision_halves_the_encoder_and_finds_the_same(folders: dict[str, Path]) -> None:
    whole, half = load(folders["sam3"]), load(folders["sam3"], precision="bf16")
    assert (whole.precision, half.precision) == ("fp32", "bf16")
    sizes = [
        sum(weight.nbytes for weight in detector_of(model).vision_encoder.parameters())
        for model in (whole, half)
    ]
    assert sizes[1] == sizes[0] // 2
    found = [m.decode(m.encode(frame()), m.embed(prompts("cat"))) for m in (whole, half)]
    assert found[1].confidence == pytest.approx(found[0].confidence, abs=0.005)
    away = np.abs(found[1].logits - found[0].logits).max()
    assert away < 0.25 * float(np.std(found[0].logits))


def test_the_video_model_s_detector_is_read(folders: dict[str, Path]) -> None:
    outputs = by_the_library(tiny_sam3("sam3_video").detector_model)
    model = load(folders["sam3_video"])
    decoded = model.decode(model.encode(frame()), model.embed(prompts(*TEXTS)))
    assert decoded.confidence == pytest.approx(scores_of(outputs).amax(1).tolist(), abs=1e-4)


def test_only_rgb_frames_are_taken(model: Sam3) -> None:
    with pytest.raises(ModelError, match="expected an rgb8 frame; got gray8"):
        model.encode(frame(np.zeros((8, 8, 1), np.uint8)))


def test_loading_tells_how_far_it_is_and_prints_nothing(
    folders: dict[str, Path],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[tuple[str, float]] = []
    choice = ModelChoice(name="sam3", weights=folders["sam3_video"], compiled=True)
    assert choice.precision == "auto"
    with caplog.at_level(logging.INFO, logger="promptmatte"):
        model = Sam3.load(
            choice, device="cpu", progress=lambda stage, share: told.append((stage, share))
        )
    assert (model.name, model.device, model.precision) == ("sam3", "cpu", "fp32")
    assert [share for _, share in told] == sorted(share for _, share in told)
    assert ("reading sam3", 0.2) in told
    assert "uncompiled" in caplog.text
    output = capfd.readouterr()
    assert output.out + output.err == ""


def test_the_hub_s_cache_is_used(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    choice = ModelChoice(name="sam3")
    with pytest.raises(ModelError, match=r"accept the licence .* hf download facebook/sam3"):
        Sam3.load(choice, device="cpu")
    repository = tmp_path / "models--facebook--sam3"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    for path in folders["sam3"].iterdir():
        (snapshot / path.name).write_bytes(path.read_bytes())
    assert Sam3.load(choice, device="cpu").name == "sam3"


def test_a_wrong_folder_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    def refused(match: str) -> None:
        with pytest.raises(ModelError, match=match) as caught:
            load(tmp_path)
        assert "\n" not in str(caught.value)

    refused("there is none.*hf download")
    (tmp_path / "config.json").write_text("not json")
    refused("expected .*config.json to say model_type sam3")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip"}))
    refused("got 'clip'")
    config = (folders["sam3"] / "config.json").read_text()
    (tmp_path / "config.json").write_text(config)
    refused("cannot read it")
    for path in folders["sam3"].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    load(tmp_path)
    weights = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    refused("cannot read it")
    (tmp_path / "model.safetensors").write_bytes(weights)
    (tmp_path / "config.json").write_text(config.replace('"num_queries": 12', '"num_queries": 9'))
    refused("cannot read it")
    more = json.loads(config)
    more["detr_encoder_config"]["num_layers"] = 3
    (tmp_path / "config.json").write_text(json.dumps(more))
    refused("are missing, such as detr_encoder.layers.2")


def test_without_transformers_the_command_is_told(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = [name for name in sys.modules if name.startswith("promptmatte.models.sam3")]
    for name in ours:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "transformers", None)
    again = importlib.import_module("promptmatte.models.sam3")
    with pytest.raises(ModelError, match="python -m uv sync --extra sam3"):
        again.Sam3.load(ModelChoice(name="sam3", weights=folders["sam3"]), device="cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "auto"])
def test_a_card_finds_the_same(folders: dict[str, Path], precision: str) -> None:
    results = []
    for device, wanted in (("cpu", "fp32"), ("cuda", precision)):
        model = load(folders["sam3"], device=device, precision=wanted)
        scene = model.encode(frame())
        results.append(model.decode(scene, model.embed(prompts(*TEXTS))))
    expected, found = results
    assert found.confidence == pytest.approx(expected.confidence, abs=0.005)
    spread = float(np.std(expected.logits))
    assert np.abs(found.logits - expected.logits).max() < 0.25 * spread
