"""The embedded model: shapes, caching, negatives, weight files that do not fit, shipped weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from promptmatte.controls import MatteControls
from promptmatte.errors import ConfigError, ModelError
from promptmatte.frame import Frame, FrameInfo
from promptmatte.models import load_model
from promptmatte.models.choice import ModelChoice
from promptmatte.models.embedded import EmbeddedModel, load_network, weights_path
from promptmatte.models.embedded_network import EmbeddedArchitecture, EmbeddedNetwork
from promptmatte.prompts import Prompt, PromptSet
from safetensors.torch import save_file


def frame(height: int, width: int, *, seed: int = 0) -> Frame:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    info = FrameInfo(stream_id=1, seq=3, pts_ns=0, captured_ns=0)
    return Frame(info=info, pixels=pixels)


def prompts(*texts: str, negative: tuple[str, ...] = ()) -> PromptSet:
    return PromptSet(version=1, prompts=tuple(Prompt(text=t, negative=negative) for t in texts))


@pytest.fixture(scope="module")
def model(tiny_weights: Path) -> EmbeddedModel:
    return EmbeddedModel.load(device="cpu", weights=tiny_weights)


@pytest.mark.parametrize("size_hw", [(90, 160), (160, 90), (33, 257), (1, 1), (720, 1280)])
def test_logits_cover_any_frame_size(model: EmbeddedModel, size_hw: tuple[int, int]) -> None:
    scene = model.encode(frame(*size_hw))
    decoded = model.decode(scene, model.embed(prompts("person", "red car")))
    assert scene.info.seq == 3
    assert scene.size_hw == size_hw
    assert decoded.logits.dtype == np.float32
    assert decoded.logits.shape[0] == 2
    assert np.isfinite(decoded.logits).all()
    assert all(0 <= c <= 1 for c in decoded.confidence)


def test_input_keeps_the_shape_of_the_picture() -> None:
    architecture = EmbeddedArchitecture(input_side=320)
    assert architecture.input_hw(1080, 1920) == (256, 416)
    assert architecture.input_hw(1000, 1000) == (320, 320)
    assert architecture.input_hw(1, 10_000) == (32, 32_000)


def test_decoding_needs_no_second_encode_and_repeats_itself(model: EmbeddedModel) -> None:
    scene = model.encode(frame(90, 160))
    first = model.decode(scene, model.embed(prompts("person")))
    other = model.decode(scene, model.embed(prompts("sky")))
    again = model.decode(scene, model.embed(prompts("person")))
    np.testing.assert_array_equal(first.logits, again.logits)
    assert not np.array_equal(first.logits, other.logits)


def test_prompts_do_not_disturb_each_other(model: EmbeddedModel) -> None:
    scene = model.encode(frame(90, 160))
    alone = model.decode(scene, model.embed(prompts("sky")))
    together = model.decode(scene, model.embed(prompts("person", "sky")))
    np.testing.assert_allclose(together.logits[1], alone.logits[0], atol=1e-4)


def test_texts_seen_before_are_not_encoded_again(model: EmbeddedModel) -> None:
    model.embed(prompts("horse"))
    calls = []
    hook = model._network.text_tower.register_forward_hook(lambda *_: calls.append(1))
    model.embed(prompts("horse"))
    assert calls == []
    model.embed(prompts("horse", "never seen before"))
    hook.remove()
    assert calls == [1]


def test_a_negative_takes_its_own_matte_away(model: EmbeddedModel) -> None:
    scene = model.encode(frame(90, 160))
    plain = model.decode(scene, model.embed(prompts("person"))).logits[0]
    hair = model.decode(scene, model.embed(prompts("hair"))).logits[0]
    without = model.decode(scene, model.embed(prompts("person", negative=("hair",)))).logits[0]
    np.testing.assert_allclose(without, np.minimum(plain, -hair), atol=1e-4)


def test_no_prompts_decode_to_nothing(model: EmbeddedModel) -> None:
    decoded = model.decode(model.encode(frame(90, 160)), model.embed(PromptSet()))
    assert decoded.logits.shape[0] == 0
    assert decoded.confidence == ()


def test_a_frame_of_another_format_is_refused(model: EmbeddedModel) -> None:
    info = FrameInfo(stream_id=1, seq=0, pts_ns=0, captured_ns=0)
    with pytest.raises(ModelError, match="rgb8"):
        model.encode(Frame(info=info, pixels=np.zeros((4, 4, 4), np.uint8)))


def test_fp16_file_gives_back_the_network(
    tiny_network: EmbeddedNetwork, tiny_weights: Path
) -> None:
    loaded = load_network(tiny_weights).state_dict()
    for name, value in tiny_network.state_dict().items():
        torch.testing.assert_close(loaded[name], value.half().to(value.dtype), rtol=0, atol=0)


def test_files_that_are_no_weights_are_refused(tmp_path: Path, tiny_weights: Path) -> None:
    with pytest.raises(ModelError, match="cannot read"):
        load_network(tmp_path / "absent.safetensors")
    garbage = tmp_path / "garbage.safetensors"
    garbage.write_bytes(np.random.default_rng(1).bytes(5000))
    with pytest.raises(ModelError, match="cannot read"):
        load_network(garbage)
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(tiny_weights.read_bytes()[:-1000])
    with pytest.raises(ModelError, match="cannot read"):
        load_network(cut)
    other = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(1)}, other, metadata={"format": "pt"})
    with pytest.raises(ModelError, match="promptmatte-embedded-1"):
        load_network(other)


def test_unknown_model_and_device_are_refused(tiny_weights: Path) -> None:
    with pytest.raises(ConfigError, match="expected a model of embedded"):
        load_model(ModelChoice(name="sam-vit-z"))
    with pytest.raises(ModelError, match="expected a device"):
        load_model(ModelChoice(device="quantum", weights=tiny_weights))


def test_presence_is_the_confidence_of_each_word(model: EmbeddedModel) -> None:
    scene = model.encode(frame(90, 160))
    texts = ("person", "sky", "horse", "cat")
    assert len(texts) == model.presence_batch
    found = model.presence(scene, texts)
    alone = [model.decode(scene, model.embed(prompts(text))).confidence[0] for text in texts]
    np.testing.assert_allclose(found, alone, atol=1e-3)
    assert "person" in model.words


def test_shipped_weights_are_small_and_key_a_person_but_no_horse() -> None:
    assert weights_path().stat().st_size <= 40_000_000
    skimage_data = pytest.importorskip("skimage.data")
    model = EmbeddedModel.load(device="cpu")
    info = FrameInfo(stream_id=1, seq=0, pts_ns=0, captured_ns=0)
    scene = model.encode(Frame(info=info, pixels=skimage_data.astronaut()))
    decoded = model.decode(scene, model.embed(prompts("person", "horse", "asdf")))
    person = decoded.logits[0] > 0
    height, width = person.shape
    floor = MatteControls().confidence_floor
    assert decoded.confidence[0] > floor
    face = person[int(0.15 * height) : int(0.3 * height), int(0.38 * width) : width // 2]
    assert face.mean() > 0.9
    assert person[: height // 4, : width // 5].mean() < 0.1
    assert max(decoded.confidence[1:]) < floor


@pytest.mark.gpu
def test_gpu_and_cpu_agree(tiny_weights: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    results = []
    for device in ("cpu", "cuda"):
        model = EmbeddedModel.load(device=device, weights=tiny_weights)
        decoded = model.decode(model.encode(frame(90, 160)), model.embed(prompts("person")))
        results.append(decoded.logits)
    np.testing.assert_allclose(results[0], results[1], atol=0.05)
