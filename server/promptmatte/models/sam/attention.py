"""SAM's attention with relative positions, through PyTorch's fused kernels.

segment_anything writes the logits of all heads out, 800 MB in a global block of ViT-B, and goes
over them several times. Both ways here give the same numbers without.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ROWS_AT_ONCE = 8
"""Rows of queries whose bias is in memory at once.

A global block of 64 x 64 tokens, 3 heads, fp32 on one core: 217 ms and 172 MB with 8 rows, 256 ms
with 2, 296 ms and 244 MB with all 64; segment_anything 582 ms and 617 MB, `appended` 468 ms. In
bf16 266 ms and 64 MB, segment_anything 279 ms and 316 MB.
"""

KERNEL_MULTIPLE = 8
"""Flash kernels want head dimensions that are a multiple of this."""


def install(encoder: nn.Module, way: str) -> None:
    """Lets each attention of segment_anything's ImageEncoderViT run one of WAYS.

    Only these instances change, by a forward of their own and buffers that are not saved; the
    keys of the state dict stay.
    """
    model: Any = encoder
    for block in model.blocks:
        attention = block.attn
        height, width = (
            (len(table) + 1) // 2 for table in (attention.rel_pos_h, attention.rel_pos_w)
        )
        device = attention.rel_pos_h.device
        for name, size in (("apart_h", height), ("apart_w", width)):
            place = torch.arange(size, device=device)
            apart = place[:, None] - place[None, :] + size - 1
            attention.register_buffer(name, apart, persistent=False)
        if way == "appended":
            places = places_of(height, width).to(device, attention.rel_pos_h.dtype)
            attention.register_buffer("places", places, persistent=False)
        attention.forward = MethodType(WAYS[way], attention)


def places_of(height: int, width: int) -> Tensor:
    """For each of the height * width tokens its row and its column, one-hot: [HW, H + W]."""
    rows = torch.eye(height).repeat_interleave(width, dim=0)
    return torch.cat([rows, torch.eye(width).repeat(height, 1)], dim=1)


def biased(attention: Any, x: Tensor) -> Tensor:
    """Tokens [B, H, W, C] in and out; positions as a bias of some rows of queries at a time.

    For CPUs and MPS.
    """
    q, k, v, of_rows, of_columns = _parts(attention, x)
    height, width = x.shape[1:3]
    outs = []
    for start in range(0, height, ROWS_AT_ONCE):
        some = slice(start * width, (start + ROWS_AT_ONCE) * width)
        bias = of_rows[:, :, some, :, None] + of_columns[:, :, some, None, :]
        outs.append(F.scaled_dot_product_attention(q[:, :, some], k, v, attn_mask=bias.flatten(3)))
    return _merged(attention, torch.cat(outs, dim=2), x)


def appended(attention: Any, x: Tensor) -> Tensor:
    """Tokens [B, H, W, C] in and out; positions as further dimensions of queries and keys.

    A query's terms for each row and column, times a key's row and column one-hot, add exactly the
    bias to the logits. Without a bias, flash kernels serve (head dimensions up to 256; ViT-H
    has 80 + 64 + 64), and no logits are ever in memory. For CUDA: by reckoning, not measured,
    a bias of 16 heads in fp16 is 512 MB to write and read again in each global block.
    """
    q, k, v, of_rows, of_columns = _parts(attention, x)
    dim = q.shape[-1]
    extra = attention.places.shape[1]
    spare = -(dim + extra) % KERNEL_MULTIPLE
    places = F.pad(attention.places, (0, spare)).expand(*k.shape[:2], -1, -1)
    terms = F.pad(torch.cat([of_rows, of_columns], dim=-1), (0, spare))
    out = F.scaled_dot_product_attention(
        torch.cat([q * attention.scale, terms], dim=-1),
        torch.cat([k, places], dim=-1),
        F.pad(v, (0, extra + spare)),  # flash kernels want values as wide as keys
        scale=1.0,
    )
    return _merged(attention, out[..., :dim], x)


WAYS = {"biased": biased, "appended": appended}


def _parts(attention: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Queries, keys, values [B, n, HW, c], and how much each query likes each row
    [B, n, HW, H] and each column [B, n, HW, W] of keys."""
    B, H, W, _ = x.shape
    qkv = attention.qkv(x).reshape(B, H * W, 3, attention.num_heads, -1)
    q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    grid = q.reshape(*q.shape[:2], H, W, q.shape[-1])
    of_rows = torch.einsum("bnhwc,hkc->bnhwk", grid, attention.rel_pos_h[attention.apart_h])
    of_columns = torch.einsum("bnhwc,wkc->bnhwk", grid, attention.rel_pos_w[attention.apart_w])
    return q, k, v, of_rows.flatten(2, 3), of_columns.flatten(2, 3)


def _merged(attention: Any, out: Tensor, x: Tensor) -> Tensor:
    return attention.proj(out.transpose(1, 2).reshape(x.shape))  # type: ignore[no-any-return]
