"""The model card: data and terms, metrics on held-out pictures, limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from promptmatte.training.datasets import Dataset
from promptmatte.training.metrics import ConceptScore, Scores

if TYPE_CHECKING:
    from promptmatte.training.bars import Bar
    from promptmatte.training.sheet import SheetRow

FLOORS = (0.2, 0.3, 0.4, 0.5, 0.6)


def pooled(scores: Scores, concept: str) -> ConceptScore:
    """One concept over all data sets."""
    whole = ConceptScore()
    for own in scores.values():
        score = own.get(concept)
        if score is not None:
            whole.add(score)
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


def _runs(metadata: dict[str, Any]) -> list[str]:
    """What was trained, the first run first."""
    sides = " then ".join(f"{side} x {side}" for side in metadata["sides"])
    before = metadata.get("before")
    return [
        *(_runs(before) if before else ()),
        f"{metadata['steps']} steps of {metadata['batch']} pictures of area {sides}, "
        f"seed {metadata['seed']}, on {metadata['device']}",
    ]


def model_card(
    *,
    datasets: list[Dataset],
    scores: Scores,
    floor: float,
    metadata: dict[str, Any],
    demands: Sequence[Bar],
    calibration_error: float,
    looked_at: Sequence[SheetRow],
) -> str:
    """The card as Markdown."""
    lines = [
        "# Embedded model",
        "",
        f"An EfficientNet-Lite backbone (`{metadata['backbone']}`, started from public ImageNet",
        "weights, Apache-2.0) with a feature pyramid and attention over its coarsest grid. Every",
        "pixel has a vector, and so has each",
        f"of the {metadata['words']} things it knows; a mask is their product. A second vector of",
        "each thing says from the whole picture whether it is there, eleven more say what colour a",
        "thing has. What people type is led to those things by the lexicon",
        "(`models/lexicon/`, English and Chinese).",
        "",
        f"Made by `promptmatte train embedded`: {'; gone on from with '.join(_runs(metadata))}.",
        f"Used at {metadata['input_side']} x {metadata['input_side']}.",
        "",
        "## Data and terms",
        "",
        "Several of these sets are for research only or non-commercial, and of some nobody has",
        "stated terms. Whether such terms bind weights trained on pictures is unsettled. So: treat",
        "the shipped weights as for evaluation, teaching and non-commercial shows. For paid work",
        "take a model whose weights are licensed for it (`promptmatte models list`), or train this",
        "one on your own pictures with `promptmatte train embedded --data DIR`.",
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
        "## What is asked of it, and what it does",
        "",
        "On held-out pictures: one in six scenes where names tell scenes (drives, people), else",
        "15 % of each set in blocks. None was trained on. Mattes below a confidence of",
        f"{floor} are empty.",
        "",
        "| demand | at least | measured | n |",
        "| --- | --- | --- | --- |",
        *(
            f"| {bar.name} | {bar.least:.2f} | {'' if bar.met else '**missed** '}{bar.value:.3f} "
            f"| {bar.n} |"
            for bar in demands
        ),
        "",
        "## Confidence",
        "",
        "The confidence is a probability: how often a thing is there of which the model is so",
        "sure, when half of what is asked for is there. It is fitted (Platt 1999) on one half of",
        f"the held-out pictures; on the other half its expected calibration error is "
        f"{calibration_error:.3f}.",
        "",
        "![reliability](reliability.png)",
        "",
        *floor_rows(scores),
        "",
        "## Every class",
        "",
        "`absent empty`: share of pictures without the thing whose matte stays under 1 %.",
        "",
        *concept_rows(scores, floor),
        "",
        "Person by data set:",
        "",
        "| data set | mean IoU | n |",
        "| --- | --- | --- |",
    ]
    for name, own in scores.items():
        if "person" in own and own["person"].ious:
            row = own["person"].summary(floor)
            lines.append(f"| {name} | {row['miou']:.3f} | {row['n']} |")
    bad = [row for row in looked_at if row.bad]
    lines += [
        "",
        "## Limits",
        "",
        f"Of {len(looked_at)} random held-out prompts these {len(bad)} went wrong:",
        "",
        "| data set | picture | prompt | IoU | confidence |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| {row.dataset} | {row.file} | {row.prompt} | "
            f"{f'{row.iou:.2f}' if row.present else 'not there'} | {row.confidence:.2f} |"
            for row in bad
        ),
        "",
        "A small vocabulary, learnt from a few thousand pictures: things smaller than a few",
        "hundredths of the picture, thin things and unusual views are often missed. A mask is of",
        "all things of a name, not of one of several. Bystanders are unlabelled in some of the",
        "sets, so that people in the background are found less surely than those in front.",
        "",
    ]
    return "\n".join(lines)
