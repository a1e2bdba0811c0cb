"""What the shipped model is held to, and how far a set of scores is from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from promptmatte.evaluation import EMPTY_SHARE
from promptmatte.training.card import pooled, summaries
from promptmatte.training.metrics import Scores

PORTRAITS = ("human290",)
WILD = ("ccp", "coco_small", "msrc21")
"""Data sets of portraits; of whole figures, streets and everyday scenes. Cars' drivers and
pedestrians a few pixels high (camvid11) are in neither."""

EVERYDAY = (
    "sky", "road", "building", "tree", "grass", "water", "car", "cow", "sheep", "horse", "dog",
    "cat", "hair", "face", "skin", "dress", "shoes",
)  # fmt: skip

MANY = 20
"""Pictures a class needs for its own place in the mean over all."""


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One demand: what it is about, what is asked, what was measured on how many."""

    name: str
    least: float
    value: float
    n: int

    @property
    def met(self) -> bool:
        """True if the value is high enough."""
        return self.value >= self.least


def bars(scores: Scores, picked: list[bool], floor: float) -> list[Bar]:
    """The demands on overlap, silence and colour. picked: for each prompt of colour and noun,
    whether it got the right one of two."""
    by_name = summaries(scores, floor)
    everyday = [by_name[c] for c in EVERYDAY if c in by_name and by_name[c]["n"]]
    many = [row for row in by_name.values() if int(row["n"] or 0) >= MANY]
    empty = _absent_empty(scores, floor)
    return [
        _person("person on portraits", 0.90, scores, PORTRAITS, floor),
        _person("person in the wild", 0.75, scores, WILD, floor),
        Bar(name=f"mean of {len(everyday)} everyday things", least=0.65, value=_mean(everyday),
            n=sum(int(row["n"] or 0) for row in everyday)),
        Bar(name=f"mean of all {len(many)} classes with {MANY} pictures", least=0.55,
            value=_mean(many), n=sum(int(row["n"] or 0) for row in many)),
        Bar(name="absent things with an empty matte", least=0.90,
            value=float(np.mean(empty)) if empty else 0.0, n=len(empty)),
        Bar(name="colour + noun picks the right one of two", least=0.80,
            value=float(np.mean(picked)) if picked else 0.0, n=len(picked)),
    ]  # fmt: skip


def _mean(rows: list[dict[str, float | int | None]]) -> float:
    return float(np.mean([row["miou"] for row in rows])) if rows else 0.0


def _person(name: str, least: float, scores: Scores, sets: tuple[str, ...], floor: float) -> Bar:
    own = pooled({s: scores[s] for s in sets if s in scores}, "person")
    row = own.summary(floor)
    return Bar(name=name, least=least, value=float(row["miou"] or 0.0), n=int(row["n"] or 0))


def _absent_empty(scores: Scores, floor: float) -> list[bool]:
    return [
        confidence < floor or share < EMPTY_SHARE
        for own in scores.values()
        for score in own.values()
        for confidence, share in zip(score.absent_confidence, score.absent_share, strict=True)
    ]
