"""One stream of a server: live frames in, a matte of every frame out."""

from __future__ import annotations

import logging
import queue
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import torch

from promptmatte.capture import Capture
from promptmatte.clock import Clock
from promptmatte.config import PipelineConfig
from promptmatte.controls import Controls
from promptmatte.counters import Counters, LatencyHistogram
from promptmatte.errors import LinkError, RecordingError
from promptmatte.frame import Frame, Matte
from promptmatte.frame_failures import FrameFailures
from promptmatte.links.protocol import ServerLink
from promptmatte.matte.draft import Draft
from promptmatte.matte.stream import MatteStream
from promptmatte.matting import Delay, follow_with_keyframes
from promptmatte.models.choice import ModelChoice
from promptmatte.models.lane import Lane
from promptmatte.models.protocol import Model
from promptmatte.notes import notes_on
from promptmatte.preview import preview_of
from promptmatte.priority import Niceness, stand_back
from promptmatte.prompts import Prompt, PromptSet
from promptmatte.recording.recorder import Recorder
from promptmatte.shared_model import SharedModel
from promptmatte.slot import LatestSlot
from promptmatte.sources.protocol import Source
from promptmatte.suggestions import Inquiry
from promptmatte.vendors.sink import Sink

logger = logging.getLogger(__name__)

IDLE_S = 0.25


