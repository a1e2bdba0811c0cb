"""What the embedded model finds of each meaning: unions, colours, everything but."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from promptmatte.models.combine import PRESENT_ALSO, PRESENT_IN_EVERYTHING, weighed
from promptmatte.models.embedded_parts import NOWHERE, without_faint_parts
from promptmatte.models.embedded_words import EmbeddedWords, ImageFeatures
from promptmatte.models.lexicon import COLOURS, Meaning

Logits = npt.NDArray[np.float32]

EVERYWHERE = 10.0

COLOUR_WINDOW = 0.06
"""The side of the window, as a share of the grid's longer side, over which what a colour says
about an object is pooled."""

COLOUR_SCALE = 3.0
"""How much a colour's odds weigh beside the logits of the thing."""

NEIGHBOURS = {
    "red": ("orange", "pink", "brown"),
    "orange": ("red", "yellow", "brown"),
    "brown": ("orange", "red"),
    "yellow": ("orange",),
    "green": (),
    "blue": ("purple",),
    "purple": ("blue", "pink"),
    "pink": ("purple", "red"),
    "black": ("grey",),
    "grey": ("black", "white"),
    "white": ("grey",),
}
"""Colours that count half for another, as people and light draw the line in different places."""


class TermReader:
    """Reads meanings off the features of a picture."""

    def __init__(self, network: EmbeddedWords, calibration: tuple[float, float]) -> None:
        self._network = network
        self._slope, self._offset = calibration
        self._rows = {concept: i for i, concept in enumerate(network.architecture.concepts)}
        mix = torch.zeros(len(COLOURS), len(COLOURS))
        for colour, others in NEIGHBOURS.items():
            mix[COLOURS.index(colour), COLOURS.index(colour)] = 1.0
            for other in others:
                mix[COLOURS.index(colour), COLOURS.index(other)] = 0.5
        self._mix = mix.to(network.words.device)

    @torch.inference_mode()
    def read(
        self, features: ImageFeatures, meanings: Sequence[Meaning]
    ) -> tuple[Logits, list[float]]:
        """Logits float32 [T, h, w] and the confidence 0..1 of each of T meanings."""
        wanted = sorted({c for m in meanings for c in (*m.any_of, *m.without)})
        found: dict[str, tuple[Logits, float]] = {}
        if wanted:
            device = self._network.words.device
            rows = torch.tensor([[self._rows[c] for c in wanted]], device=device)
            masks = self._network.masks(features, rows)
            presence = self._network.presence(features, rows, masks)
            confidence = torch.sigmoid(presence * self._slope + self._offset)[0].tolist()
            clean = [without_faint_parts(mask) for mask in masks[0].cpu().numpy()]
            found = dict(zip(wanted, zip(clean, confidence, strict=True), strict=True))
        shares = None
        if any(m.colour for m in meanings):
            shares = self._network.colour_logits(features).softmax(dim=1)[0]
        read = [self._one(meaning, found, shares, features) for meaning in meanings]
        return np.stack([logits for logits, _ in read]), [sure for _, sure in read]

    def _one(
        self,
        meaning: Meaning,
        found: dict[str, tuple[Logits, float]],
        colour_shares: Tensor | None,
        features: ImageFeatures,
    ) -> tuple[Logits, float]:
        shape = (features.pixels.shape[-2], features.pixels.shape[-1])
        if meaning.everything:
            logits, best = np.full(shape, EVERYWHERE, np.float32), 1.0
        elif meaning.any_of:
            things = [found[concept] for concept in meaning.any_of]
            best = max(sure for _, sure in things)
            logits = things[0][0]
            if len(things) > 1:
                logits = np.maximum.reduce([weighed(*t, best, PRESENT_ALSO) for t in things])
        else:
            return np.full(shape, NOWHERE, np.float32), 0.0
        if meaning.colour and colour_shares is not None:
            logits, best = self._coloured(logits, best, meaning.colour, colour_shares)
        for concept in meaning.without:
            logits = np.minimum(logits, -weighed(*found[concept], 1.0, PRESENT_IN_EVERYTHING))
        return logits, best

    def _coloured(
        self, logits: Logits, confidence: float, colour: str, colour_shares: Tensor
    ) -> tuple[Logits, float]:
        """What of a thing has a colour.

        Each pixel asks its neighbours on the same thing; a thing of another colour is left out
        as a whole, and when no part has the colour nothing matches.
        """
        thing = torch.from_numpy(logits).to(colour_shares.device).sigmoid()
        share = torch.einsum("k,khw->hw", self._mix[COLOURS.index(colour)], colour_shares)
        side = 2 * (int(max(thing.shape) * COLOUR_WINDOW) // 2) + 1
        both = torch.stack([share * thing, thing]).unsqueeze(0)
        pooled = F.avg_pool2d(both, side, stride=1, padding=side // 2, count_include_pad=False)[0]
        pooled_share = (pooled[0] / pooled[1].clamp(min=1e-4)).clamp(1e-4, 1 - 1e-4)
        odds = COLOUR_SCALE * torch.logit(pooled_share)
        mask = np.minimum(logits, odds.cpu().numpy())
        strong = pooled_share[thing > 0.5]
        top = float(strong.quantile(0.95)) if strong.numel() else 0.0
        return mask, confidence * min(1.0, 2.0 * top)
