"""Trains what is missing of a pair and its projections in a folder."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

from promptmatte.models.clip import ClipNetwork, load_clip
from promptmatte.models.sam import SamNetwork
from promptmatte.training.datasets import Dataset, Picture
from promptmatte.training.projection import ProjectionTrainer

from .clip import TinyClipTrainer
from .plan import Plan
from .sam import load_tiny_sam
from .sam_training import TinySamTrainer

CLIP_FOLDER, SAM_FILE = "clip", "sam.pt"

Told = Callable[[str, int, float], None]
"""Told what is being trained, the step, and the recent mean loss (or share done)."""


def trained_clip(
    datasets: list[Dataset], folder: Path, plan: Plan, told: Told, *, embedded: Path
) -> Path:
    """The folder of the tiny CLIP, trained to its end first. embedded: the weights file of the
    embedded model."""
    place = folder / CLIP_FOLDER
    if not (place / "open_clip_model.safetensors").is_file():
        trainer = TinyClipTrainer(
            datasets=datasets, folder=place, plan=plan.clip, embedded=embedded
        )
        trainer.run(progress=told)
    return place


def trained_sam(
    datasets: list[Dataset], folder: Path, plan: Plan, told: Told, *, embedded: Path
) -> Path:
    """The file of the tiny SAM, trained to its end first. embedded: the weights file of the
    embedded model."""
    path = folder / SAM_FILE
    if not path.is_file():
        trainer = TinySamTrainer(datasets=datasets, path=path, plan=plan.sam, embedded=embedded)
        trainer.run(progress=told)
    return path


def load_pair(folder: Path) -> tuple[SamNetwork, ClipNetwork]:
    """The pair in a folder, in the product's own classes."""
    sam = SamNetwork(
        load_tiny_sam(folder / SAM_FILE), kind="tiny-sam", device="cpu", precision="fp32"
    )
    return sam, load_clip(folder / CLIP_FOLDER, name="tiny-clip", device="cpu")


@dataclass(frozen=True, kw_only=True)
class Thinned(Dataset):
    """A part of the training pictures of a data set, none held out."""

    def split(self) -> tuple[tuple[Picture, ...], tuple[Picture, ...]]:
        """All of its pictures, and none."""
        return self.pictures, ()


def thinned(datasets: list[Dataset], count: int, *, seed: int) -> list[Dataset]:
    """About count training pictures, drawn evenly from all data sets: features of all of them
    would take longer than the training itself."""
    rng = random.Random(seed)
    share = min(1.0, count / sum(len(dataset.split()[0]) for dataset in datasets))
    few: list[Dataset] = []
    for dataset in datasets:
        pictures = dataset.split()[0]
        chosen = rng.sample(pictures, round(share * len(pictures)))
        own = {field.name: getattr(dataset, field.name) for field in fields(dataset)}
        few.append(Thinned(**own | {"pictures": tuple(chosen)}))
    return few


def _share_features(folder: Path, own: Path) -> None:
    """Links what another projection for the same pair has encoded: the same for all of them."""
    others = [p for p in folder.glob("projection*/features") if p.parent != own]
    if others and not (own / "features").exists():
        shutil.copytree(others[0], own / "features", copy_function=os.link)


def trained_projection(
    name: str, datasets: list[Dataset], folder: Path, plan: Plan, told: Told
) -> Path:
    """The weights of one projection of the plan for the pair in a folder, trained first."""
    config = plan.projections[name]
    few = thinned(datasets, plan.projection_pictures, seed=config.seed)
    own = folder / name.replace(", ", "-").replace(" ", "-")
    _share_features(folder, own)
    sam, clip = load_pair(folder)
    trainer = ProjectionTrainer(
        sam=sam, clip=clip, datasets=few, folder=own, config=config, device="cpu"
    )
    trainer.encode(progress=lambda done, count: told(f"{name} features", done, done / count))
    trainer.run(progress=lambda step, loss: told(name, step, loss))
    return trainer.write_weights()
