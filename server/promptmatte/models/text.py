"""The text side of the embedded model: a small open_clip text tower and the TextProjection."""

from __future__ import annotations

from functools import lru_cache

from open_clip.tokenizer import SimpleTokenizer
from open_clip.transformer import TextTransformer
from torch import Tensor, nn


@lru_cache(maxsize=4)
def tokenizer(context_length: int) -> SimpleTokenizer:
    """CLIP's byte-pair tokenizer, as open_clip carries it, cut to a context length."""
    return SimpleTokenizer(context_length=context_length)


class TextProjection(nn.Module):
    """Text features [N, text_dim] -> virtual point tokens [N, prompt_dim], by way of 512."""

    def __init__(self, *, text_dim: int, prompt_dim: int, hidden_dim: int = 512) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(text_dim, hidden_dim),
            nn.GELU(),
            nn.LayerNorm(hidden_dim),
            nn.Linear(hidden_dim, prompt_dim),
        )

    def forward(self, text_features: Tensor) -> Tensor:
        """Tokens float [N, prompt_dim]."""
        tokens: Tensor = self.layers(text_features)
        return tokens


class TextTower(nn.Module):
    """Prompts -> features [N, output_dim]: open_clip's causal TextTransformer, small."""

    def __init__(
        self, *, context_length: int, width: int, heads: int, layers: int, output_dim: int
    ) -> None:
        super().__init__()
        self.context_length = context_length
        self.output_dim = output_dim
        self.transformer = TextTransformer(
            context_length=context_length,
            vocab_size=tokenizer(context_length).vocab_size,
            width=width,
            heads=heads,
            layers=layers,
            output_dim=output_dim,
        )

    def tokenize(self, texts: list[str]) -> Tensor:
        """Token ids int64 [N, context_length]; longer texts are cut."""
        ids: Tensor = tokenizer(self.context_length)(texts)
        return ids

    def forward(self, ids: Tensor) -> Tensor:
        """Features float [N, output_dim]."""
        features: Tensor = self.transformer(ids)
        return features
