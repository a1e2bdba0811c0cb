"""The video tab: a file is cut frame for frame, with a progress bar, and offered for download."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from promptmatte.commands.cut_file import QUALITIES
from promptmatte.errors import CommandError, PromptMatteError
from promptmatte.recording.alpha_video import ALPHA_CODECS
from promptmatte.sources.video import probe_video
from promptmatte.web import widgets
from promptmatte.web.job import JobState, VideoDesk
from promptmatte.web.regions import prompts_in, shaped

TICK_S = 0.7
VIDEO_SUFFIXES = [".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".ts"]


class VideoTab:
    """Lays itself out where it is made, within gr.Blocks. All pages show the one order."""

    def __init__(self, desk: VideoDesk) -> None:
        self._desk = desk
        self._last = gr.State(None)
        with gr.Row():
            with gr.Column(scale=5, min_width=300):
                self._file = gr.File(
                    label="A video", file_types=VIDEO_SUFFIXES, height=140, elem_id="video-file"
                )
                self._prompts = gr.Textbox(
                    label="Prompts", info="up to four, with commas between; one matte of all",
                    placeholder="horse", elem_id="video-prompts", max_lines=1,
                )  # fmt: skip
                self._threshold = gr.Slider(
                    0.1, 0.9, 0.5, step=0.05, label="Detection threshold",
                    elem_id="video-threshold",
                )  # fmt: skip
                self._smoothness = gr.Slider(
                    1, 5, 1, step=1, label="Smoothness", elem_id="video-smoothness"
                )
                self._suffix = gr.Radio(
                    [(".mov ProRes 4444", ".mov"), (".webm VP9", ".webm")], value=".mov",
                    label="Output with alpha", elem_id="video-suffix",
                )  # fmt: skip
                self._quality = gr.Radio(
                    list(QUALITIES), value=QUALITIES[0], label="Quality",
                    info="best: about a second a frame", elem_id="video-quality",
                )  # fmt: skip
            with gr.Column(scale=7, min_width=300):
                self._message = gr.HTML(elem_id="video-message")
                self._progress = gr.HTML(elem_id="video-progress")
                with gr.Row():
                    self._cut = gr.Button("Cut out", variant="primary", elem_id="video-cut")
                    self._cancel = gr.Button(
                        "Cancel", variant="stop", interactive=False, elem_id="video-cancel"
                    )
                self._download = gr.DownloadButton(
                    "Download video", interactive=False, elem_id="video-download"
                )
        self._listen()

    def _listen(self) -> None:
        shared: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        self._file.upload(self._look, [self._file], [self._message, self._file], **shared)
        self._cut.click(
            self._start,
            [self._file, self._prompts, self._threshold, self._smoothness, self._suffix,
             self._quality],
            [self._message], **shared,
        )  # fmt: skip
        self._cancel.click(self._desk.cancel, None, None, queue=False, **shared)
        state = [self._last, self._progress, self._cut, self._cancel, self._download]
        gr.Timer(TICK_S).tick(
            self._tick, [self._last], state, queue=False, trigger_mode="once", **shared
        )

    @staticmethod
    def _look(path: str) -> list[Any]:
        """What a file is, or why it is none; such a one does not stay."""
        try:
            info = probe_video(path)
        except PromptMatteError:
            Path(path).unlink(missing_ok=True)
            said = "expected a video; got a file that cannot be decoded: it is damaged or of "\
                "another kind"  # fmt: skip
            return [widgets.message([said], kind="bad"), None]
        height, width = info.size_hw
        length = f", {info.frames} frames" if info.frames else ""
        said = f"{Path(path).name}: {width} x {height}, {info.fps:.4g} fps{length}"
        return [widgets.message([said], kind="good"), gr.skip()]

    def _start(
        self,
        path: str | None,
        text: str,
        threshold: float,
        smoothness: float,
        suffix: str,
        quality: str,
    ) -> str:
        try:
            if path is None:
                raise CommandError("upload a video first")
            if suffix not in ALPHA_CODECS or quality not in QUALITIES:
                raise CommandError("expected an output and a quality of those offered")
            self._desk.start(
                Path(path),
                prompts=prompts_in(text),
                controls=shaped(threshold=threshold, smoothness=int(smoothness)),
                quality=quality,
                suffix=suffix,
            )
        except PromptMatteError as error:
            return widgets.message([str(error)], kind="bad")
        return ""

    def _tick(self, last: JobState | None) -> list[Any]:
        state = self._desk.state
        if state == last:
            return [gr.skip()] * 5
        running = state.state == "running"
        done = state.result is not None
        return [
            state,
            widgets.progress(state),
            gr.Button(interactive=not running),
            gr.Button(interactive=running),
            gr.DownloadButton(value=state.result, interactive=done),
        ]
