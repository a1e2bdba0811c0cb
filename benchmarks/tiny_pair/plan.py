"""What a run trains and measures, whole or as a quick check that all of it works."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from promptmatte.training.projection import ProjectionConfig

from .clip import ClipPlan
from .sam_training import SamPlan

PROJECTION = ProjectionConfig(steps=100, text_steps=1700, variants=1)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Sizes and steps of all trainings, and how many held-out pictures are asked about."""

    clip: ClipPlan = field(default_factory=ClipPlan)
    sam: SamPlan = field(default_factory=SamPlan)
    projections: dict[str, ProjectionConfig] = field(
        default_factory=lambda: {
            "projection": PROJECTION,
            "projection, text only": replace(PROJECTION, image_conditioned=False),
        }
    )
    projection_pictures: int = 1600
    pictures: int = 150
    sheets: int = 16

    @classmethod
    def quick(cls) -> Plan:
        """A few steps of small networks: what they find means nothing."""
        projection = ProjectionConfig(steps=1, text_steps=1, batch=2, queries=2, variants=1)
        return cls(
            clip=ClipPlan(
                side_px=64, width=64, layers=2, text_width=32, text_layers=1, steps=2, batch=4,
                text_steps=1,
            ),
            sam=SamPlan(side_px=128, steps=2, pictures=2, each=2),
            projections={
                "projection": projection,
                "projection, text only": replace(projection, image_conditioned=False),
            },
            pictures=2,
            sheets=1,
        )  # fmt: skip
