"""What can be fetched: every model file with its address, size and sha256.

Where the figures are from. SAM: the addresses are those of the segment-anything read-me;
sizes and sha256 are the ones that several public projects pin. OpenAI's CLIP: the sha256
is part of the address (open_clip and OpenAI's own loader check it too). LAION's
xlm-roberta-base-ViT-B-32 and the XLM-R tokenizer: size and sha256 as pinned by public
projects for those revisions. LAION's xlm-roberta-large-ViT-H-14: no published sha256 was
found, so it has none here and the first download is what later ones are held against.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from promptmatte.errors import ConfigError, shown
from promptmatte.models.choice import SAM_NAMES, ModelChoice
from promptmatte.models.download import RemoteFile

LOCAL_DIR = "local-dir:"
"""Before the path of a CLIP of the user's own, as in open_clip."""
SAM_URL = "https://dl.fbaipublicfiles.com/segment_anything"
MOBILE_SAM_URL = (
    "https://raw.githubusercontent.com/ChaoningZhang/MobileSAM/"
    "f706ad9c4eb7f219c00d9050e46328518ffb65d2/weights/mobile_sam.pt"
)
OPENAI_URL = "https://openaipublic.azureedge.net/clip/models"
HUB_URL = "https://huggingface.co"


@dataclass(frozen=True, kw_only=True)
class WrittenFile:
    """A small JSON file that is written beside the fetched ones."""

    name: str
    content: dict[str, Any]

    @property
    def text(self) -> str:
        """What the file holds."""
        return json.dumps(self.content, indent=1)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One model by name: what it is for, whose it is, and its files.

    about_bytes is the size where it is not published to the byte. by_hand says how to get
    a model that is not fetched; then there are no files.
    """

    name: str
    kind: str
    purpose: str
    licence: str
    files: tuple[RemoteFile, ...] = ()
    written: tuple[WrittenFile, ...] = ()
    about_bytes: int = 0
    by_hand: str = ""

    @property
    def is_folder(self) -> bool:
        """True where the model is a folder, False where it is one file."""
        return bool(self.written)

    @property
    def size_bytes(self) -> int:
        """Bytes to fetch, to the byte unless about_bytes stands for them."""
        return self.about_bytes or sum(file.size_bytes or 0 for file in self.files)

    @property
    def is_published(self) -> bool:
        """True when every file is checked against a published sha256."""
        return all(file.sha256 for file in self.files)


def _sam(name: str, purpose: str, file: str, size_bytes: int, sha256: str) -> Entry:
    url = MOBILE_SAM_URL if name == "mobile-sam" else f"{SAM_URL}/{file}"
    remote = RemoteFile(name=file, url=url, size_bytes=size_bytes, sha256=sha256)
    return Entry(name=name, kind="SAM", purpose=purpose, licence="Apache-2.0", files=(remote,))


def _openai_clip(name: str, purpose: str, size_bytes: int, sha256: str) -> Entry:
    file = f"{name}.pt"
    remote = RemoteFile(
        name=file, url=f"{OPENAI_URL}/{sha256}/{file}", size_bytes=size_bytes, sha256=sha256
    )
    return Entry(name=name, kind="CLIP", purpose=purpose, licence="MIT", files=(remote,))


XLM_R_TOKENIZER = RemoteFile(
    name="tokenizer.json",
    url=f"{HUB_URL}/FacebookAI/xlm-roberta-base/resolve/"
    "e73636d4f797dec63c3081bb6ed5c7b0bb3f2089/tokenizer.json",
    size_bytes=9096718,
    sha256="a898ea75433890f6610f4e470b8ebeb0c21dce5c8dd61f892eb09eb5919d2e2c",
)
"""Serves XLM-R base and large, which share one vocabulary of 250,002 pieces."""


def _multilingual_files(
    tower: str, *, embed_dim: int, vision: dict[str, int], text: dict[str, int]
) -> tuple[WrittenFile, ...]:
    """What open_clip and transformers read, so that neither asks the hub for anything.

    The sizes are those of open_clip's model_configs and of XLM-R's own configuration;
    load_clip builds the text tower from the config.json beside the weights.
    """
    clip = {
        "embed_dim": embed_dim,
        "vision_cfg": {"image_size": 224, **vision},
        "text_cfg": {
            "hf_model_name": tower,
            "hf_tokenizer_name": tower,
            "hf_pooler_type": "mean_pooler",
        },
    }
    preprocess = {
        "mean": [0.48145466, 0.4578275, 0.40821073],
        "std": [0.26862954, 0.26130258, 0.27577711],
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    }
    xlm_r = {
        "model_type": "xlm-roberta",
        "architectures": ["XLMRobertaModel"],
        "vocab_size": 250002,
        "max_position_embeddings": 514,
        "type_vocab_size": 1,
        "layer_norm_eps": 1e-5,
        "bos_token_id": 0,
        "pad_token_id": 1,
        "eos_token_id": 2,
        **text,
    }
    tokenizer = {"tokenizer_class": "XLMRobertaTokenizer", "model_max_length": 512}
    return (
        WrittenFile(
            name="open_clip_config.json",
            content={"model_cfg": clip, "preprocess_cfg": preprocess},
        ),
        WrittenFile(name="config.json", content=xlm_r),
        WrittenFile(name="tokenizer_config.json", content=tokenizer),
    )


def _multilingual(
    name: str, purpose: str, weights: RemoteFile, written: tuple[WrittenFile, ...], about: int = 0
) -> Entry:
    return Entry(
        name=name,
        kind="CLIP",
        purpose=purpose,
        licence="MIT",
        files=(weights, XLM_R_TOKENIZER),
        written=written,
        about_bytes=about,
    )


_ENTRIES = (
    _sam(
        "mobile-sam",
        "the lightest SAM, for small cards",
        "mobile_sam.pt",
        40728226,
        "6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
    ),
    _sam(
        "sam-vit-b",
        "SAM base: the one for live use",
        "sam_vit_b_01ec64.pth",
        375042383,
        "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
    ),
    _sam(
        "sam-vit-l",
        "SAM large: better edges, slower",
        "sam_vit_l_0b3195.pth",
        1249524607,
        "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
    ),
    _sam(
        "sam-vit-h",
        "SAM huge: the best of them, slowest",
        "sam_vit_h_4b8939.pth",
        2564550879,
        "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
    ),
    _openai_clip(
        "ViT-B-16",
        "English words (default)",
        350837078,
        "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f",
    ),
    _openai_clip(
        "ViT-L-14",
        "English words, knows more things",
        932768134,
        "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",
    ),
    _multilingual(
        "xlm-roberta-base-ViT-B-32",
        "words in about 100 languages; small, coarse",
        RemoteFile(
            name="open_clip_pytorch_model.bin",
            url=f"{HUB_URL}/laion/CLIP-ViT-B-32-xlm-roberta-base-laion5B-s13B-b90k/resolve/"
            "506d40eb551f4801a1c27fc20a31c7b8f590deda/open_clip_pytorch_model.bin",
            size_bytes=1464635263,
            sha256="a5412f19cca70db8d434f68361f7254bd322a553455a63dbb709bd6a650cf378",
        ),
        _multilingual_files(
            "xlm-roberta-base",
            embed_dim=512,
            vision={"layers": 12, "width": 768, "patch_size": 32},
            text={
                "hidden_size": 768,
                "num_hidden_layers": 12,
                "num_attention_heads": 12,
                "intermediate_size": 3072,
            },
        ),
    ),
    _multilingual(
        "xlm-roberta-large-ViT-H-14",
        "words in about 100 languages; the best",
        RemoteFile(
            name="open_clip_pytorch_model.bin",
            url=f"{HUB_URL}/laion/CLIP-ViT-H-14-frozen-xlm-roberta-large-laion5B-s13B-b90k/"
            "resolve/main/open_clip_pytorch_model.bin",
            size_bytes=None,
            sha256=None,
        ),
        _multilingual_files(
            "xlm-roberta-large",
            embed_dim=1024,
            vision={"layers": 32, "width": 1280, "head_width": 80, "patch_size": 14},
            text={
                "hidden_size": 1024,
                "num_hidden_layers": 24,
                "num_attention_heads": 16,
                "intermediate_size": 4096,
            },
        ),
        4_781_500_000,  # 4,772,059,140 bytes of parameters, some for names, the tokenizer
    ),
    Entry(
        name="sam3",
        kind="SAM 3",
        purpose="finds things by words alone",
        licence="SAM License",
        by_hand="accept the licence at https://huggingface.co/facebook/sam3, then run: hf download "
        "facebook/sam3; or name a folder of it with --weights",
    ),
)
CATALOGUE = {entry.name: entry for entry in _ENTRIES}
CLIP_NAMES = tuple(entry.name for entry in _ENTRIES if entry.kind == "CLIP")


def named_entry(name: str) -> Entry:
    """The entry of that name; ConfigError."""
    try:
        return CATALOGUE[name]
    except KeyError:
        raise ConfigError(
            f"expected a model of {', '.join(CATALOGUE)}; got {shown(name)}"
        ) from None


def named_clip(name: str) -> Entry:
    """The CLIP entry of that name; ConfigError."""
    if name not in CLIP_NAMES:
        raise ConfigError(
            f"expected a CLIP of {', '.join(CLIP_NAMES)}, or {LOCAL_DIR}FOLDER; got {shown(name)}"
        )
    return CATALOGUE[name]


def needed(choice: ModelChoice) -> tuple[str, ...]:
    """The entries that a choice reads from the cache; ConfigError for a CLIP that is not one.

    Empty for the embedded model, which is shipped, and for sam3, which is not fetched.
    Files of the user's own (weights, local-dir:) stand in for theirs.
    """
    if choice.name not in SAM_NAMES:
        return ()
    names = () if choice.weights else (choice.name,)
    if choice.clip.startswith(LOCAL_DIR):
        return names
    return (*names, named_clip(choice.clip).name)
