"""The catalogue: right names, addresses and sums; folders that need no network to be read."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import NoReturn

import open_clip
import pytest
import torch
from open_clip.pretrained import get_pretrained_cfg
from promptmatte.errors import ConfigError
from promptmatte.models.catalogue import (
    CATALOGUE,
    CLIP_NAMES,
    _multilingual_files,
    named_clip,
    named_entry,
    needed,
)
from promptmatte.models.choice import DEFAULT_CLIP, MODEL_NAMES, SAM_NAMES, ModelChoice
from promptmatte.models.clip import load_clip


def test_every_model_that_is_not_shipped_is_listed() -> None:
    assert set(MODEL_NAMES) - {"embedded"} <= set(CATALOGUE)
    assert DEFAULT_CLIP in CLIP_NAMES
    assert {CATALOGUE[name].kind for name in SAM_NAMES} == {"SAM"}


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=lambda entry: entry.name)
def test_entries_can_be_used(entry) -> None:  # type: ignore[no-untyped-def]
    assert bool(entry.files) != bool(entry.by_hand)
    assert entry.purpose
    assert entry.licence
    for file in entry.files:
        assert file.url.startswith("https://")
        assert Path(file.name).name == file.name
        assert file.url.endswith(file.name)
        assert file.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", file.sha256)
        assert (file.sha256 is None) == (file.size_bytes is None)
    if entry.files:
        assert entry.is_published == (not entry.about_bytes)
        assert entry.size_bytes > 40e6


@pytest.mark.parametrize("name", ["ViT-B-16", "ViT-L-14"])
def test_openai_addresses_are_those_of_open_clip(name: str) -> None:
    (file,) = CATALOGUE[name].files
    assert file.url == get_pretrained_cfg(name, "openai")["url"]
    assert file.sha256 in file.url


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("xlm-roberta-base-ViT-B-32", "laion5b_s13b_b90k"),
        ("xlm-roberta-large-ViT-H-14", "frozen_laion5b_s13b_b90k"),
    ],
)
def test_multilingual_folders_say_what_open_clip_says(name: str, tag: str) -> None:
    entry = CATALOGUE[name]
    known = open_clip.get_model_config(name)
    published = get_pretrained_cfg(name, tag)
    written = {file.name: json.loads(file.text) for file in entry.written}
    clip = written["open_clip_config.json"]
    assert f"/{published['hf_hub']}resolve/" in entry.files[0].url
    assert clip["model_cfg"] == known
    for key in ("mean", "std", "interpolation", "resize_mode"):
        assert tuple(clip["preprocess_cfg"][key]) == tuple(published[key])
    assert {file.name for file in (*entry.files, *entry.written)} == {
        "open_clip_pytorch_model.bin", "open_clip_config.json", "config.json",
        "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip


def test_a_choice_needs_sam_and_clip_unless_the_user_has_them() -> None:
    assert needed(ModelChoice()) == ()
    assert needed(ModelChoice(name="sam3")) == ()
    assert needed(ModelChoice(name="sam-vit-b")) == ("sam-vit-b", "ViT-B-16")
    assert needed(ModelChoice(name="mobile-sam", clip="ViT-L-14")) == ("mobile-sam", "ViT-L-14")
    own = ModelChoice(name="sam-vit-h", weights=Path("h.pth"))
    assert needed(own) == ("ViT-B-16",)
    assert needed(ModelChoice(name="sam-vit-h", clip="local-dir:own/clip")) == ("sam-vit-h",)


def test_names_that_do_not_exist_are_said() -> None:
    with pytest.raises(ConfigError, match=r"expected a CLIP of ViT-B-16.*local-dir:.*'ViT-B-32'"):
        needed(ModelChoice(name="sam-vit-b", clip="ViT-B-32"))
    with pytest.raises(ConfigError, match="expected a CLIP"):
        named_clip("sam-vit-b")
    with pytest.raises(ConfigError, match=r"expected a model of mobile-sam.*got 'sam'"):
        named_entry("sam")


def tokenizer_json(pieces: list[str]) -> str:
    """A tokenizer file of XLM-R's form with such pieces after the special ones."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    special = ["<s>", "<pad>", "</s>", "<unk>"]
    scores = [(piece, -float(place)) for place, piece in enumerate([*special, *pieces, "<mask>"])]
    tokenizer = Tokenizer(models.Unigram(scores, unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )  # fmt: skip
    return str(tokenizer.to_str())


def test_a_multilingual_folder_is_read_with_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files that are written, with small sizes in them and seeded random weights."""

    def refused(*_arguments: object, **_names: object) -> NoReturn:
        raise OSError("the network was asked for")

    monkeypatch.setattr(socket, "getaddrinfo", refused)
    monkeypatch.setattr(socket.socket, "connect", refused)
    written = _multilingual_files(
        "xlm-roberta-base",
        embed_dim=16,
        vision={"layers": 1, "width": 64, "head_width": 16, "patch_size": 32},
        text={
            "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 32, "vocab_size": 10,
        },
    )  # fmt: skip
    for file in written:
        (tmp_path / file.name).write_text(file.text, encoding="utf-8")
    pieces = ["▁", "红", "外套", "▁red", "▁jacket"]
    (tmp_path / "tokenizer.json").write_text(tokenizer_json(pieces), encoding="utf-8")
    save_random_weights(tmp_path)
    clip = load_clip(tmp_path, name="xlm-roberta-base-ViT-B-32", device="cpu", precision="fp32")
    tokens = open_clip.get_tokenizer(f"local-dir:{tmp_path}")(["red jacket", "红外套"])
    assert tokens.shape == (2, 77)
    assert tokens[:, :6].tolist() == [[0, 7, 8, 2, 1, 1], [0, 4, 5, 6, 2, 1]]
    vectors = clip.texts(["red jacket", "红外套"])
    assert vectors.shape == (2, 16)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(2), atol=1e-5)
    assert not torch.allclose(vectors[0], vectors[1], atol=1e-3)


def save_random_weights(folder: Path) -> None:
    """A checkpoint as LAION's are, for the model that the folder describes."""
    torch.manual_seed(3)
    config = json.loads((folder / "open_clip_config.json").read_text(encoding="utf-8"))["model_cfg"]
    config["text_cfg"] |= {"hf_model_name": str(folder), "hf_model_pretrained": False}
    clip = open_clip.CustomTextCLIP(**config)
    torch.save(clip.state_dict(), folder / "open_clip_pytorch_model.bin")
