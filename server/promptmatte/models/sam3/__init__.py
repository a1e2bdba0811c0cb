"""SAM 3 (Carion et al. 2025) through transformers: text-native, the user's own download."""

from promptmatte.models.sam3.model import Sam3

__all__ = ["Sam3"]
