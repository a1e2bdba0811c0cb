"""A tiny CLIP of open_clip's own classes, trained on the photographs' labels.

It is not trained as CLIP was, on captions of the web; what differs:
- Text first: the text tower alone learns which phrases mean the same concept, and is frozen.
- Whole crops are contrasted with a phrase of every concept of the vocabulary, not with the
  other captions of a batch. All concepts that a crop shows are positives, those that it does
  not are negatives, and what its labels do not tell is left out.
- Patches are contrasted in the same way by their mask labels: the last block's values, not yet
  gathered by any attention, through its projection. Real CLIP has no such term; some ten
  thousand crops do not make patches meaningful without it. How values are gathered is not
  trained: that is the product's own doing (models/clip/dense.py).
- Patches also foretell the embedded model's features through a linear head, thrown away.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from promptmatte.models.clip.dense import merged, queries_keys_values
from promptmatte.models.clip.texts import TEMPLATES
from promptmatte.models.clip.tower import tokens_before_last
from promptmatte.models.embedded import load_network
from promptmatte.training.datasets import Dataset
from promptmatte.training.mixed_precision import mixed_precision
from promptmatte.training.run import TrainingRun, cosine, descend, warm_up
from promptmatte.training.vocabulary import NONSENSE, SYNONYMS, phrase
from safetensors.torch import save_file
from torch import Tensor, nn

from .crops import Crop, Crops, training_pictures

NOTHING = "nothing"
"""The concept of words for what none of the pictures shows."""

TEXT_BATCH = 192
TEXT_SHARPNESS = 12.0
PHRASES_A_CONCEPT = 16
PATCH_WEIGHT, TEACHER_WEIGHT = 1.0, 0.5
WARM_UP_STEPS = 60


@dataclass(frozen=True, kw_only=True)
class ClipPlan:
    """Sizes and steps of one tiny CLIP."""

    side_px: int = 224
    patch_px: int = 16
    width: int = 256
    layers: int = 6
    text_width: int = 192
    text_layers: int = 3
    steps: int = 1000
    batch: int = 32
    text_steps: int = 300
    learning_rate: float = 1e-3
    seed: int = 0
    save_every: int = 100

    def config(self) -> dict[str, Any]:
        """Its open_clip_config.json."""
        return {
            "model_cfg": {
                "embed_dim": 256,
                "vision_cfg": {
                    "image_size": self.side_px,
                    "layers": self.layers,
                    "width": self.width,
                    "head_width": 64,
                    "patch_size": self.patch_px,
                },
                "text_cfg": {
                    "context_length": 16,
                    "vocab_size": 49408,
                    "width": self.text_width,
                    "heads": 4,
                    "layers": self.text_layers,
                },
            },
            "preprocess_cfg": {"mean": OPENAI_DATASET_MEAN, "std": OPENAI_DATASET_STD},
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipBatch:
    """Crops as tensors: pixels [B, 3, S, S] in 0..255, flags [B, C] and [B, s * s, C]."""

    pixels: Tensor
    shown: Tensor
    absent: Tensor
    patch_shown: Tensor
    patch_absent: Tensor

    @classmethod
    def of(cls, crops: list[Crop]) -> ClipBatch:
        """The batch of crops."""

        def stacked(name: str) -> Tensor:
            return torch.from_numpy(np.stack([getattr(crop, name) for crop in crops]))

        return cls(
            pixels=stacked("pixels").permute(0, 3, 1, 2).float(),
            **{n: stacked(n) for n in ("shown", "absent", "patch_shown", "patch_absent")},
        )


class TinyClipTrainer(TrainingRun[ClipBatch]):
    """One training run of a tiny CLIP in a folder, which goes on where it stopped. embedded: the
    weights file of the embedded model."""

    def __init__(
        self, *, datasets: list[Dataset], folder: Path, plan: ClipPlan, embedded: Path
    ) -> None:
        super().__init__(
            folder=folder.with_name(f"{folder.name}-training"),
            steps=plan.steps,
            save_every=plan.save_every,
        )
        self.plan = plan
        self.folder = folder
        self._datasets = datasets
        self.concepts = all_concepts(datasets)
        torch.manual_seed(plan.seed)
        folder.mkdir(parents=True, exist_ok=True)
        config = json.dumps(plan.config(), indent=1)
        (folder / "open_clip_config.json").write_text(config, encoding="utf-8")
        self.clip: Any = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
        self._tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
        self._teacher = load_network(embedded)[0].to(memory_format=torch.channels_last)
        self._head = nn.Linear(plan.width, self._teacher.architecture.dim)
        self._bank: Tensor | None = None
        for parameter in _text_parameters(self.clip):
            parameter.requires_grad = False
        self._trained = nn.ModuleList([self.clip.visual, self._head])
        self._optimizer = torch.optim.AdamW(
            [*self._trained.parameters(), self.clip.logit_scale],
            lr=plan.learning_rate,
            weight_decay=0.05,
            fused=True,
        )
        self.resume()

    @property
    def weights(self) -> Path:
        """The file that says that the run is done."""
        return self.folder / "open_clip_model.safetensors"

    def run(self, *, progress: Callable[[str, int, float], None]) -> None:
        """Trains up to plan.steps and writes the weights; progress is told stage, step, and the
        share of phrases understood or the recent mean loss."""
        if self.step == 0:
            for parameter in _text_parameters(self.clip):
                parameter.requires_grad = True
            self._train_text(lambda step, share: progress("clip text", step, share))
            for parameter in _text_parameters(self.clip):
                parameter.requires_grad = False
        self._bank = self._phrase_bank()
        self._go(lambda step, loss: progress("clip", step, loss))
        save_file(
            {name: value.contiguous() for name, value in self.clip.state_dict().items()},
            self.weights,
        )

    def _train_text(self, progress: Callable[[int, float], None]) -> None:
        """Cross-entropy of a phrase's cosine to a direction for each concept: synonyms meet,
        different things part, unknown words share the first direction."""
        rng = random.Random(self.plan.seed)
        directions = nn.Parameter(torch.randn(len(self.concepts), 256))
        optimizer = torch.optim.AdamW(
            [
                {"params": [directions], "lr": 3e-3},
                {"params": _text_parameters(self.clip), "lr": 6e-4},
            ],
            weight_decay=0.01,
            fused=True,
        )
        understood = 0.0
        for step in range(self.plan.text_steps):
            ids = [rng.randrange(len(self.concepts)) for _ in range(TEXT_BATCH)]
            ids = [0 if rng.random() < 0.08 else i for i in ids]
            texts = [caption(self.concepts[i] if i else unknown(rng), rng) for i in ids]
            features = F.normalize(self.clip.encode_text(self._tokenizer(texts)), dim=1)
            logits = TEXT_SHARPNESS * features @ F.normalize(directions, dim=1).T
            target = torch.tensor(ids)
            loss = F.cross_entropy(logits, target)
            for group, rate in zip(optimizer.param_groups, (3e-3, 6e-4), strict=True):
                group["lr"] = rate * warm_up(step, 30) * (1 + cosine(step, self.plan.text_steps))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            right = float((logits.argmax(1) == target).float().mean())
            understood += 0.1 * (right - understood)
            progress(step + 1, understood)

    @torch.no_grad()
    def _phrase_bank(self) -> Tensor:
        """Unit vectors [C, K, 256] of phrases of every concept."""
        rng = random.Random(self.plan.seed)
        rows = []
        for concept in self.concepts:
            texts = [
                caption(unknown(rng) if concept == NOTHING else concept, rng)
                for _ in range(PHRASES_A_CONCEPT)
            ]
            rows.append(F.normalize(self.clip.encode_text(self._tokenizer(texts)), dim=1))
        return torch.stack(rows)

    def _state(self) -> dict[str, Any]:
        return {
            "plan": asdict(self.plan),
            "clip": self.clip.state_dict(),
            "head": self._head.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self.clip.load_state_dict(state["clip"])
        self._head.load_state_dict(state["head"])
        self._optimizer.load_state_dict(state["optimizer"])

    def _batches(self) -> Iterator[ClipBatch]:
        plan = self.plan
        crops = Crops(
            training_pictures(self._datasets, long_side_px=plan.side_px * 3 // 2),
            self.concepts,
            side_px=plan.side_px,
            patch_px=plan.patch_px,
            seed=plan.seed + self.step,
        )
        while True:
            yield ClipBatch.of([crops.draw() for _ in range(plan.batch)])

    def _train(self, batch: ClipBatch) -> float:
        rate = self.plan.learning_rate * warm_up(self.step, WARM_UP_STEPS)
        for group in self._optimizer.param_groups:
            group["lr"] = rate * (0.01 + 0.495 * (1 + cosine(self.step, self.plan.steps)))
        bank = self._bank
        if bank is None:
            raise RuntimeError("expected the phrase bank before the first step")
        texts = bank[torch.arange(len(bank)), torch.randint(PHRASES_A_CONCEPT, (len(bank),))]
        mean, std = (
            torch.tensor(values).view(1, 3, 1, 1) * 255
            for values in (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD)
        )
        with mixed_precision(batch.pixels.device):
            with torch.no_grad():
                pixels = batch.pixels.contiguous(memory_format=torch.channels_last)
                taught = self._teacher.encode_image(pixels).pixels
            whole, patches, foretold = self._seen((batch.pixels - mean) / std)
        scale = self.clip.logit_scale.exp().clamp(max=100)
        loss = contrast(scale * whole.float() @ texts.T, batch.shown, batch.absent)
        loss = loss + PATCH_WEIGHT * contrast(
            scale * patches.float() @ texts.T, batch.patch_shown, batch.patch_absent
        )
        side = self.plan.side_px // self.plan.patch_px
        taught = F.adaptive_avg_pool2d(taught.float(), (side, side))
        taught = F.layer_norm(taught.flatten(2).transpose(1, 2), taught.shape[1:2])
        loss = loss + TEACHER_WEIGHT * F.mse_loss(foretold.float(), taught)
        return descend(loss, [self._trained.parameters()], self._optimizer)

    def _seen(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Unit vectors [B, 256] of whole crops and [B, s * s, 256] of patches, and what those
        foretell of the embedded model's features."""
        visual = self.clip.visual
        block = visual.transformer.resblocks[-1]
        tokens = tokens_before_last(visual, pixels, visual.positional_embedding)
        _, _, values = queries_keys_values(block, tokens[:, 1:])
        patches = visual.ln_post(merged(block, values)) @ visual.proj
        whole = visual.ln_post(block(tokens)[:, 0]) @ visual.proj
        return F.normalize(whole, dim=-1), F.normalize(patches, dim=-1), self._head(tokens[:, 1:])


