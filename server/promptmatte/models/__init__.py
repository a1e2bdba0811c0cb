"""Models by name."""

from __future__ import annotations

from promptmatte.models.choice import ModelChoice
from promptmatte.models.protocol import Model, Progress, no_progress


def load_model(choice: ModelChoice, *, progress: Progress = no_progress) -> Model:
    """The model of a choice on its device, fetched first if need be; ModelError, DownloadError."""
    # torch takes seconds to import; the commands that only name models do without.
    from promptmatte.models.device import choose_device

    device = choose_device(choice.device)
    match choice.name:
        case "embedded":
            from promptmatte.models.embedded import EmbeddedModel

            return EmbeddedModel.load(device=device, weights=choice.weights)
        case "sam3":
            from promptmatte.models.sam3 import Sam3

            return Sam3.load(choice, device=device, progress=progress)
        case _:
            from promptmatte.models.sam_clip import SamClipModel

            return SamClipModel.load(choice, device=device, progress=progress)
