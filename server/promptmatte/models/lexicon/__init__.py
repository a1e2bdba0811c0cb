"""The language of the embedded model: what people type, as concepts and colours it knows."""

from promptmatte.models.lexicon.lexicon import Lexicon
from promptmatte.models.lexicon.meaning import COLOURS, Meaning

__all__ = ["COLOURS", "Lexicon", "Meaning"]