def all_concepts(datasets: Sequence[Dataset]) -> list[str]:
    """Every concept that a phrase may be for, NOTHING first."""
    known = set(SYNONYMS)
    for dataset in datasets:
        known |= set(dataset.concepts) | set(dataset.policy.elsewhere)
    return [NOTHING, *sorted(known)]


def contrast(logits: Tensor, shown: Tensor, absent: Tensor) -> Tensor:
    """Mean over all that is shown [..., C] of its cross-entropy against what is absent."""
    against = logits.masked_fill(~absent, -torch.inf).logsumexp(dim=-1, keepdim=True)
    each = F.softplus(against - logits) * shown
    count = shown.sum(dim=-1)
    known = (count > 0) & absent.any(dim=-1)
    if not known.any():
        return logits.sum() * 0.0
    return (each.sum(dim=-1)[known] / count[known]).mean()


def caption(concept: str, rng: random.Random) -> str:
    """A phrase somebody might type, half of the time in one of CLIP's sentences."""
    if rng.random() < 0.5:
        return phrase(concept, rng)
    noun = phrase(concept, rng).removeprefix("a photo of ")
    return rng.choice(TEMPLATES).replace("{}", noun)


def unknown(rng: random.Random) -> str:
    """A word for what none of the pictures shows, or no word at all."""
    if rng.random() < 0.5:
        return rng.choice(NONSENSE)
    return "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randint(3, 9)))


def _text_parameters(clip: Any) -> list[nn.Parameter]:
    visual = {id(p) for p in clip.visual.parameters()} | {id(clip.logit_scale)}
    return [p for p in clip.parameters() if id(p) not in visual]