class Pipeline:
    """A source and its links at work on three threads, with a model that others may share.

    capture reads the source; matte follows the things through every frame that it is in time
    for, on keyframes of the model's thread; edges draws and sends the matte of a frame while matte
    is at the next one, one at a time. A frame that gets no matte is counted in
    `dropped`: busy (a newer one replaced it), loading_model, waiting_for_keyframe, stopped,
    failed (an error, which `errors` tells), or link_error:<address> when no link took its matte.
    Source, links and sinks are the caller's. A pipeline runs once.

    sinks: get every frame with its matte and drop those that they are not in time for.
    recorder: gets every frame with its matte; it is closed by stop().
    model: the one that the streams of a server share, which ends with the last of them; or one
    for this stream alone, loaded already or the choice of one.
    share: weight among the streams when the model is too slow for all, 1 where all are alike.
    """

    def __init__(
        self,
        *,
        open_source: Callable[[], Source],
        model: Model | ModelChoice | SharedModel,
        links: Sequence[ServerLink],
        sinks: Sequence[Sink] = (),
        config: PipelineConfig,
        clock: Clock,
        recorder: Recorder | None = None,
        share: float = 1.0,
    ) -> None:
        self._links = tuple(links)
        self._sinks = tuple(sinks)
        self._clock = clock
        self._recorder = recorder
        self._counters = Counters()
        self._stopping = threading.Event()
        self._finished = threading.Event()
        self._frames: LatestSlot[Frame] = LatestSlot()
        self._capture = Capture(
            open_source=open_source,
            frames=self._frames,
            counters=self._counters,
            retry_s=config.retry_s,
            stopping=self._stopping,
        )
        self._model = model if isinstance(model, SharedModel) else SharedModel(model)
        self._host = self._model.host
        self._keyframes = self._model.join(
            encode_hz=Controls().stream.encode_hz,
            share=share,
            clock=clock,
            counters=self._counters,
            failed=self._fail,
        )
        self._inquiry: Inquiry | None = None
        # A card is done with a correction before a thread could begin one.
        self._beside = _beside() if self._host.device == "cpu" else None
        self._stream = MatteStream(config, device=self._host.device, beside=self._beside)
        self._delay = Delay()
        self._prompts = PromptSet()
        self._prompts_lock = threading.Lock()
        self._controls = self._applied = Controls()
        self._drafts: queue.Queue[Draft | None] = queue.Queue()
        self._shown: tuple[Frame, Matte] | None = None
        self._failures = FrameFailures(clock=clock, counters=self._counters)
        self._link_errors: Counter[str] = Counter()
        self._failure: str | None = None
        self._threads = [
            threading.Thread(target=run, name=f"promptmatte-{name}", daemon=True)
            for name, run in (
                ("capture", self._capture.run),
                ("matte", self._make_mattes),
                ("edges", self._draw_mattes),
            )
        ]

    def start(self) -> None:
        """Starts the threads, and the model's with the first stream."""
        self._model.start()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends the run and joins the threads; safe to call twice.

        Waits for an encode, the opening of a source or a step of loading that is under way, and
        for a recording to be finished.
        """
        self._stopping.set()
        self._frames.nudge()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        if self._beside is not None:
            self._beside.shutdown()
        self._model.leave(self._keyframes)
        if self._recorder is not None:
            self._recorder.close()

    def wait(self, timeout_s: float | None = None) -> bool:
        """True when the run is over: stopped, or the source ended. None waits for ever."""
        return self._finished.wait(timeout_s)

    @property
    def hopeless(self) -> bool:
        """True while no frame has had a matte for long, only errors: another process may do it."""
        return self._failures.hopeless

    def set_prompts(self, prompts: tuple[Prompt, ...]) -> PromptSet:
        """The PromptSet that is searched for from now on, shown as soon as it is decoded.

        The same prompts again change nothing. PromptError for more than four.
        """
        with self._prompts_lock:
            if prompts != self._prompts.prompts:
                self._prompts = self._prompts.replaced(prompts)
                self._keyframes.set_prompts(self._prompts)
            return self._prompts

    def notes(self) -> list[str]:
        """What the model in use does not know of the prompts, or takes for something else; nothing
        while there is no model."""
        model = self._host.model
        return notes_on(self._prompts, model) if model is not None else []

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """The prompts as they were set last."""
        return self._prompts.prompts

    @property
    def model_choice(self) -> ModelChoice:
        """The model as it was chosen last, loaded or not."""
        return self._host.choice

    @property
    def controls(self) -> Controls:
        """The controls as they were set last."""
        return self._controls

    def set_controls(self, controls: Controls) -> None:
        """Takes these controls for every frame from the next one on; from any thread.

        The same controls again change nothing.
        """
        if controls != self._controls:
            self._keyframes.set_encode_hz(controls.stream.encode_hz)
            self._controls = controls

    def choose_model(self, **changes: Any) -> ModelChoice:
        """Loads another model while the one there is goes on, for all that share it; see
        ModelHost.choose."""
        return self._host.choose(**changes)

    def suggest(self, words: Sequence[str]) -> None:
        """Begins to look for these words, or those the model knows best, in the next frame.

        PromptError for words that cannot be used.
        """
        self._inquiry = Inquiry(words)
        self._keyframes.ask(self._inquiry)

    def suggestions(self, limit: int) -> dict[str, Any]:
        """The answer to the last `suggest`, as far as it is there: done, error, suggestions."""
        inquiry = self._inquiry
        return (inquiry or Inquiry()).answer(limit)

    def preview(self, side: int) -> dict[str, Any] | None:
        """The newest matte and its frame, small, as preview_of has them; None before the first.
        The work is the asking thread's."""
        return preview_of(*self._shown, side) if self._shown else None

    def record(self, on: bool) -> dict[str, Any]:
        """Begins a recording or ends it, without waiting for its file; Recorder.status.

        RecordingError when it cannot begin, or for a pipeline without a recorder.
        """
        if self._recorder is None:
            raise RecordingError(
                "expected a server that was told where to record to; got one without: start it "
                "with --record FILE --record-later"
            )
        self._recorder.switch(on)
        return self._recorder.status()

    def status(self) -> dict[str, Any]:
        """How the run goes, as JSON values."""
        prompts = self._prompts
        matte = self._shown[1] if self._shown else None
        size_hw = self._capture.size_hw
        return {
            "state": self._state(),
            "source": self._capture.source_name,
            **self._host.status(),
            "size": list(size_hw) if size_hw else None,
            **self._counters.snapshot(self._clock.now_ns()),
            "prompts": _prompt_entries(prompts, matte),
            "prompts_version": prompts.version,
            "notes": self.notes(),
            "controls": self._controls.changed(),
            "anchor_seq": matte.anchor_seq if matte else -1,
            "age_ms": round(matte.age_ms, 2) if matte else None,
            "errors": self._failures.error or self._keyframes.error,
            "links": [
                *(self._link_entry(link) for link in self._links),
                *(sink.status() for sink in self._sinks),
            ],
            "recording": self._recorder.status() if self._recorder is not None else None,
        }

    def brief(self) -> dict[str, Any]:
        """Of the status what the other streams' tell, as JSON values."""
        counted = self._counters.snapshot(self._clock.now_ns())
        return {
            "state": self._state(),
            "source": self._capture.source_name,
            **{name: counted[name] for name in ("matte_fps", "keyframe_hz", "latency_ms")},
            "dropped": counted["dropped"],
            "errors": self._failures.error or self._keyframes.error,
        }

    def latency_histogram(self) -> LatencyHistogram:
        """Latencies of all mattes so far."""
        return self._counters.latency_histogram()

    def _state(self) -> str:
        if self._failure:
            return f"failed: {self._failure}"
        if self._failures.hopeless:
            return f"failed: {self._failures.error}"
        loading = self._host.loading
        if loading is not None and not self._host.ready:
            return f"loading {loading.share:.0%}"
        return self._capture.state

    def _fail(self, failure: str) -> None:
        """Ends the run for good."""
        self._failure = failure
        self._stopping.set()
        self._frames.close()

    def _link_entry(self, link: ServerLink) -> dict[str, Any]:
        errors = self._link_errors[link.address]
        return {"address": link.address, **asdict(link.status), "errors": errors}

    def _make_mattes(self) -> None:
        _use_one_thread()
        try:
            with Lane(self._host.device, urgent=True):
                self._matte_frames()
        except Exception as error:
            logger.exception("matte loop failed")
            self._fail(str(error))
            self._counters.drop("failed")
        finally:
            self._stopping.set()
            self._frames.close()
            for _ in filter(None, [self._frames.take(0.0), *self._delay.flush()]):
                self._counters.drop("stopped")
            self._keyframes.frames.close()
            self._drafts.put(None)

    def _matte_frames(self) -> None:
        while True:
            waiting = self._frames.take(0.0)
            frame = waiting or self._frames.take(IDLE_S)
            if frame is not None:
                behind = waiting is not None or self._drafts.unfinished_tasks > 0
                self._pass_through(frame, late=behind)
            elif self._frames.closed:
                break
        for delayed in self._delay.flush():
            self._make_matte(delayed)

    def _pass_through(self, frame: Frame, *, late: bool) -> None:
        controls = self._controls
        if controls is not self._applied:
            self._stream.set_controls(controls)
            self._applied = controls
        self._keyframes.frames.put(frame)
        for due in self._delay.put(frame, controls.stream.latency):
            self._make_matte(due, late=late)

    def _make_matte(self, frame: Frame, *, late: bool = False) -> None:
        if self._stopping.is_set():
            self._counters.drop("stopped")
            return
        with self._failures.cost_a_frame(and_then=self._stream.forget_shot):
            draft = follow_with_keyframes(
                frame, stream=self._stream, keyframes=self._keyframes, late=late
            )
            if draft is None:
                self._counters.drop("waiting_for_keyframe" if self._host.ready else "loading_model")
                return
            self._drafts.join()  # a frame that waits here has the newest after it, none between
            self._drafts.put(draft)

    def _draw_mattes(self) -> None:
        for draft in iter(self._drafts.get, None):
            try:
                self._draw_matte(draft)
            except Exception as error:
                logger.exception("sending of mattes failed")
                self._fail(str(error))
            finally:
                self._drafts.task_done()
        self._finished.set()

    def _draw_matte(self, draft: Draft) -> None:
        if self._stopping.is_set():
            self._counters.drop("stopped")
            return
        matte = None
        with self._failures.cost_a_frame():
            matte = draft.matte()
        if matte is not None:
            self._failures.over()
            self._show(draft.frame, matte)

    def _show(self, frame: Frame, matte: Matte) -> None:
        self._shown = frame, matte
        refused = [link.address for link in self._links if not self._sent(link, matte)]
        if refused and len(refused) == len(self._links):
            self._counters.drop(f"link_error:{refused[0]}")
        else:
            self._counters.matte_out(
                captured_ns=frame.info.captured_ns, now_ns=self._clock.now_ns()
            )
        for sink in self._sinks:
            sink.offer(frame, matte)
        if self._recorder is not None:
            self._recorder.offer(frame, matte)

    def _sent(self, link: ServerLink, matte: Matte) -> bool:
        try:
            link.send_matte(matte)
        except LinkError as error:
            if not self._link_errors[link.address]:
                logger.warning("%s takes no matte: %s", link.address, error)
        except Exception as error:
            if not self._link_errors[link.address]:
                logger.exception("%s refused a matte: %s", link.address, error)
        else:
            return True
        self._link_errors[link.address] += 1
        return False


def _beside() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(
        1, thread_name_prefix="promptmatte-correction", initializer=_begin_beside
    )


def _begin_beside() -> None:
    stand_back(Niceness.CORRECTIONS)
    _use_one_thread()


def _use_one_thread() -> None:
    # The correction's network is small: 5 ms on one thread, 4 on two. But on a busy machine
    # threads that wait for each other took 140.
    torch.set_num_threads(1)


def _prompt_entries(prompts: PromptSet, matte: Matte | None) -> list[dict[str, Any]]:
    shown = matte is not None and matte.prompts_version == prompts.version
    confidence = matte.confidence if matte is not None and shown else ()
    return [
        {
            **prompt.entry,
            "confidence": round(confidence[channel], 4) if channel < len(confidence) else None,
        }
        for channel, prompt in enumerate(prompts.prompts)
    ]
