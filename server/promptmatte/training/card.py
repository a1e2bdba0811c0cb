"""The model card: data and terms, metrics on held-out pictures, limits."""

from __future__ import annotations

from typing import Any

import numpy as np

from promptmatte.training.datasets import Dataset
from promptmatte.training.metrics import ConceptScore, Scores

FLOORS = (0.2, 0.3, 0.4, 0.5, 0.6)


def pooled(scores: Scores, concept: str) -> ConceptScore:
    """One concept over all data sets."""
    whole = ConceptScore()
    for own in scores.values():
        score = own.get(concept)
        if score is not None:
            whole.ious += score.ious
            whole.present_confidence += score.present_confidence
            whole.absent_confidence += score.absent_confidence
            whole.absent_share += score.absent_share
    return whole


def summaries(scores: Scores, floor: float) -> dict[str, dict[str, float | int | None]]:
    """Each concept's summary over all data sets, most pictures first."""
    concepts = {concept for own in scores.values() for concept in own}
    rows = {c: pooled(scores, c).summary(floor) for c in concepts}
    return dict(sorted(rows.items(), key=lambda item: (-int(item[1]["n"] or 0), item[0])))


def floor_table(scores: Scores) -> list[tuple[float, float, float]]:
    """(floor, share of present things kept, share of absent things silenced) for each floor."""
    present = [c for own in scores.values() for s in own.values() for c in s.present_confidence]
    absent = [c for own in scores.values() for s in own.values() for c in s.absent_confidence]

    def share(true: list[bool]) -> float:
        return float(np.mean(true)) if true else 0.0

    return [(f, share([c >= f for c in present]), share([c < f for c in absent])) for f in FLOORS]


def metrics_of(scores: Scores, floor: float) -> dict[str, Any]:
    """Every figure of a card, as JSON values."""
    return {
        "floor": floor,
        "concepts": summaries(scores, floor),
        "by_set": {
            name: {concept: score.summary(floor) for concept, score in own.items()}
            for name, own in scores.items()
        },
        "floors": [
            {"floor": f, "present_kept": kept, "absent_silenced": silenced}
            for f, kept, silenced in floor_table(scores)
        ],
    }


def concept_rows(scores: Scores, floor: float) -> list[str]:
    """The lines of a Markdown table of the concepts."""
    lines = [
        "| prompt | mean IoU | n | absent empty | absent n |",
        "| --- | --- | --- | --- | --- |",
    ]
    for concept, row in summaries(scores, floor).items():
        miou = "" if row["miou"] is None else f"{row['miou']:.3f}"
        empty = "" if row["absent_empty"] is None else f"{row['absent_empty']:.2f}"
        lines.append(f"| {concept} | {miou} | {row['n']} | {empty} | {row['absent_n']} |")
    return lines


def floor_rows(scores: Scores) -> list[str]:
    """The lines of a Markdown table of the confidence floors."""
    return [
        "| floor | present things kept | absent things silenced |",
        "| --- | --- | --- |",
        *(f"| {f} | {kept:.2f} | {silenced:.2f} |" for f, kept, silenced in floor_table(scores)),
    ]


def model_card(
    *, datasets: list[Dataset], scores: Scores, floor: float, metadata: dict[str, Any]
) -> str:
    """The card as Markdown."""
    lines = [
        "# Embedded model",
        "",
        "A compact SAM for text prompts: EfficientNet-Lite0 backbone (started from public ImageNet",
        "weights), segment_anything's prompt encoder and mask decoder with skip connections, a",
        "small open_clip text tower and a text projection whose output is a virtual point. It",
        "knows the words of `training/vocabulary.py`; others should give a low confidence.",
        "",
        f"Made by `promptmatte train embedded`: {metadata['steps']} steps of {metadata['batch']} "
        f"pictures, seed {metadata['seed']}, input area {metadata['input_side']} x "
        f"{metadata['input_side']}, on {metadata['device']}.",
        "",
        "## Data and terms",
        "",
        "Several of these sets are for research only or non-commercial. What that means for",
        "weights trained on them is unsettled: treat the shipped weights as for evaluation and",
        "non-commercial shows, and for anything else train on your own pictures with",
        "`promptmatte train embedded --data DIR`.",
        "",
        "| data set | pictures | held out | terms |",
        "| --- | --- | --- | --- |",
    ]
    for dataset in datasets:
        train, held_out = dataset.split()
        lines.append(
            f"| {dataset.name} | {len(train)} | {len(held_out)} | {dataset.policy.terms} |"
        )
    lines += [
        "",
        "## Held-out pictures",
        "",
        f"15 % of each set, in blocks, never trained on; mattes below a confidence of {floor} are",
        "empty. `absent empty`: share of pictures without the thing whose matte stays under 1 %.",
        "",
        *concept_rows(scores, floor),
    ]
    lines += ["", "Person by data set:", "", "| data set | mean IoU | n |", "| --- | --- | --- |"]
    for name, own in scores.items():
        if "person" in own and own["person"].ious:
            row = own["person"].summary(floor)
            lines.append(f"| {name} | {row['miou']:.3f} | {row['n']} |")
    lines += [
        "",
        "Confidence floor:",
        "",
        *floor_rows(scores),
        "",
        "## Limits",
        "",
        "A small vocabulary, learnt from a few thousand pictures: words outside it, things smaller",
        "than a few hundredths of the picture and unusual views are often missed. A mask is of all",
        "things of a name, not of one of several. Bystanders are unlabelled in some of the sets.",
        "",
    ]
    return "\n".join(lines)
