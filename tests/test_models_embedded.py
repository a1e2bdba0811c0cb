"""The embedded model: shapes, caching, negatives, weight files that do not fit, shipped weights."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from promptmatte.controls import MatteControls
from promptmatte.errors import ConfigError, ModelError
from promptmatte.frame import Frame, FrameInfo
from promptmatte.models import load_model
from promptmatte.models.choice import ModelChoice
from promptmatte.models.embedded import (
    EmbeddedModel,
    encoder_path,
    load_network,
    load_words,
    save_weights,
    weights_path,
)
from promptmatte.models.embedded_encoder import OnnxEncoder, TorchEncoder
from promptmatte.models.embedded_network import EmbeddedNetwork
from promptmatte.models.embedded_words import EmbeddedArchitecture
from promptmatte.prompts import Prompt, PromptSet
from promptmatte.training.export import export_encoder
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
    architecture = EmbeddedArchitecture(concepts=("person",), input_side=320)
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
    network, metadata = load_network(tiny_weights)
    assert metadata == {"made_by": "tests"}
    assert network.architecture == tiny_network.architecture
    loaded = network.state_dict()
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
    with pytest.raises(ModelError, match="promptmatte-embedded-2"):
        load_network(other)


def test_unknown_model_and_device_are_refused(tiny_weights: Path) -> None:
    with pytest.raises(ConfigError, match="expected a model of embedded"):
        load_model(ModelChoice(name="sam-vit-z"))
    with pytest.raises(ModelError, match="expected a device"):
        load_model(ModelChoice(device="quantum", weights=tiny_weights))


def test_presence_is_the_confidence_of_each_word(model: EmbeddedModel) -> None:
    scene = model.encode(frame(90, 160))
    texts = ("person", "sky", "horse", "cat", "blue car", "dragon")
    assert len(texts) <= model.presence_batch
    found = model.presence(scene, texts)
    alone = [model.decode(scene, model.embed(prompts(text))).confidence[0] for text in texts]
    np.testing.assert_allclose(found, alone, atol=1e-3)
    assert "person" in model.words


def test_an_unknown_word_finds_nothing_and_is_named(model: EmbeddedModel) -> None:
    scene = model.encode(frame(90, 160))
    decoded = model.decode(scene, model.embed(prompts("dragon")))
    assert decoded.confidence == (0.0,)
    assert (decoded.logits < -5).all()
    assert model.unknown_words("dragon") == ("dragon",)
    assert model.unknown_words("the red car") == ()


def test_everything_alone_is_the_whole_picture(model: EmbeddedModel) -> None:
    scene = model.encode(frame(90, 160))
    decoded = model.decode(scene, model.embed(prompts("everything", "一切")))
    assert decoded.confidence == (1.0, 1.0)
    assert (decoded.logits > 5).all()


def test_words_of_one_meaning_give_one_matte(model: EmbeddedModel) -> None:
    scene = model.encode(frame(90, 160))
    texts = ("car", "the automobile", "汽车", "CARS")
    found = [model.decode(scene, model.embed(prompts(text))).logits for text in texts]
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


def test_a_colour_only_takes_away(model: EmbeddedModel) -> None:
    scene = model.encode(frame(90, 160))
    plain = model.decode(scene, model.embed(prompts("car")))
    red = model.decode(scene, model.embed(prompts("red car")))
    assert (red.logits <= plain.logits + 1e-5).all()
    assert red.confidence[0] <= plain.confidence[0]


@pytest.fixture(scope="module")
def exported(tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights with an encoder for ONNX Runtime beside them."""
    pytest.importorskip("onnx")
    weights = tmp_path_factory.mktemp("exported") / "tiny.safetensors"
    weights.write_bytes(tiny_weights.read_bytes())
    export_encoder(load_network(weights)[0], encoder_path(weights), weights=weights)
    return weights


@pytest.mark.parametrize("size_hw", [(96, 96), (64, 160), (512, 288)])
def test_the_fast_encoder_is_pinned_to_the_network(
    exported: Path, size_hw: tuple[int, int]
) -> None:
    reference = TorchEncoder(load_network(exported)[0], torch.device("cpu"))
    fast = OnnxEncoder(encoder_path(exported))
    pixels = frame(*size_hw).pixels
    one, two = reference(pixels), fast(pixels)
    for expected, found in ((one.pixels, two.pixels), (one.summary, two.summary)):
        assert found.shape == expected.shape
        scale = float(expected.abs().max())
        torch.testing.assert_close(found, expected, rtol=0, atol=0.01 * scale)


def test_the_fast_encoder_runs_on_a_cpu_if_it_is_of_these_weights(
    exported: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    assert EmbeddedModel.load(device="cpu", weights=exported).encoder == "OnnxEncoder"
    assert EmbeddedModel.load(device="cpu", weights=tiny_weights).encoder == "TorchEncoder"
    other = tmp_path / "other.safetensors"
    network, _ = load_network(exported)
    save_weights(network, other, {"made_by": "another run"})
    encoder_path(other).write_bytes(encoder_path(exported).read_bytes())
    assert EmbeddedModel.load(device="cpu", weights=other).encoder == "TorchEncoder"
    encoder_path(other).write_bytes(b"no encoder")
    with pytest.raises(ModelError, match="encoder"):
        EmbeddedModel.load(device="cpu", weights=other)


def test_a_start_on_a_cpu_does_not_wait_for_what_encodes_in_torch() -> None:
    program = (
        "import sys; from promptmatte.models.embedded import EmbeddedModel; "
        "EmbeddedModel.load(device='cpu'); print(*{'timm', 'torchvision'} & sys.modules.keys())"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    assert told.stdout.strip() == ""


def test_words_alone_encode_nothing(tiny_weights: Path) -> None:
    words, metadata = load_words(tiny_weights)
    assert metadata == load_network(tiny_weights)[1]
    assert words.state_dict().keys() < load_network(tiny_weights)[0].state_dict().keys()
    with pytest.raises(ModelError, match="words alone"):
        EmbeddedModel(words)


def test_shipped_weights_are_small_and_key_a_person_but_no_horse() -> None:
    sizes = [path.stat().st_size for path in (weights_path(), encoder_path(weights_path()))]
    assert sum(sizes) <= 40_000_000
    skimage_data = pytest.importorskip("skimage.data")
    model = EmbeddedModel.load(device="cpu")
    assert model.encoder == "OnnxEncoder"
    info = FrameInfo(stream_id=1, seq=0, pts_ns=0, captured_ns=0)
    scene = model.encode(Frame(info=info, pixels=skimage_data.astronaut()))
    decoded = model.decode(scene, model.embed(prompts("person", "horse", "asdf")))
    person = decoded.logits[0] > 0
    height, width = person.shape
    floor = MatteControls().confidence_floor
    assert decoded.confidence[0] > floor
    face = person[int(0.15 * height) : int(0.3 * height), int(0.38 * width) : width // 2]
    assert face.mean() > 0.9
    wall = person[: height // 4]
    assert wall[:, int(0.22 * width) : int(0.3 * width)].mean() < 0.1
    assert wall[:, int(0.65 * width) : int(0.75 * width)].mean() < 0.1
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
