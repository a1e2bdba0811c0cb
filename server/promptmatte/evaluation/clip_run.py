"""One clip through the live engine and the baselines, under the simulated clock."""

from __future__ import annotations

import time
from collections.abc import Iterator

from promptmatte.config import PipelineConfig
from promptmatte.controls import Controls
from promptmatte.errors import DataError
from promptmatte.evaluation.baselines import (
    Alpha,
    Baseline,
    EveryFrame,
    PlainChain,
    StaleMask,
    planes_of,
)
from promptmatte.evaluation.clips import LabelledFrames
from promptmatte.evaluation.oracle import OracleModel
from promptmatte.evaluation.scores import Judge, Score
from promptmatte.evaluation.settings import LiveSettings
from promptmatte.evaluation.simulation import Simulation
from promptmatte.frame import Frame, Matte
from promptmatte.models.protocol import Model
from promptmatte.prompts import PromptSet

BASELINES = ("stale", "chain", "every_frame")


class ClipRun:
    """One clip through the live engine and the baselines: iterate, then look at `scores`.

    keep: of so many scored frames, evenly spread, the alphas are kept, seq -> name -> alpha.
    """

    def __init__(
        self,
        frames: LabelledFrames,
        *,
        model: Model | None,
        prompts: PromptSet,
        settings: LiveSettings,
        config: PipelineConfig,
        controls: Controls,
        keep: int = 0,
    ) -> None:
        self.frames = frames
        self._settings = settings
        self._oracle = model is None
        self._prompts = prompts
        finder = model or OracleModel(lambda seq: frames.truth(seq).planes)
        self._simulation = Simulation(
            model=finder,
            prompts=prompts,
            config=config,
            controls=controls,
            encode_ns=settings.encode_ns,
        )
        floors = [c.confidence_floor for c in controls.channels[: len(prompts.prompts)]]
        self._baselines: dict[str, Baseline] = {
            "stale": StaleMask(floors),
            "chain": PlainChain(floors),
            "every_frame": EveryFrame(config, model=finder, prompts=prompts),
        }
        judge = Judge(frames, first=self._first_scored())
        scored = [seq for seq in range(len(frames)) if judge.scores(seq)]
        self.kept: dict[int, dict[str, Alpha]] = {
            scored[len(scored) * (2 * n + 1) // (2 * keep)]: {} for n in range(keep)
        }
        self.scores = {name: Score(judge) for name in ("live", *BASELINES)}
        self._fits_ns: dict[int, int] = {}
        self._newest_ns: int | None = None

    @property
    def name(self) -> str:
        """The clip's."""
        return self.frames.clip.name

    def __iter__(self) -> Iterator[int]:
        """Works frame by frame; gives the seq of each that is done."""
        for seq in range(len(self.frames)):
            self._show(self.frames.frame(seq))
            yield seq
        for matte in self._simulation.rest():
            self._add_live(matte)

    def _first_scored(self) -> int:
        """The first frame that an anchor can be there for; DataError for no mask from it on."""
        frames = self.frames
        seqs = range(len(frames))
        encoded = next((s for s in seqs if self._encodable(s)), 0)
        ready_ns = frames.time_ns(encoded) + self._settings.encode_ns
        first = next((s for s in seqs if frames.time_ns(s) >= ready_ns), len(frames))
        if not any(frames.has_truth(seq) for seq in seqs[first:]):
            raise DataError(
                f"expected masks of clip {frames.clip.name} from frame {first} on, where the "
                f"first matte can be; it has {len(frames)} frames: choose others with --only"
            )
        return first

    def _encodable(self, seq: int) -> bool:
        return not self._oracle or self.frames.has_truth(seq)

    def _show(self, frame: Frame) -> None:
        matte = self._simulation.show(frame, encodable=self._encodable(frame.info.seq))
        arrived = self._simulation.arrived
        if arrived is not None:
            self._newest_ns = self._fits_ns[arrived.info.seq] = arrived.at.captured_ns
        self.scores["live"].took(self._simulation.step_ms)
        if matte is not None:
            self._add_live(matte)
        for name, baseline in self._baselines.items():
            if name == "every_frame" and not self._encodable(frame.info.seq):
                continue
            start = time.perf_counter()
            alpha = baseline.step(frame, arrived)
            self.scores[name].took(1e3 * (time.perf_counter() - start))
            stale = name != "every_frame" and self._is_stale(frame, self._newest_ns)
            if alpha is not None:
                self._add(name, frame.info.seq, alpha, stale=stale)

    def _add_live(self, matte: Matte) -> None:
        frame = self.frames.frame(matte.info.seq)
        stale = self._is_stale(frame, self._fits_ns.get(matte.anchor_seq))
        alpha = planes_of(matte.alpha, len(self._prompts.prompts))
        self._add("live", matte.info.seq, alpha, stale=stale)

    def _add(self, name: str, seq: int, alpha: Alpha, *, stale: bool) -> None:
        self.scores[name].add(seq, alpha, stale=stale)
        if seq in self.kept:
            self.kept[seq][name] = alpha

    def _is_stale(self, frame: Frame, anchor_ns: int | None) -> bool:
        if anchor_ns is None:
            return True
        return frame.info.captured_ns - anchor_ns > self._settings.fresh_ns
