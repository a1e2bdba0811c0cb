"""Text vectors: open_clip's own, averaged over sentences, kept; multilingual towers too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
import torch.nn.functional as F
from promptmatte.models.clip import ClipNetwork, load_clip
from promptmatte.models.clip.texts import (
    CHINESE_TEMPLATES,
    SENTENCES_AT_ONCE,
    TEMPLATES,
    encoded_text,
    sentences,
)
from safetensors.torch import save_file
from tiny_clip import tiny_clip, tiny_clip_folder, tiny_config
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

WORDS = [
    "<s>",
    "<pad>",
    "</s>",
    "<unk>",
    *"一张的照片。有场景中猫狗",
    "a",
    "photo",
    "of",
    "cat",
    ".",
]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> ClipNetwork:
    return tiny_clip(tmp_path_factory.mktemp("clip"))


def multilingual_folder(folder: Path) -> Path:
    """A CLIP with a tiny XLM-R as text tower, and its tokenizer, as a folder for local-dir."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>",
        unk_token="<unk>",
    ).save_pretrained(folder)  # fmt: skip
    sizes = {
        "model_type": "xlm-roberta", "hidden_size": 32, "intermediate_size": 64,
        "num_attention_heads": 2, "num_hidden_layers": 2, "max_position_embeddings": 64,
        "vocab_size": len(WORDS), "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2,
        "type_vocab_size": 1, "layer_norm_eps": 1e-5,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(sizes), encoding="utf-8")
    config = tiny_config()
    config["model_cfg"]["text_cfg"] = {
        "hf_model_name": "xlm-roberta-tiny",
        "hf_tokenizer_name": "xlm-roberta-tiny",
        "hf_pooler_type": "mean_pooler",
        "context_length": 32,
    }
    (folder / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")
    text = config["model_cfg"]["text_cfg"] | {
        "hf_model_name": str(folder / "config.json"), "hf_model_pretrained": False,
    }  # fmt: skip
    torch.manual_seed(3)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False, text_cfg=text)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


class Calls:
    """Counts the sentences that pass a module."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.rows: list[int] = []
        module.register_forward_hook(lambda _m, inputs, _out: self.rows.append(len(inputs[0])))


def test_a_phrase_is_the_mean_of_open_clips_own_vectors(clip: ClipNetwork) -> None:
    model: Any = clip._clip
    expected = []
    for phrase in ("dog", "red jacket"):
        ids = open_clip.tokenize([t.format(phrase) for t in TEMPLATES], context_length=32)
        with torch.no_grad():
            expected.append(F.normalize(model.encode_text(ids, normalize=True).mean(0), dim=0))
    found = clip.texts(["dog", "red jacket"])
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-4, atol=1e-5)
    assert found.dtype == torch.float32
    assert len(TEMPLATES) == 12


@pytest.mark.parametrize("custom_text", [False, True])
def test_short_texts_give_what_full_length_does(custom_text: bool, tmp_path: Path) -> None:
    model: Any = tiny_clip(tmp_path, custom_text=custom_text)._clip
    ids = open_clip.tokenize(["a dog", "", "word " * 40], context_length=32)
    for part in (ids[:1], ids[:2], ids):
        with torch.no_grad():
            torch.testing.assert_close(
                encoded_text(model, part), model.encode_text(part), rtol=1e-4, atol=1e-5
            )


def test_a_phrase_is_encoded_once(clip: ClipNetwork) -> None:
    model: Any = clip._clip
    calls = Calls(model.transformer)
    first = clip.texts(["a new lamp", "a new sofa", "a new lamp"])
    assert calls.rows == [2 * len(TEMPLATES)]
    assert torch.equal(first[0], first[2])
    assert torch.equal(clip.texts(["a new sofa", "a new lamp"]), first[[1, 0]])
    clip.texts(["a new lamp", "a new chair"])
    assert calls.rows == [2 * len(TEMPLATES), len(TEMPLATES)]
    assert clip.texts([]).shape == (0, clip.dim)


def test_many_phrases_are_encoded_in_parts(clip: ClipNetwork) -> None:
    model: Any = clip._clip
    calls = Calls(model.transformer)
    count = SENTENCES_AT_ONCE // len(TEMPLATES) + 1
    assert clip.texts([f"{n}" for n in range(count)]).shape == (count, clip.dim)
    assert len(calls.rows) == 2
    assert max(calls.rows) <= SENTENCES_AT_ONCE


def test_sentences_are_in_the_language_of_the_phrase() -> None:
    assert sentences("café") == [template.format("café") for template in TEMPLATES]
    assert sentences("猫") == [template.format("猫") for template in CHINESE_TEMPLATES]
    assert sentences("собака") == ["собака"]
    assert sentences("{} of braces")[0] == "{} of braces"


def test_a_multilingual_tower_takes_chinese_from_a_local_folder(tmp_path: Path) -> None:
    folder = multilingual_folder(tmp_path / "xlm")
    clip = load_clip(folder, name="tiny-xlm", device="cpu")
    calls = Calls(clip._clip.text.transformer.encoder)  # type: ignore[union-attr, arg-type]
    cat, dog, photo = clip.texts(["猫", "狗", "cat"])
    assert calls.rows
    assert not torch.allclose(cat, dog, atol=1e-3)
    assert not torch.allclose(cat, photo, atol=1e-3)
    model: Any = clip._clip
    ids = open_clip.get_tokenizer(f"local-dir:{folder}")(["一张猫的照片。", "狗"])
    assert ids.shape == (2, 32)
    assert 3 not in ids
    with torch.no_grad():
        torch.testing.assert_close(
            encoded_text(model, ids), model.encode_text(ids), rtol=1e-4, atol=1e-5
        )


def test_a_half_precise_image_tower_leaves_texts_alone(clip: ClipNetwork, tmp_path: Path) -> None:
    half = load_clip(tiny_clip_folder(tmp_path), name="t", device="cpu", precision="bf16")
    own = half.texts(["a heron"])
    assert torch.equal(own, clip.texts(["a heron"]))
