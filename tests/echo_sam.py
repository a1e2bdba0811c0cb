"""A SAM that answers with its mask prompt: segment_anything's own network with weights set by
hand, so that a test knows what a SAM that sees the thing would say."""

from __future__ import annotations

from typing import Any

import torch
from promptmatte.models.sam import SamNetwork
from tiny_sam import tiny_sam

ECHO = 1
"""Which of the three candidate masks repeats the prompt; the others are its negative."""


@torch.no_grad()
def echo_sam(side: int = 256) -> SamNetwork:
    """A SamNetwork whose mask candidate ECHO has the sign of the mask prompt, at its place."""
    sam: Any = tiny_sam(side=side)
    _plain_norms(sam)
    _signed_downscaling(sam.prompt_encoder.mask_downscaling)
    decoder = sam.mask_decoder
    for layer in (*decoder.transformer.layers, decoder.transformer):
        for name, part in layer.named_children():
            if type(part).__name__ == "Attention":
                part.out_proj.weight.zero_()
                part.out_proj.bias.zero_()
            if name == "mlp":
                part.lin2.weight.zero_()
                part.lin2.bias.zero_()
    _signed_upscaling(decoder.output_upscaling)
    for candidate, head in enumerate(decoder.output_hypernetworks_mlps[1:]):
        head.layers[-1].weight.zero_()
        head.layers[-1].bias.zero_()
        sign = 1.0 if candidate == ECHO else -1.0
        head.layers[-1].bias[:2] = torch.tensor([6.0, -6.0]) * sign
    return SamNetwork(sam, kind="echo", device="cpu")


def _plain_norms(sam: Any) -> None:
    for module in (*sam.mask_decoder.modules(), *sam.prompt_encoder.modules()):
        if "Norm" in type(module).__name__:
            module.weight.fill_(1.0)
            module.bias.zero_()


def _signed_downscaling(layers: Any) -> None:
    """Two channels carry the positive and the negative part of the mask."""
    first, second, last = layers[0], layers[3], layers[6]
    for conv in (first, second, last):
        conv.weight.zero_()
        conv.bias.zero_()
    first.weight[0, 0], first.weight[1, 0] = 0.25, -0.25
    second.weight[0, 0], second.weight[1, 1] = 0.25, 0.25
    last.weight[0, 0], last.weight[0, 1] = 1.0, -1.0


def _signed_upscaling(layers: Any) -> None:
    first, second = layers[0], layers[3]
    for conv in (first, second):
        conv.weight.zero_()
        conv.bias.zero_()
    first.weight[0, 0], first.weight[0, 1] = 1.0, -1.0
    second.weight[0, 0], second.weight[1, 1] = 1.0, 1.0
