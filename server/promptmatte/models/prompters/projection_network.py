"""The trained part between CLIP and SAM: text, and what is in the picture, to SAM's prompts."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from promptmatte.errors import ModelError
from promptmatte.models.text import TextProjection

if TYPE_CHECKING:
    from promptmatte.models.sam import SamNetwork

MAX_TOKENS = 4
SCALARS = 6
PADDING_LOGIT = -12.0
"""What the mask prompt says of SAM's padding: nothing there. SAM's own low-resolution masks,
which its mask prompts were trained on, are about as sure."""


@dataclass(frozen=True, kw_only=True)
class ProjectionArchitecture:
    """The sizes that make one projection; stored with its weights.

    text_dim: of CLIP's joint space. prompt_dim: of SAM's prompts. image_conditioned: the
    picture has a say, by a likeness map and by tokens; without it text alone decides, which
    has a lower ceiling. tokens: 1 to 4, that a picture makes.
    """

    text_dim: int
    prompt_dim: int = 256
    hidden_dim: int = 512
    key_dim: int = 256
    image_conditioned: bool = True
    tokens: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.tokens <= MAX_TOKENS:
            raise ModelError(f"expected 1 to {MAX_TOKENS} projection tokens; got {self.tokens}")

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for the weight file's metadata."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, eq=False)
class GridFeatures:
    """Pictures as both networks see them, on SAM's grid: image [B, prompt_dim, g, g] with SAM's
    padding, clip [B, text_dim, g, g], 0 in the padding, and inside bool [B, 1, g, g], where
    there is a picture."""

    image: Tensor
    clip: Tensor
    inside: Tensor

    @classmethod
    def of(cls, *, image: Tensor, clip: Tensor, grid_hw: tuple[int, int]) -> GridFeatures:
        """One picture: SAM's embedding [1, dim, g, g] and dense CLIP features [1, dim, h, w] of
        the picture alone, which covers grid_hw cells at the top left."""
        rows, columns = grid_hw
        side_h, side_w = image.shape[-2:]
        dense = F.interpolate(clip.float(), size=grid_hw, mode="bilinear", align_corners=False)
        inside = torch.zeros(1, 1, side_h, side_w, dtype=torch.bool, device=image.device)
        inside[..., :rows, :columns] = True
        padding = (0, side_w - columns, 0, side_h - rows)
        return cls(image=image.float(), clip=F.pad(dense, padding), inside=inside)

    @classmethod
    def stacked(cls, pictures: list[GridFeatures]) -> GridFeatures:
        """Several pictures of one SAM in one batch."""
        return cls(
            image=torch.cat([p.image for p in pictures]),
            clip=torch.cat([p.clip for p in pictures]),
            inside=torch.cat([p.inside for p in pictures]),
        )

    def to(self, device: torch.device) -> GridFeatures:
        """The same on a device."""
        return GridFeatures(
            image=self.image.to(device), clip=self.clip.to(device), inside=self.inside.to(device)
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidates:
    """Mask logits [N, 3, 4g, 4g], how good each is, as logits [N, 3], and the logits of the
    likeness map [N, 4g, 4g] that they correct; None where text alone decides."""

    masks: Tensor
    quality_logits: Tensor
    coarse: Tensor | None

    @property
    def quality(self) -> Tensor:
        """How good each mask is [N, 3], 0..1; 0: the thing is not there."""
        return self.quality_logits.sigmoid()


class ProjectionNetwork(nn.Module):
    """Text vectors -> prompts of a frozen SAM; 1.6 million parameters for ViT-B-16's.

    text -> TextProjection -> virtual point of its own TEXT type, and an empty position
    text x (SAM ++ CLIP features) -> likeness map -> mask prompt, added to the masks too
    features under that map, text -> MLP -> change of the point, further tokens
    text x features under each mask -> how good it is; SAM's own prediction knows no text

    What the picture adds starts at zero, so that training starts from text alone.
    """

    text_centre: Tensor
    dense_centre: Tensor

    def __init__(self, architecture: ProjectionArchitecture) -> None:
        super().__init__()
        self.architecture = a = architecture
        both = a.prompt_dim + a.text_dim
        # CLIP's vectors lie in a narrow cone: less their mean they are told apart.
        self.register_buffer("text_centre", torch.zeros(a.text_dim))
        self.register_buffer("dense_centre", torch.zeros(a.text_dim))
        self.text_projection = TextProjection(
            text_dim=a.text_dim, prompt_dim=a.prompt_dim, hidden_dim=a.hidden_dim
        )
        self.text_type = nn.Parameter(torch.randn(1, 1, a.prompt_dim) * 0.02)
        self.empty_position = nn.Parameter(torch.randn(1, 1, a.prompt_dim) * 0.02)
        self.values = nn.Conv2d(both, a.key_dim, 1)
        self.value_query = nn.Linear(a.text_dim, a.key_dim)
        self.quality = nn.Sequential(
            nn.LayerNorm(2 * a.key_dim + SCALARS),
            nn.Linear(2 * a.key_dim + SCALARS, a.key_dim),
            nn.GELU(),
            nn.Linear(a.key_dim, 1),
        )
        if a.image_conditioned:
            self.keys = nn.Conv2d(both, a.key_dim, 1)
            self.key_query = nn.Linear(a.text_dim, a.key_dim)
            self.likeness_scale = nn.Parameter(torch.tensor([10.0, 10.0]))
            self.likeness_bias = nn.Parameter(torch.tensor(-2.0))
            self.further = nn.Parameter(torch.randn(1, a.tokens - 1, a.prompt_dim) * 0.02)
            change = nn.Linear(a.hidden_dim, a.tokens * a.prompt_dim)
            nn.init.zeros_(change.weight)
            nn.init.zeros_(change.bias)
            self.condition = nn.Sequential(
                nn.Linear(2 * a.key_dim, a.hidden_dim),
                nn.GELU(),
                nn.LayerNorm(a.hidden_dim),
                change,
            )
            self.gates = nn.Parameter(torch.tensor([0.0, 0.0, 1.0]))

    def words(self, texts: Tensor) -> Tensor:
        """Unit vectors [N, text_dim] of CLIP's text vectors, less what all texts share."""
        return F.normalize(texts.float() - self.text_centre, dim=1)

    def points(self, words: Tensor) -> Tensor:
        """Sparse prompts [N, 2, prompt_dim] of words [N, text_dim]: text point, empty position."""
        point = self.text_projection(words * math.sqrt(words.shape[1])).unsqueeze(1)
        empty = self.empty_position.expand(len(words), -1, -1)
        return torch.cat([point + self.text_type, empty], dim=1)

    def decode(
        self, sam: SamNetwork, features: GridFeatures, words: Tensor, rows: Tensor | None = None
    ) -> Candidates:
        """The candidates of words [N, text_dim] (see `words`) on the pictures rows [N] of a
        batch; without rows all on its one picture."""
        dense = self._dense(features)
        seen = torch.cat([features.image, dense * math.sqrt(dense.shape[1])], dim=1)
        image, inside = _of(features.image, rows), _of(features.inside, rows)
        values = _of(self.values(seen), rows)
        cosine = torch.einsum("nchw,nc->nhw", _of(dense, rows), words)
        asked = self.value_query(words * math.sqrt(words.shape[1]))
        sparse, dense_prompt, coarse = self.points(words), sam.no_mask, None
        if self.architecture.image_conditioned:
            keys = _of(F.normalize(self.keys(seen), dim=1), rows)
            likeness = self._likeness(keys, cosine, words)
            coarse = _enlarged(likeness, inside)
            pooled = _pooled(values, likeness.sigmoid(), inside)
            sparse = self._conditioned(sparse, asked, pooled)
            mask_prompt = sam.mask_prompt(coarse.unsqueeze(1))
            dense_prompt = sam.no_mask + self.gates[0] * (mask_prompt - sam.no_mask)
        masks, foretold = sam.predict(image, sparse=sparse, dense=dense_prompt)
        if coarse is not None:
            masks = self.gates[2] * masks + self.gates[1] * coarse.unsqueeze(1)
        quality = self._quality(masks.detach(), foretold.detach(), values, cosine, asked, inside)
        return Candidates(masks=masks, quality_logits=quality, coarse=coarse)

    def _dense(self, features: GridFeatures) -> Tensor:
        """Unit vectors [B, text_dim, g, g] less what all places share; 0 in the padding."""
        centred = features.clip - self.dense_centre[:, None, None]
        return F.normalize(centred, dim=1) * features.inside

    def _likeness(self, keys: Tensor, cosine: Tensor, words: Tensor) -> Tensor:
        """How much each place is like its word, as logits [N, g, g]: what was learnt of both
        networks' features, beside CLIP's own cosine, which also knows words never trained on."""
        query = F.normalize(self.key_query(words * math.sqrt(words.shape[1])), dim=1)
        learnt = torch.einsum("nchw,nc->nhw", keys, query)
        scale = self.likeness_scale
        return scale[0] * learnt + scale[1] * cosine + self.likeness_bias

    def _conditioned(self, sparse: Tensor, asked: Tensor, pooled: Tensor) -> Tensor:
        """The sparse prompts, changed and added to by what the map found [N, key_dim]."""
        change = self.condition(torch.cat([pooled, asked], dim=1))
        change = change.unflatten(1, (self.architecture.tokens, -1))
        return torch.cat(
            [sparse[:, :1] + change[:, :1], sparse[:, 1:], self.further + change[:, 1:]], dim=1
        )

    def _quality(
        self,
        masks: Tensor,
        foretold: Tensor,
        values: Tensor,
        cosine: Tensor,
        asked: Tensor,
        inside: Tensor,
    ) -> Tensor:
        """How good each mask is for its word, as logits [N, 3], from what is under it."""
        alpha = F.avg_pool2d(masks.sigmoid(), 4) * inside
        area = alpha.sum((2, 3)).clamp(min=1e-3)
        cells = inside.sum((2, 3))
        pooled = torch.einsum("nchw,nkhw->nkc", values, alpha) / area.unsqueeze(-1)
        under = torch.einsum("nhw,nkhw->nk", cosine, alpha) / area
        whole = (cosine.sum((1, 2)).unsqueeze(1) / cells).expand_as(under)
        best = cosine.amax((1, 2)).unsqueeze(1).expand_as(under)
        sure = alpha.square().sum((2, 3)) / area
        scalars = torch.stack([foretold, area / cells, 4 * under, 4 * whole, 4 * best, sure], -1)
        found = torch.cat([pooled * asked.unsqueeze(1), pooled, scalars], dim=-1)
        logits: Tensor = self.quality(found).squeeze(-1)
        return logits


def _of(pictures: Tensor, rows: Tensor | None) -> Tensor:
    return pictures if rows is None else pictures[rows]


def _pooled(values: Tensor, weights: Tensor, inside: Tensor) -> Tensor:
    """The mean [N, C] of values [N|1, C, g, g] under weights [N, g, g]."""
    weights = weights * inside.squeeze(1)
    summed = torch.einsum("nchw,nhw->nc", values, weights)
    return summed / weights.sum((1, 2)).clamp(min=1e-3).unsqueeze(1)


def _enlarged(logits: Tensor, inside: Tensor) -> Tensor:
    """A map [N, g, g] at the size of masks, [N, 4g, 4g], with PADDING_LOGIT in the padding."""
    fine = F.interpolate(logits.unsqueeze(1), scale_factor=4, mode="bilinear", align_corners=False)
    # Cells are whole: a mean of neighbours would let the padding into the picture's last row.
    picture = inside.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    return torch.where(picture, fine, PADDING_LOGIT).squeeze(1)
