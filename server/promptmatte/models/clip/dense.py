"""Dense features from CLIP's last block: attention by likeness in place of its own.

CLIP's last block gathers what the whole picture is about into every patch. Attention of each
patch to those like it keeps the patch's own meaning. Two kinds: key to key with a Gaussian
window (NACLIP: Hajimiri et al., "Pay Attention to Your Neighbours", 2024), and by the
similarities of another encoder's features (ProxyCLIP: Lan et al., 2024; Trident: Shi et al.,
2024). In both the residual path and the MLP of the last block are left out.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor

WINDOW_PATCHES = 5.0
"""Standard deviation of the Gaussian window, as in NACLIP."""

GUIDE_SHIFT, GUIDE_SCALE = 1.2, 3.0
"""What ProxyCLIP subtracts (times the mean similarity) and multiplies by (its beta, gamma)."""


def queries_keys_values(
    block: ResidualAttentionBlock, tokens: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys, values [B, heads, N, dim / heads] of the block's attention on tokens
    [B, N, dim]."""
    attention = block.attn
    mixed = F.linear(block.ln_1(tokens), attention.in_proj_weight, attention.in_proj_bias)
    batch, count = tokens.shape[:2]
    split = mixed.reshape(batch, count, 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4)
    return split[0], split[1], split[2]


def merged(block: ResidualAttentionBlock, gathered: Tensor) -> Tensor:
    """The block's output projection of what its heads gathered: [B, heads, N, d] -> [B, N, dim]."""
    projected: Tensor = block.attn.out_proj(gathered.transpose(1, 2).flatten(2))
    return block.ls_1(projected)  # type: ignore[no-any-return]


def window(rows: int, columns: int, like: Tensor) -> Tensor:
    """Gaussian of the distance of patches [rows * columns, rows * columns], 1 at the patch
    itself; added to attention logits."""
    y, x = (
        torch.exp(-((torch.arange(n)[:, None] - torch.arange(n)) ** 2) / (2 * WINDOW_PATCHES**2))
        for n in (rows, columns)
    )
    return torch.kron(y, x).to(device=like.device, dtype=like.dtype)


def neighbours_gathered(keys: Tensor, values: Tensor, nearness: Tensor) -> Tensor:
    """Values [B, heads, N, d] gathered over patches with like keys nearby; nearness [N, N]."""
    # The class token takes no part: what it holds is of the whole picture.
    return F.scaled_dot_product_attention(keys, keys, values, attn_mask=nearness)


def guide_attention(guide: Tensor, rows: int, columns: int) -> Tensor:
    """Attention [gh * gw, rows * columns] of every place of the guide [1, D, gh, gw] to the
    patches of CLIP's grid, by the cosine of the guide's features.

    Queries are as fine as the guide, keys as coarse as CLIP's patches: a fifth of the work of
    fine keys, as values are no finer than patches anyway. What is less like than the mean has
    no weight; the likest patch always has.
    """
    features = guide.float()
    # Without their common part, all of one encoder's features are alike, and the shift by the
    # mean would leave nothing.
    features = features - features.mean(dim=(2, 3), keepdim=True)
    places = F.interpolate(features, (rows, columns), mode="bilinear", align_corners=False)
    queries = F.normalize(features.flatten(2)[0], dim=0)
    likeness = queries.T @ F.normalize(places.flatten(2)[0], dim=0)
    logits = (likeness - GUIDE_SHIFT * likeness.mean()) * GUIDE_SCALE
    unlike = (logits < 0) & (logits < logits.amax(dim=1, keepdim=True))
    return logits.masked_fill(unlike, -torch.inf).softmax(dim=1)
