"""Prompters: how the texts of prompts reach SAM."""

from promptmatte.models.prompters.dense import DensePrompter
from promptmatte.models.prompters.presence import presence
from promptmatte.models.prompters.protocol import Prompter, SamClipFeatures

__all__ = ["DensePrompter", "Prompter", "SamClipFeatures", "presence"]
