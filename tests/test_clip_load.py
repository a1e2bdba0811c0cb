"""Reading a CLIP from a folder, a checkpoint, and OpenAI's archive; what is refused."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip.factory import add_model_config
from promptmatte.errors import ModelError
from promptmatte.models.clip import load_clip
from tiny_clip import tiny_clip_folder, tiny_config


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_clip_folder(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module", autouse=True)
def listed(tmp_path_factory: pytest.TempPathFactory) -> None:
    """open_clip's list with a tiny model in it, as checkpoints are read by its names."""
    path = tmp_path_factory.mktemp("config") / "Tiny-8.json"
    path.write_text(json.dumps(tiny_config()["model_cfg"]), encoding="utf-8")
    add_model_config(path)


def openai_archive(path: Path) -> Any:
    """A file as OpenAI published its models: traced, with its sizes as buffers; the model."""
    torch.manual_seed(5)
    vision = {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8, "head_width": 64}
    text = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1}
    model: Any = open_clip.CLIP(64, vision, text, quick_gelu=True).half().float().eval()
    model.attn_mask = model._buffers.pop("attn_mask")
    for name, size in (("input_resolution", 32), ("context_length", 77), ("vocab_size", 49408)):
        model.__dict__.pop(name, None)
        model.register_buffer(name, torch.tensor(size))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ids = torch.ones(1, 77, dtype=torch.int)
        traced = torch.jit.trace_module(
            model, {"encode_image": (torch.ones(1, 3, 32, 32),), "encode_text": (ids,)}
        )
        traced.save(str(path))
    return model


def test_a_folder_gives_its_weights_and_its_normalisation(folder: Path) -> None:
    told: list[tuple[str, float]] = []
    clip = load_clip(
        folder, name="tiny", device="cpu", progress=lambda stage, share: told.append((stage, share))
    )
    model: Any = clip._clip
    reference = open_clip.create_model(f"local-dir:{folder}")
    for key, value in reference.state_dict().items():
        assert torch.equal(model.state_dict()[key], value)
    grey = torch.full((1, 3, 1, 1), 127.5)
    expected = (0.5 - torch.tensor([0.4, 0.5, 0.6])) / torch.tensor([0.2, 0.25, 0.3])
    torch.testing.assert_close(clip._normalised(grey).flatten(), expected)
    assert [share for _, share in told] == sorted(share for _, share in told)
    assert told[0] == ("reading tiny", 0.0)
    assert told[-1] == ("reading tiny", 1.0)
    assert clip.name == "tiny"
    assert not any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("kind", ["checkpoint", "training state"])
def test_a_checkpoint_goes_into_the_model_of_its_name(
    kind: str, folder: Path, tmp_path: Path
) -> None:
    state = open_clip.create_model(f"local-dir:{folder}").state_dict()
    path = tmp_path / "epoch_1.pt"
    torch.save(state if kind == "checkpoint" else {"epoch": 1, "state_dict": state}, path)
    clip = load_clip(path, name="Tiny-8", device="cpu")
    expected = load_clip(folder, name="tiny", device="cpu").texts(["dog"])
    assert torch.equal(clip.texts(["dog"]), expected)


def test_openais_archive_has_its_quick_gelu_and_normalisation(tmp_path: Path) -> None:
    path = tmp_path / "ViT-B-16.pt"
    model = openai_archive(path)
    clip = load_clip(path, name="ViT-B-16", device="cpu")
    loaded: Any = clip._clip
    assert type(clip._visual.transformer.resblocks[0].mlp.gelu).__name__ == "QuickGELU"
    pixels = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(
            loaded.encode_image(pixels), model.encode_image(pixels), rtol=0.02, atol=0.01
        )
    assert clip._mean.flatten().div(255).tolist() == pytest.approx(
        list(open_clip.OPENAI_DATASET_MEAN)
    )


def test_what_cannot_be_read_is_refused_with_what_to_do(folder: Path, tmp_path: Path) -> None:
    def fails(path: Path, name: str = "ViT-B-16") -> str:
        with pytest.raises(ModelError) as caught:
            load_clip(path, name=name, device="cpu")
        return str(caught.value)

    assert "there is nothing: give another path" in fails(tmp_path / "none.pt")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"not weights at all")
    assert "cannot read it" in fails(broken, "Tiny-8")
    cut = tmp_path / "cut.pt"
    torch.save(open_clip.create_model(f"local-dir:{folder}").state_dict(), cut)
    cut.write_bytes(cut.read_bytes()[:100_000])
    assert "cannot read it" in fails(cut, "Tiny-8")
    other = tmp_path / "other.pt"
    torch.save({"something.weight": torch.zeros(3)}, other)
    assert "cannot read it" in fails(other, "Tiny-8")
    assert "expected a CLIP that open_clip knows" in fails(other, "Vit-Q-99")
    assert "give a folder" in fails(other, "ViT-L-14-CLIPA")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "open_clip_config.json" in fails(empty, "own")
    (empty / "open_clip_config.json").write_text("{}", encoding="utf-8")
    assert "expected weights (open_clip_model.safetensors)" in fails(empty, "own")


def test_a_folder_of_a_multilingual_clip_without_sizes_uses_those_known(tmp_path: Path) -> None:
    """XLM-R's sizes come with the package; another tower's must lie in the folder."""
    from promptmatte.models.clip.load import _text_config

    for name, width in (("xlm-roberta-large", 1024), ("FacebookAI/xlm-roberta-base", 768)):
        path = _text_config(tmp_path, name)
        assert json.loads(path.read_text(encoding="utf-8"))["hidden_size"] == width
    with pytest.raises(ModelError, match=r"some/tower as config\.json"):
        _text_config(tmp_path, "some/tower")
