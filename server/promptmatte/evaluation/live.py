"""How good live mattes are on clips with masks, beside what others would show."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from promptmatte.config import PipelineConfig
from promptmatte.controls import Controls
from promptmatte.errors import ConfigError
from promptmatte.evaluation.clip_run import BASELINES, ClipRun
from promptmatte.evaluation.clips import LabelledFrames, read_clips
from promptmatte.evaluation.scores import Measures, mean_measures
from promptmatte.evaluation.settings import LiveSettings
from promptmatte.evaluation.truth import LabelledPrompt
from promptmatte.frame import MAX_CHANNELS
from promptmatte.models.protocol import Model
from promptmatte.prompts import Prompt, PromptSet
from promptmatte.training.datasets import read_classes

PLAIN_NAME = re.compile(r"[^\W_]+([ '-][^\W_]+)*")


class LiveEvaluation:
    """One run over the clips of a folder: iterate frames(model), then result(model).

    A model of None is the oracle: it finds what the masks say. prompts: none means the
    names in classes.json or, for the oracle, all that is labelled as one thing. controls:
    the same in every channel.
    """

    def __init__(
        self,
        folder: Path,
        prompts: Sequence[LabelledPrompt],
        *,
        settings: LiveSettings,
        oracle: bool,
        controls: Controls | None = None,
        clips: Sequence[str] = (),
        limit: int | None = None,
    ) -> None:
        if limit is not None and limit < 1:
            raise ConfigError(f"expected a limit of at least 1; got {limit}")
        self.settings = settings
        self.clips = read_clips(folder, names=clips, limit=limit)
        names, self._ignore = read_classes(folder)
        found = prompts or (
            [_everything(self._ignore)] if oracle else _named(folder, names, self._ignore)
        )
        self._labelled = tuple(found)
        self._prompts = PromptSet(version=1, prompts=tuple(p.prompt for p in found))
        self._controls = controls or Controls()
        self._config = PipelineConfig()
        self._measures: dict[str, dict[str, Measures]] = {}

    def __len__(self) -> int:
        """Frames in all."""
        return sum(len(clip.images) for clip in self.clips)

    def runs(self, model: Model | None, *, keep: int = 0) -> Iterator[ClipRun]:
        """A run for each clip, to be iterated before the next one is asked for.

        keep: see ClipRun.
        """
        for clip in self.clips:
            frames = LabelledFrames(
                clip, self._labelled, ignore=self._ignore, fps=self.settings.fps
            )
            run = ClipRun(
                frames,
                model=model,
                prompts=self._prompts,
                settings=self.settings,
                config=self._config,
                controls=self._controls.replaced({"encode_hz": self.settings.encode_hz}),
                keep=keep,
            )
            yield run
            self._measures[clip.name] = {
                name: score.measures() for name, score in run.scores.items()
            }

    def result(self, model: Model | None) -> dict[str, Any]:
        """J, F, flicker, stale_share and ms_per_frame: mean and clips of the live mattes,
        the same of each baseline, and the settings."""

        def entry(name: str) -> dict[str, Any]:
            clips = {clip: measures[name] for clip, measures in self._measures.items()}
            return {**mean_measures(clips.values()), "clips": clips}

        changed = self._controls.changed()
        live = entry("live")
        clips = live.pop("clips")
        return {
            "mean": live,
            "clips": clips,
            "baselines": {name: entry(name) for name in BASELINES},
            "settings": {
                **asdict(self.settings),
                "oracle": model is None,
                "model": model.name if model else "oracle",
                "device": model.device if model else "cpu",
                "prompts": [p.name for p in self._labelled],
                "controls": {**changed["channels"][0], **changed["stream"]},
                "frames": len(self),
            },
        }


def _everything(ignore: Sequence[int]) -> LabelledPrompt:
    labels = tuple(label for label in range(1, 256) if label not in ignore)
    return LabelledPrompt(name="object", prompt=Prompt(text="object"), labels=labels)


def _named(folder: Path, names: dict[int, str], ignore: Sequence[int]) -> list[LabelledPrompt]:
    """The classes of the folder as prompts; ConfigError unless they are few and plain words."""
    things = {label: name for label, name in names.items() if label and label not in ignore}
    plain = all(PLAIN_NAME.fullmatch(name) for name in things.values())
    if not plain or not 1 <= len(things) <= MAX_CHANNELS:
        raise ConfigError(
            f'expected --prompt TEXT=IDS, e.g. "person=255": {folder / "classes.json"} does not '
            f"name one to {MAX_CHANNELS} things in plain words"
        )
    return [
        LabelledPrompt(name=name, prompt=Prompt(text=name), labels=(label,))
        for label, name in things.items()
    ]
