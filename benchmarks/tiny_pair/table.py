"""Scores of contestants on held-out pictures, as JSON values and as Markdown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from promptmatte.controls import MatteControls
from promptmatte.evaluation.measures import iou
from promptmatte.evaluation.pictures import EMPTY_SHARE
from promptmatte.models.protocol import Decoded

from .held_out import Case

BINS = 10


@dataclass(frozen=True, kw_only=True)
class Row:
    """One answer: iou with the truth (0 for what is absent), share of the picture it covers."""

    dataset: str
    text: str
    present: bool
    confidence: float
    iou: float
    share: float


@dataclass(kw_only=True)
class Score:
    """All answers of one contestant."""

    rows: list[Row] = field(default_factory=list)

    def add(self, case: Case, answers: Decoded) -> None:
        """Takes the answers to the questions of a case."""
        for question, logits, confidence in zip(
            case.questions, answers.logits, answers.confidence, strict=True
        ):
            matte = matte_of(logits, question.truth.shape)
            overlap = iou(matte & question.known, question.truth) if question.present else 0.0
            self.rows.append(
                Row(
                    dataset=case.dataset,
                    text=question.text,
                    present=question.present,
                    confidence=float(confidence),
                    iou=overlap,
                    share=float(matte.mean()),
                )
            )

    def summary(self) -> dict[str, Any]:
        """Means: iou of present things as masks are, iou_kept with those under the floor empty,
        absent_silent (under the floor, or next to nothing), kept, auc of the confidence."""
        floor = MatteControls().confidence_floor
        present = [row for row in self.rows if row.present]
        absent = [row for row in self.rows if not row.present]
        sets = sorted({row.dataset for row in present})
        return {
            "present_n": len(present),
            "iou": mean([row.iou for row in present]),
            "iou_kept": mean([row.iou * (row.confidence >= floor) for row in present]),
            "kept": mean([row.confidence >= floor for row in present]),
            "absent_n": len(absent),
            "absent_silent": mean(
                [row.confidence < floor or row.share < EMPTY_SHARE for row in absent]
            ),
            "auc": auc([r.confidence for r in present], [r.confidence for r in absent]),
            "iou_by_set": {s: mean([r.iou for r in present if r.dataset == s]) for s in sets},
        }

    def reliability(self) -> list[dict[str, float | int | None]]:
        """For each tenth of the confidence: n, share that is present, mean iou (absent: 0)."""
        table = []
        for low in range(BINS):
            rows = [r for r in self.rows if min(BINS - 1, int(r.confidence * BINS)) == low]
            table.append(
                {
                    "from": low / BINS,
                    "n": len(rows),
                    "confidence": mean([row.confidence for row in rows]),
                    "present": mean([row.present for row in rows]),
                    "iou": mean([row.iou for row in rows]),
                }
            )
        return table


def matte_of(logits: npt.NDArray[np.float32], shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Where a mask is, at the size of the picture."""
    large = cv2.resize(logits, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(large > 0)


def mean(values: list[float] | list[bool]) -> float | None:
    """Their mean, None without any."""
    return round(float(np.mean(values)), 4) if values else None


def auc(high: list[float], low: list[float]) -> float | None:
    """How often one of high is over one of low: 1 always, 0.5 by chance; a tie is a half."""
    if not high or not low:
        return None
    apart = np.asarray(high)[:, None] - np.asarray(low)
    return round(float(((apart > 0) + 0.5 * (apart == 0)).mean()), 4)


def ratios(scores: dict[str, dict[str, Any]]) -> dict[str, float | None]:
    """What the bars are about: each way's iou over chance and over the embedded model's."""

    def ratio(one: str, other: str, key: str) -> float | None:
        below = scores[other][key]
        return round(scores[one][key] / below, 3) if below else None

    ways = [name for name in scores if name.startswith(("dense", "projection"))]
    return {f"{w} / random token": ratio(w, "random token", "iou") for w in ways} | {
        f"{w} / embedded{' (kept)' * (key == 'iou_kept')}": ratio(w, "embedded", key)
        for w in ways
        for key in ("iou", "iou_kept")
    }


def markdown(result: dict[str, Any]) -> str:
    """The same as tables."""
    lines = [
        "| way | IoU | IoU, floor applied | kept | absent silent | AUC | n | absent n |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in result["scores"].items():
        cells = [row[k] for k in ("iou", "iou_kept", "kept", "absent_silent", "auc")]
        text = " | ".join("" if c is None else f"{c:.3f}" for c in cells)
        lines.append(f"| {name} | {text} | {row['present_n']} | {row['absent_n']} |")
    names = list(result["scores"])
    lines += ["", f"| IoU by set | {' | '.join(names)} |", "| --- " * (1 + len(names)) + "|"]
    for dataset in result["scores"]["embedded"]["iou_by_set"]:
        own = [f"{result['scores'][name]['iou_by_set'][dataset]:.3f}" for name in names]
        lines.append(f"| {dataset} | {' | '.join(own)} |")
    lines += ["", "| ratio | |", "| --- | --- |"]
    lines += [f"| {name} | {value} |" for name, value in result["ratios"].items()]
    for name, table in result["reliability"].items():
        lines += ["", f"| {name}: confidence | n | present | IoU |", "| --- | --- | --- | --- |"]
        for bin_ in table:
            if bin_["n"]:
                lines.append(
                    f"| {bin_['confidence']:.2f} | {bin_['n']} | {bin_['present']:.2f} "
                    f"| {bin_['iou']:.2f} |"
                )
    return "\n".join([*lines, ""])
