"""MobileSAM's encoder: a file in its public names against a plain reading of its forward pass.

Names, shapes and order of steps are from the published source (ChaoningZhang/MobileSAM,
mobile_sam/modeling/tiny_vit_sam.py), written anew here with plain functions. No public weights
are at hand: that their file has exactly these names is what this cannot show.
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from promptmatte.errors import ModelError
from promptmatte.models.sam import load_sam
from promptmatte.models.sam.encoder import cast
from promptmatte.models.sam.light import LightArchitecture, LightImageEncoder, renamed
from tiny_sam import tiny_sam
from torch import Tensor

WIDTHS, DEPTHS, HEADS, WINDOWS, DIM = (8, 12, 16, 24), (1, 2, 1, 1), (1, 2, 4, 3), (1, 4, 3, 2), 32
PUBLIC = ((64, 128, 160, 320), (2, 2, 6, 2), (1, 4, 5, 10), (1, 7, 14, 7), 256)
"""The public encoder's sizes, from build_sam_vit_t of the same source."""

Shapes = dict[str, tuple[int, ...]]


def conv_norm(name: str, inner: int, outer: int, kernel: int = 1) -> Shapes:
    shapes: Shapes = {f"{name}.c.weight": (outer, inner, kernel, kernel)}
    shapes |= {f"{name}.bn.{part}": (outer,) for part in ("weight", "bias", "running_mean")}
    return shapes | {f"{name}.bn.running_var": (outer,), f"{name}.bn.num_batches_tracked": ()}


def linear(name: str, inner: int, outer: int) -> Shapes:
    return {f"{name}.weight": (outer, inner), f"{name}.bias": (outer,)}


def norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def file_shapes(widths=WIDTHS, depths=DEPTHS, heads=HEADS, windows=WINDOWS, dim=DIM) -> Shapes:
    """Names and shapes of the encoder's tensors, as the published classes register them."""
    shapes = conv_norm("patch_embed.seq.0", 3, widths[0] // 2, 3)
    shapes |= conv_norm("patch_embed.seq.2", widths[0] // 2, widths[0], 3)
    for stage, width in enumerate(widths):
        for index in range(depths[stage]):
            block = f"layers.{stage}.blocks.{index}"
            if stage == 0:
                shapes |= conv_norm(f"{block}.conv1", width, 4 * width)
                shapes |= conv_norm(f"{block}.conv2", 1, 4 * width, 3)
                shapes |= conv_norm(f"{block}.conv3", 4 * width, width)
                continue
            shapes |= {f"{block}.attn.attention_biases": (heads[stage], windows[stage] ** 2)}
            shapes |= norm(f"{block}.attn.norm", width) | norm(f"{block}.mlp.norm", width)
            shapes |= linear(f"{block}.attn.qkv", width, 3 * width)
            shapes |= linear(f"{block}.attn.proj", width, width)
            shapes |= linear(f"{block}.mlp.fc1", width, 4 * width)
            shapes |= linear(f"{block}.mlp.fc2", 4 * width, width)
            shapes |= conv_norm(f"{block}.local_conv", 1, width, 3)
        if stage < 3:
            step, outer = f"layers.{stage}.downsample", widths[stage + 1]
            shapes |= conv_norm(f"{step}.conv1", width, outer)
            shapes |= conv_norm(f"{step}.conv2", 1, outer, 3) | conv_norm(
                f"{step}.conv3", outer, outer
            )
    shapes |= norm("norm_head", widths[-1]) | linear("head", widths[-1], 1000)
    shapes |= {"neck.0.weight": (dim, widths[-1], 1, 1), "neck.2.weight": (dim, dim, 3, 3)}
    return shapes | norm("neck.1", dim) | norm("neck.3", dim)


def file_weights(shapes: Shapes) -> dict[str, Tensor]:
    """Random tensors of the names in an image encoder."""
    torch.manual_seed(11)
    weights = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            value = torch.tensor(7)
        elif name.endswith("running_var"):
            value = torch.rand(shape) + 0.5
        elif len(shape) < 2:
            value = torch.randn(shape) * 0.2 + (0.0 if "bias" in name else 1.0)
        else:
            value = torch.randn(shape) / math.sqrt(math.prod(shape[1:]))
        weights[f"image_encoder.{name}"] = value
    return weights


class Reading:
    """The published forward pass on a file's tensors, step by step."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        self._w = {key.removeprefix("image_encoder."): value for key, value in weights.items()}

    def conv(self, name: str, x: Tensor, *, stride: int = 1, groups: int = 1) -> Tensor:
        w = self._w
        kernel = w[f"{name}.c.weight"]
        x = F.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2, groups=groups)
        mean, var = w[f"{name}.bn.running_mean"], w[f"{name}.bn.running_var"]
        return F.batch_norm(x, mean, var, w[f"{name}.bn.weight"], w[f"{name}.bn.bias"])

    def linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self._w[f"{name}.weight"], self._w[f"{name}.bias"])

    def norm(self, name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self._w[f"{name}.weight"], self._w[f"{name}.bias"])

    def attention(self, name: str, x: Tensor, heads: int, window: int) -> Tensor:
        """Tokens [windows, window * window, C] of one window each."""
        places = list(itertools.product(range(window), repeat=2))
        seen: dict[tuple[int, int], int] = {}
        index = [
            seen.setdefault((abs(a[0] - b[0]), abs(a[1] - b[1])), len(seen))
            for a in places
            for b in places
        ]
        bias = self._w[f"{name}.attention_biases"][:, index].view(heads, len(places), -1)
        qkv = self.linear(f"{name}.qkv", self.norm(f"{name}.norm", x))
        q, k, v = qkv.view(*x.shape[:2], heads, -1).transpose(1, 2).chunk(3, dim=-1)
        logits = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1]) + bias
        return self.linear(
            f"{name}.proj", (logits.softmax(-1) @ v).transpose(1, 2).reshape(x.shape)
        )

    def block(self, name: str, x: Tensor, heads: int, window: int) -> Tensor:
        _, C, H, W = x.shape
        rows, columns = math.ceil(H / window), math.ceil(W / window)
        tokens = x.permute(0, 2, 3, 1)
        room = F.pad(tokens, (0, 0, 0, columns * window - W, 0, rows * window - H))
        mixed = torch.zeros_like(room)
        for row, column in itertools.product(range(rows), range(columns)):
            down = slice(row * window, (row + 1) * window)
            across = slice(column * window, (column + 1) * window)
            part = room[:, down, across]
            flat = self.attention(f"{name}.attn", part.flatten(1, 2), heads, window)
            mixed[:, down, across] = flat.view(part.shape)
        x = (tokens + mixed[:, :H, :W]).permute(0, 3, 1, 2)
        x = self.conv(f"{name}.local_conv", x, groups=C).permute(0, 2, 3, 1)
        hidden = F.gelu(self.linear(f"{name}.mlp.fc1", self.norm(f"{name}.mlp.norm", x)))
        return (x + self.linear(f"{name}.mlp.fc2", hidden)).permute(0, 3, 1, 2)

    def __call__(self, x: Tensor) -> Tensor:
        x = self.conv("patch_embed.seq.0", x, stride=2)
        x = self.conv("patch_embed.seq.2", F.gelu(x), stride=2)
        for stage, depth in enumerate(DEPTHS):
            for index in range(depth):
                name = f"layers.{stage}.blocks.{index}"
                if stage > 0:
                    x = self.block(name, x, HEADS[stage], WINDOWS[stage])
                    continue
                inner = F.gelu(self.conv(f"{name}.conv1", x))
                inner = F.gelu(self.conv(f"{name}.conv2", inner, groups=inner.shape[1]))
                x = F.gelu(x + self.conv(f"{name}.conv3", inner))
            if stage < 3:
                step = f"layers.{stage}.downsample"
                x = F.gelu(self.conv(f"{step}.conv1", x))
                stride = 1 if stage == 2 else 2
                x = F.gelu(self.conv(f"{step}.conv2", x, stride=stride, groups=x.shape[1]))
                x = self.conv(f"{step}.conv3", x)
        for kernel, scale in (("neck.0", "neck.1"), ("neck.2", "neck.3")):
            x = F.conv2d(x, self._w[f"{kernel}.weight"], padding=(1 if kernel == "neck.2" else 0))
            x = x.permute(0, 2, 3, 1)
            x = F.layer_norm(
                x, x.shape[-1:], self._w[f"{scale}.weight"], self._w[f"{scale}.bias"], eps=1e-6
            ).permute(0, 3, 1, 2)
        return x


def loaded(weights: dict[str, Tensor], side: int) -> LightImageEncoder:
    encoder = LightImageEncoder(LightArchitecture.of(weights), side=side).eval()
    prefix = "image_encoder."
    encoder.load_state_dict({k.removeprefix(prefix): v for k, v in renamed(weights).items()})
    return encoder


@torch.no_grad()
def test_a_file_in_public_names_gives_the_published_forward_pass() -> None:
    weights = file_weights(file_shapes())
    encoder = loaded(weights, side=80)
    pixels = torch.randn(2, 3, 80, 80)
    want = Reading(weights)(pixels)
    assert want.shape == (2, DIM, 5, 5)
    torch.testing.assert_close(encoder(pixels), want, atol=2e-5, rtol=1e-4)
    encoder.fuse()
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in encoder.modules())
    torch.testing.assert_close(encoder(pixels), want, atol=5e-5, rtol=1e-4)


@torch.no_grad()
def test_in_half_precision_it_is_near() -> None:
    weights = file_weights(file_shapes())
    encoder = loaded(weights, side=80)
    encoder.fuse()
    pixels = torch.randn(1, 3, 80, 80)
    want = encoder(pixels)
    cast(encoder, torch.bfloat16)
    found = encoder(pixels.bfloat16())
    assert found.dtype == torch.float32
    assert 0 < float((found - want).abs().mean()) < 0.05 * float(want.std())


def test_every_name_of_the_public_encoder_finds_its_place() -> None:
    weights = {
        f"image_encoder.{name}": torch.zeros(shape, device="meta")
        for name, shape in file_shapes(*PUBLIC).items()
    }
    architecture = LightArchitecture.of(weights)
    assert architecture == LightArchitecture(
        widths=PUBLIC[0],
        depths=PUBLIC[1],
        heads=PUBLIC[2],
        windows=PUBLIC[3],
        mlp_ratio=4.0,
        dim=256,
    )
    ours = LightImageEncoder(architecture).state_dict()
    theirs = {k.removeprefix("image_encoder."): v.shape for k, v in renamed(weights).items()}
    assert {key: value.shape for key, value in ours.items()} == theirs
    # MobileSAM's README counts 9.66 M parameters in all, 3.876 M of them outside the encoder.
    assert sum(value.numel() for value in ours.values()) == pytest.approx(5.78e6, rel=0.01)


@pytest.fixture(scope="module")
def mobile_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rest = tiny_sam(dim=DIM).state_dict()
    others = {k: v for k, v in rest.items() if not k.startswith("image_encoder.")}
    path = tmp_path_factory.mktemp("mobile") / "mobile_sam.pt"
    torch.save(file_weights(file_shapes()) | others, path)
    return path


def test_load_sam_reads_such_a_file(mobile_file: Path) -> None:
    network = load_sam(mobile_file, kind="mobile-sam", device="cpu", precision="bf16")
    assert (network.input_side, network.grid, network.mask_side, network.dim) == (
        1024,
        64,
        256,
        DIM,
    )
    features = network.encode(np.full((90, 160, 3), 128, np.uint8))
    assert features.embedding.shape == (1, DIM, 64, 64)
    sparse = network.points(torch.tensor([[[500.0, 300.0]]]), torch.tensor([[1]]))
    masks, _ = network.predict(features.embedding, sparse=sparse, dense=network.no_mask)
    assert masks.shape == (1, 3, 256, 256)
    assert bool(masks.isfinite().all())


def test_another_kind_than_chosen_is_refused(mobile_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="expected sam-vit-b; the file holds mobile-sam"):
        load_sam(mobile_file, kind="sam-vit-b", device="cpu")
    torch.save(tiny_sam().state_dict(), tmp_path / "vit.pt")
    with pytest.raises(ModelError, match="expected mobile-sam"):
        load_sam(tmp_path / "vit.pt", kind="mobile-sam", device="cpu")
