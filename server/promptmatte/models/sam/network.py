"""SamNetwork: segment_anything's Sam, with its image encoder made fast and its prompt path open."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from segment_anything.modeling import ImageEncoderViT, Sam
from torch import Tensor

from promptmatte.models.lane import Lane
from promptmatte.models.precision import DTYPES, resolved
from promptmatte.models.sam.attention import install
from promptmatte.models.sam.encoder import EncoderRun, cast
from promptmatte.models.sam.features import SamFeatures, picture_hw, resized


class SamNetwork:
    """A Sam on one device; called from one thread at a time. The Sam becomes this object's.

    kind: the name of the model. precision: of the image encoder (auto, fp32, bf16, fp16). The
    prompt encoder and the mask decoder stay float32, and so does all that comes back. Weights
    are frozen, yet gradients flow through `predict` to what it is given. compiled: see
    EncoderRun. `lane` is its own way onto the card, for all work on keyframes.
    """

    def __init__(
        self,
        sam: Sam,
        *,
        kind: str,
        device: str,
        precision: str = "fp32",
        compiled: bool = False,
    ) -> None:
        model: Any = sam
        self.kind = kind
        self.device = torch.device(device)
        self._sam: Any = model.requires_grad_(False).eval().to(self.device)
        self._encoder: Any = model.image_encoder
        self._prompts: Any = model.prompt_encoder
        self._decoder: Any = model.mask_decoder
        self.lane = Lane(device)
        self.input_side: int = self._encoder.img_size
        self.grid: int = self._prompts.image_embedding_size[0]
        self.mask_side: int = 4 * self.grid
        self.dim: int = self._prompts.embed_dim
        if isinstance(self._encoder, ImageEncoderViT):
            install(self._encoder, "appended" if self.device.type == "cuda" else "biased")
        self._compiled = compiled
        self.to_precision(precision)
        self.position: Tensor = self._prompts.get_dense_pe()
        none = self._prompts.no_mask_embed.weight.reshape(1, -1, 1, 1)
        self.no_mask: Tensor = none.expand(1, -1, self.grid, self.grid)
        self._kinds = torch.cat(
            [
                self._prompts.point_embeddings[1].weight,
                self._prompts.point_embeddings[0].weight,
                self._prompts.not_a_point_embed.weight,
            ]
        )

    @property
    def precision(self) -> str:
        """Of the image encoder now: fp32, bf16 or fp16."""
        return self._precision

    @property
    def encoder_way(self) -> str:
        """How the image encoder runs: plain, compiled, as a CUDA graph."""
        return self._run.way

    @property
    def weight_bytes(self) -> int:
        """Memory that the weights take."""
        return sum(value.nbytes for value in self._sam.state_dict().values())

    def to_precision(self, precision: str) -> None:
        """Casts the image encoder's weights in place."""
        self._precision = resolved(precision, self.device)
        self._dtype = DTYPES[self._precision]
        cast(self._encoder, self._dtype)
        self._run = EncoderRun(self._encoder, compiled=self._compiled)

    @torch.inference_mode(False)  # recordings and buffers must serve inside and outside of it
    @torch.no_grad()
    def encode(self, pixels: npt.NDArray[np.uint8]) -> SamFeatures:
        """The features of a frame, uint8 [H, W, 3] RGB.

        The same as segment_anything's SamPredictor, but that its Pillow may round a pixel of the
        resized frame to the next level.
        """
        size_hw = (pixels.shape[0], pixels.shape[1])
        inside_hw = picture_hw(*size_hw, self.input_side)
        picture = self.lane.upload(resized(pixels, inside_hw)).permute(2, 0, 1).unsqueeze(0)
        normal = (picture.float() - self._sam.pixel_mean) / self._sam.pixel_std
        height, width = inside_hw
        padding = (0, self.input_side - width, 0, self.input_side - height)
        embedding = self._run(F.pad(normal, padding).to(self._dtype))
        return SamFeatures(embedding=embedding, size_hw=size_hw, inside_hw=inside_hw)

    def predict(self, image: Tensor, *, sparse: Tensor, dense: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [N, 3, 4g, 4g] of three candidate masks for each prompt, and their predicted
        IoU [N, 3]; as segment_anything's MaskDecoder with multimask_output.

        image [N or 1, dim, g, g]; sparse [N, T, dim]; dense [N or 1, dim, g, g]. N may be 0.
        """
        count, side = len(sparse), self.mask_side
        if count == 0:
            return image.new_zeros(0, 3, side, side), image.new_zeros(0, 3)
        decoder = self._decoder
        own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
        tokens = torch.cat([own.expand(count, -1, -1), sparse], dim=1)
        source = (image + dense).expand(count, -1, -1, -1)
        hidden, keys = decoder.transformer(source, self.position, tokens)
        grid = keys.transpose(1, 2).unflatten(2, (self.grid, self.grid))
        fine = decoder.output_upscaling(grid)
        # The first mask token is for a single answer; candidates are what prompters choose from.
        heads = decoder.output_hypernetworks_mlps[1:]
        weights = torch.stack([head(hidden[:, 2 + i]) for i, head in enumerate(heads)], dim=1)
        masks = (weights @ fine.flatten(2)).unflatten(2, (side, side))
        return masks, decoder.iou_prediction_head(hidden[:, 0])[:, 1:]

    def points(self, xy: Tensor, labels: Tensor, *, pad: bool = True) -> Tensor:
        """Sparse tokens [N, P + 1, dim] of points [N, P, 2] in input pixels with labels [N, P]:
        1 on the thing, 0 off it, -1 no point. The last token is SAM's padding point; pad=False
        leaves it out, as SAM does where a box follows.
        """
        labels = labels.to(torch.int64)
        if pad:
            xy, labels = F.pad(xy, (0, 0, 0, 1)), F.pad(labels, (0, 1), value=-1)
        side = (self.input_side, self.input_side)
        places = self._prompts.pe_layer.forward_with_coords(xy + 0.5, side)
        none = labels < 0
        # Unlike SAM's own masked writes these make no CUDA device wait.
        kinds = self._kinds[torch.where(none, 2, 1 - labels)]
        return torch.where(none.unsqueeze(-1), 0.0, places) + kinds

    def boxes(self, xyxy: Tensor) -> Tensor:
        """Sparse tokens [N, 2, dim] of boxes [N, 4]: left, top, right, bottom in input pixels."""
        sparse: Tensor = self._prompts(points=None, boxes=xyxy, masks=None)[0]
        return sparse

    def mask_prompt(self, logits: Tensor) -> Tensor:
        """The dense embedding [N, dim, g, g] of masks [N, 1, mask_side, mask_side]."""
        dense: Tensor = self._prompts.mask_downscaling(logits.float())
        return dense
