"""Measuring on masked pictures (`Evaluation`) and clips (`LiveEvaluation`)."""

from __future__ import annotations

from promptmatte.evaluation.measures import iou
from promptmatte.evaluation.pictures import EMPTY_SHARE, Evaluation
from promptmatte.evaluation.truth import LabelledPrompt, read_mask

__all__ = ["EMPTY_SHARE", "Evaluation", "LabelledPrompt", "iou", "read_mask"]
