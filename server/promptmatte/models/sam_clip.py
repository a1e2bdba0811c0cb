"""SAM told by CLIP what to look for: any of segment_anything's models with any of open_clip's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from promptmatte.errors import ModelError
from promptmatte.frame import Frame, FrameInfo, PixelFormat
from promptmatte.models.catalogue import LOCAL_DIR, named_clip
from promptmatte.models.choice import ModelChoice
from promptmatte.models.clip import ClipNetwork, load_clip
from promptmatte.models.combine import combined
from promptmatte.models.prompters import DensePrompter, Prompter, SamClipFeatures, presence
from promptmatte.models.prompters.background import background
from promptmatte.models.prompters.projection import ProjectionPrompter
from promptmatte.models.protocol import Decoded, Progress, PromptEmbedding, Scene, no_progress
from promptmatte.models.sam import SamNetwork, load_sam
from promptmatte.models.store import fetched
from promptmatte.models.vocabulary import vocabulary
from promptmatte.prompts import Prompt, PromptSet
from promptmatte.suggestions import MAX_WORDS


class SamClipModel:
    """Model protocol over a SamNetwork, a ClipNetwork and the Prompter between them."""

    def __init__(self, *, sam: SamNetwork, clip: ClipNetwork, prompter: Prompter) -> None:
        self._sam = sam
        self._clip = clip
        self._prompter = prompter

    @classmethod
    def load(
        cls, choice: ModelChoice, *, device: str, progress: Progress = no_progress
    ) -> SamClipModel:
        """The model of a choice, its files fetched first if need be; ModelError, DownloadError."""
        sam, clip = load_networks(choice, device=device, progress=_part(progress, 0.0, 0.9))
        progress(f"preparing the {choice.prompter} prompter", 0.9)
        model = cls(sam=sam, clip=clip, prompter=_prompter(choice, sam, clip))
        if device != "cpu" or choice.compiled:
            progress("warming up", 0.95)
            model.warm_up()
        progress(f"{choice.name} is ready", 1.0)
        return model

    @property
    def name(self) -> str:
        """The kind of SAM, e.g. sam-vit-b."""
        return self._sam.kind

    @property
    def device(self) -> str:
        """The torch device."""
        return str(self._sam.device)

    @property
    def presence_batch(self) -> int:
        """All of them: they vie with each other."""
        return MAX_WORDS

    @property
    def words(self) -> tuple[str, ...]:
        """The shipped vocabulary."""
        return vocabulary()

    def unknown_words(self, text: str) -> tuple[str, ...]:  # noqa: ARG002
        """None: CLIP makes something of any text."""
        return ()

    def taken_as(self, text: str) -> str | None:  # noqa: ARG002
        """Nothing: a text is what it says."""
        return None

    def warm_up(self) -> None:
        """Encodes and decodes a grey frame, so that what a card or compiler does once is done."""
        info = FrameInfo(stream_id=0, seq=0, pts_ns=0, captured_ns=0)
        grey = Frame(info=info, pixels=np.full((1080, 1920, 3), 128, np.uint8))
        prompts = PromptSet(prompts=(Prompt(text="warm up"),))
        self.decode(self.encode(grey), self.embed(prompts))

    @torch.inference_mode()
    def encode(self, frame: Frame) -> Scene:
        """The Scene of an rgb8 frame: SamClipFeatures."""
        if frame.format is not PixelFormat.RGB8:
            raise ModelError(f"expected an rgb8 frame; got {frame.format.name.lower()}")
        features = SamClipFeatures.of(frame.pixels.view(np.uint8), sam=self._sam, clip=self._clip)
        return Scene(info=frame.info, size_hw=frame.size_hw, features=features)

    @torch.inference_mode()
    def embed(self, prompts: PromptSet) -> PromptEmbedding:
        """What the prompter makes of the texts."""
        return PromptEmbedding(prompts=prompts, vectors=self._prompter.embed(prompts))

    @torch.inference_mode()
    def decode(self, scene: Scene, embedding: PromptEmbedding) -> Decoded:
        """Logits [P, h, w] at SAM's mask resolution and confidence."""
        if not embedding.prompts.terms:
            return combined(embedding.prompts)
        return self._prompter.decode(scene.features, embedding.prompts, embedding.vectors)

    @torch.inference_mode()
    def presence(self, scene: Scene, texts: Sequence[str]) -> tuple[float, ...]:
        """How surely CLIP's dense features show each text somewhere."""
        found = presence(
            scene.features.clip,
            self._clip.texts(texts),
            scale=self._clip.logit_scale,
            background=self._clip.texts(tuple(background())),
        )
        return tuple(found)


def load_networks(
    choice: ModelChoice, *, device: str, progress: Progress = no_progress
) -> tuple[SamNetwork, ClipNetwork]:
    """The SAM and the CLIP of a choice, their files fetched first if need be; ModelError,
    DownloadError, and ConfigError for a CLIP that does not exist."""
    sam_file = choice.weights or fetched(choice.name, _part(progress, 0.0, 0.3))
    clip_path = _clip_path(choice.clip, _part(progress, 0.3, 0.5))
    sam = load_sam(
        sam_file,
        kind=choice.name,
        device=device,
        precision=choice.precision,
        compiled=choice.compiled,
        progress=_part(progress, 0.5, 0.8),
    )
    clip = load_clip(
        clip_path,
        name=choice.clip,
        device=device,
        precision=sam.precision,
        progress=_part(progress, 0.8, 1.0),
    )
    return sam, clip


def _clip_path(name: str, progress: Progress) -> Path:
    if name.startswith(LOCAL_DIR):
        return Path(name.removeprefix(LOCAL_DIR))
    return fetched(named_clip(name).name, progress)


def _prompter(choice: ModelChoice, sam: SamNetwork, clip: ClipNetwork) -> Prompter:
    if choice.prompter == "dense":
        return DensePrompter(sam, clip)
    return ProjectionPrompter.load(choice.projection, sam=sam, clip=clip)


def _part(progress: Progress, start: float, end: float) -> Progress:
    """Progress of one step, as progress of the whole."""
    return lambda stage, share: progress(stage, start + share * (end - start))
