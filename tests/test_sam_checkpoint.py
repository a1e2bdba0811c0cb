"""Reading files of weights: the right ones, the wrong ones, and how much memory that takes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from promptmatte.errors import ModelError
from promptmatte.models.sam import SamNetwork, load_sam
from promptmatte.models.sam.architecture import VitArchitecture
from promptmatte.models.sam.checkpoint import empty_sam
from promptmatte.models.sam.encoder import cast
from segment_anything import sam_model_registry
from tiny_sam import tiny_sam

PICTURE = np.random.default_rng(0).integers(0, 256, (36, 64, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def tiny_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sam") / "tiny.pth"
    torch.save(tiny_sam().state_dict(), path)
    return path


@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_gives_the_sam_that_was_saved(tmp_path: Path, legacy: bool) -> None:
    path = tmp_path / "sam.pth"
    torch.save(tiny_sam(seed=2).state_dict(), path, _use_new_zipfile_serialization=not legacy)
    told: list[tuple[str, float]] = []
    loaded = load_sam(
        path, kind="sam-vit-b", device="cpu", progress=lambda *step: told.append(step)
    )
    saved = SamNetwork(tiny_sam(seed=2), kind="sam-vit-b", device="cpu")
    assert (loaded.kind, loaded.precision, loaded.dim, loaded.grid) == ("sam-vit-b", "fp32", 32, 4)
    ours, theirs = loaded.encode(PICTURE), saved.encode(PICTURE)
    assert torch.equal(ours.embedding, theirs.embedding)
    sparse = loaded.points(torch.tensor([[[5.0, 9.0]]]), torch.tensor([[1]]))
    found = loaded.predict(ours.embedding, sparse=sparse, dense=loaded.no_mask)
    wanted = saved.predict(theirs.embedding, sparse=sparse, dense=saved.no_mask)
    assert torch.equal(found[0], wanted[0])
    assert torch.equal(found[1], wanted[1])
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert {stage for stage, _ in told} == {"reading sam-vit-b"}


def test_loaded_in_half_it_is_the_same_as_cast_afterwards(tiny_file: Path) -> None:
    loaded = load_sam(tiny_file, kind="sam-vit-l", device="cpu", precision="bf16")
    cast_later = SamNetwork(tiny_sam(), kind="sam-vit-l", device="cpu", precision="bf16")
    assert torch.equal(loaded.encode(PICTURE).embedding, cast_later.encode(PICTURE).embedding)
    assert loaded.weight_bytes == cast_later.weight_bytes


@pytest.mark.parametrize(("kind", "short"), [("sam-vit-b", "vit_b"), ("sam-vit-h", "vit_h")])
def test_a_public_model_is_known_by_its_shapes(kind: str, short: str) -> None:
    with torch.device("meta"):
        public = sam_model_registry[short]()
    weights = public.state_dict()
    sam = empty_sam(weights, kind)
    theirs, ours = public.image_encoder, sam.image_encoder
    assert VitArchitecture.of(weights).public_name == kind
    assert {k: v.shape for k, v in sam.state_dict().items()} == {
        k: v.shape for k, v in weights.items()
    }
    for mine, other in zip(ours.blocks, theirs.blocks, strict=True):
        assert mine.window_size == other.window_size
        assert mine.attn.num_heads == other.attn.num_heads
        assert mine.norm1.eps == other.norm1.eps
    assert ours.img_size == 1024
    assert torch.equal(sam.pixel_mean, torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1))
    assert str(sam.mask_decoder) == str(public.mask_decoder)
    with pytest.raises(ModelError, match=f"expected sam-vit-l; the file holds {kind}"):
        empty_sam(weights, "sam-vit-l")


def test_vit_h_in_fp16_takes_less_than_60_percent() -> None:
    with torch.device("meta"):
        sam = sam_model_registry["vit_h"]()
    full_bytes = sum(value.nbytes for value in sam.state_dict().values())
    cast(sam.image_encoder, torch.float16)
    half_bytes = sum(value.nbytes for value in sam.state_dict().values())
    assert full_bytes == pytest.approx(2.56e9, rel=0.01)  # as large as the public file
    assert half_bytes < 0.6 * full_bytes


def test_what_is_no_file_of_weights_is_refused(tiny_file: Path, tmp_path: Path) -> None:
    whole = tiny_file.read_bytes()
    cases = {
        "missing": None,
        "empty": b"",
        "text": b"<html>404 Not Found</html>",
        "half": whole[: len(whole) // 2],
        "nearly": whole[:-30],
    }
    for name, content in cases.items():
        path = tmp_path / f"{name}.pth"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ModelError, match="expected a file of PyTorch weights") as caught:
            load_sam(path, kind="sam-vit-b", device="cpu")
        assert str(caught.value).endswith(": fetch it again"), name
        assert len(str(caught.value).replace(str(path), "").splitlines()) == 1


class Bomb:
    """Unpickling this would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_a_file_is_not_run(tmp_path: Path, legacy: bool) -> None:
    path, trace = tmp_path / "bomb.pth", tmp_path / "trace"
    torch.save({"a": Bomb(trace)}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ModelError, match="cannot read it"):
        load_sam(path, kind="sam-vit-b", device="cpu")
    assert not trace.exists()


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"conv.weight": torch.zeros(3, 3)}, path)
    with pytest.raises(ModelError, match="expected the weights of a Sam"):
        load_sam(path, kind="sam-vit-b", device="cpu")
    torch.save([1, 2], path)
    with pytest.raises(ModelError, match="expected a state dict of tensors"):
        load_sam(path, kind="sam-vit-b", device="cpu")
    torch.save({"state": {"a": torch.zeros(1)}}, path)
    with pytest.raises(ModelError, match="expected a state dict of tensors"):
        load_sam(path, kind="sam-vit-b", device="cpu")


def test_a_sam_that_lacks_a_part_or_has_another_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "part.pth"
    weights = tiny_sam().state_dict()
    weights.pop("image_encoder.blocks.2.mlp.lin2.bias")
    torch.save(weights, path)
    with pytest.raises(ModelError, match=r"Missing key.*blocks\.2\.mlp\.lin2\.bias"):
        load_sam(path, kind="sam-vit-b", device="cpu")
    torch.save(tiny_sam().state_dict() | {"mask_decoder.hf_token.weight": torch.zeros(1)}, path)
    with pytest.raises(ModelError, match=r"Unexpected key.*hf_token"):
        load_sam(path, kind="sam-vit-b", device="cpu")
    shape = {"image_encoder.blocks.1.mlp.lin1.weight": torch.zeros(5, 5)}
    torch.save(tiny_sam().state_dict() | shape, path)
    with pytest.raises(ModelError, match="size mismatch"):
        load_sam(path, kind="sam-vit-b", device="cpu")


def anonymous_bytes() -> int:
    """Memory of this process that is not of mapped files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("RssAnon")))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_loading_in_half_never_holds_the_file_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "wide.pth"
    torch.save(tiny_sam(width=640, depth=6, heads=4).state_dict(), path)  # 120 MB
    held: list[int] = []
    before_bytes = anonymous_bytes()
    network = load_sam(
        path,
        kind="sam-vit-b",
        device="cpu",
        precision="fp16",
        progress=lambda *_: held.append(anonymous_bytes() - before_bytes),
    )
    file_bytes = path.stat().st_size
    assert file_bytes > 1.9 * network.weight_bytes
    assert max(held) < network.weight_bytes + 0.2 * file_bytes
