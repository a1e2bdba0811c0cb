"""SAM's mask decoder with skip connections from the backbone's fine levels."""

from __future__ import annotations

import torch
from segment_anything.modeling import MaskDecoder, TwoWayTransformer
from torch import Tensor


class SkipMaskDecoder(MaskDecoder):  # type: ignore[misc]
    """segment_anything's MaskDecoder, with two differences.

    The two upscaling steps add projected stride-8 and stride-4 features, as SAM 2's
    decoder does (Ravi et al. 2024, section 4), so that thin parts survive; and the
    image embeddings come one per prompt, so that a batch may hold several pictures.
    """

    def __init__(self, *, dim: int, depth: int, heads: int, mlp_dim: int) -> None:
        super().__init__(
            transformer_dim=dim,
            transformer=TwoWayTransformer(
                depth=depth, embedding_dim=dim, num_heads=heads, mlp_dim=mlp_dim
            ),
            num_multimask_outputs=3,
            iou_head_depth=3,
            iou_head_hidden_dim=256,
        )

    def predict(
        self, *, image: Tensor, position: Tensor, tokens: Tensor, dense: Tensor, skips: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Mask logits [N, 3, 4h, 4w] and their predicted IoU [N, 3].

        image and dense: [N, dim, h, w]; position: [1, dim, h, w]; tokens: [N, T, dim];
        skips: stride-8 [N, dim/4, 2h, 2w] and stride-4 [N, dim/8, 4h, 4w].
        """
        count, dim, height, width = image.shape
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight], dim=0)
        queries = torch.cat([own.unsqueeze(0).expand(count, -1, -1), tokens], dim=1)
        hidden, source = self.transformer(
            image + dense, position.expand(count, -1, -1, -1), queries
        )
        source = source.transpose(1, 2).reshape(count, dim, height, width)

        up1, norm, act1, up2, act2 = self.output_upscaling
        fine = act1(norm(up1(source) + skips[0]))
        fine = act2(up2(fine) + skips[1])
        weights = torch.stack(
            [
                self.output_hypernetworks_mlps[i](hidden[:, 1 + i])
                for i in range(1, self.num_mask_tokens)
            ],
            dim=1,
        )
        masks = torch.einsum("nkc,nchw->nkhw", weights, fine)
        quality = self.iou_prediction_head(hidden[:, 0])[:, 1:]
        return masks, quality
