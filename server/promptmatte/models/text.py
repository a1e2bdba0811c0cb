"""The projection of text features to prompts."""

from __future__ import annotations

from torch import Tensor, nn


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
