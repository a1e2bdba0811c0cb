"""The picture tab: upload, name things, see and keep what was found."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import gradio as gr

from promptmatte.errors import PromptMatteError
from promptmatte.frame import Frame
from promptmatte.notes import notes_on
from promptmatte.web import widgets
from promptmatte.web.engine import Engine
from promptmatte.web.picture_file import MAX_BYTES, read_upload
from promptmatte.web.regions import Region, Regions, prompts_in, shaped

POINT = """
document.addEventListener("click", (event) => {
  const picture = event.target.closest("#picture-regions img");
  if (!picture) return;
  const box = picture.getBoundingClientRect();
  trigger("point", { x: (event.clientX - box.left) / box.width,
                     y: (event.clientY - box.top) / box.height });
});
"""
"""Tells where in the picture a finger was: gr.AnnotatedImage itself listens on its legend only."""


class Desk:
    """One page's picture. kept: the file of the cut-out that is offered."""

    def __init__(self) -> None:
        self.picture: Frame | None = None
        self.regions: Regions | None = None
        self.kept: Path | None = None


class ImageTab:
    """Lays itself out where it is made, within gr.Blocks."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        """folder: where cut-outs lie until they are fetched."""
        self._engine = engine
        self._folder = folder
        self._desk = gr.State(Desk)
        with gr.Row():
            with gr.Column(scale=4, min_width=300):
                self._file = gr.File(
                    label=f"JPG or PNG, up to {MAX_BYTES >> 20} MB",
                    file_types=[".jpg", ".jpeg", ".png"], height=140, elem_id="picture-file",
                )  # fmt: skip
                self._prompts = gr.Textbox(
                    label="Prompts", info="up to four, with commas between", lines=2,
                    placeholder="person, red car, sky", elem_id="picture-prompts",
                )  # fmt: skip
                self._threshold = gr.Slider(
                    0.1, 0.9, 0.5, step=0.05, label="Detection threshold",
                    info="less takes in more", elem_id="picture-threshold",
                )  # fmt: skip
                self._smoothness = gr.Slider(
                    1, 5, 1, step=1, label="Smoothness", info="closes holes and gaps",
                    elem_id="picture-smoothness",
                )  # fmt: skip
                self._cut = gr.Button("Cut out", variant="primary", elem_id="picture-cut")
            with gr.Column(scale=8, min_width=300):
                self._message = gr.HTML(elem_id="picture-message")
                self._shown = gr.AnnotatedImage(
                    label="Regions: tap one", elem_id="picture-regions", buttons=[]
                )
                self._chosen = gr.HTML(elem_id="picture-chosen", js_on_load=POINT)
                self._download = gr.DownloadButton(
                    "Download cut-out", interactive=False, elem_id="picture-download"
                )
        self._listen()

    def _listen(self) -> None:
        outputs = [self._message, self._shown, self._chosen, self._download]
        upload = [self._file, *outputs]
        shared: dict[str, Any] = {"api_visibility": "private"}
        self._file.upload(self._take, [self._file, self._desk], upload, **shared)
        gr.on(
            [self._cut.click, self._prompts.submit, self._threshold.release,
             self._smoothness.release],
            self._cut_out,
            [self._desk, self._prompts, self._threshold, self._smoothness],
            outputs, trigger_mode="always_last", **shared,
        )  # fmt: skip
        chosen = [self._chosen, self._download]
        shared["show_progress"] = "hidden"
        self._shown.select(self._choose, [self._desk], chosen, **shared)
        self._chosen.point(self._point, [self._desk], chosen, **shared)

    def _take(self, path: str, desk: Desk) -> list[Any]:
        """The picture, shown; the file itself does not stay."""
        uploaded = Path(path)
        self._drop(desk)
        try:
            desk.picture = read_upload(uploaded)
        except PromptMatteError as error:
            return [None, _said(error), None, "", _no_file()]
        finally:
            uploaded.unlink(missing_ok=True)
        return [None, "", (desk.picture.pixels, []), "", _no_file()]

    def _cut_out(
        self, desk: Desk, text: str, threshold: float, smoothness: float
    ) -> list[Any]:  # fmt: skip
        if desk.picture is None:
            return [widgets.message(["upload a picture first"]), gr.skip(), "", _no_file()]
        try:
            prompts = prompts_in(text)
            controls = shaped(threshold=threshold, smoothness=int(smoothness))
            model = self._engine.load()
            regions = Regions.cut(desk.picture, model=model, prompts=prompts, controls=controls)
            notes = notes_on(prompts, model, change="--model")
        except PromptMatteError as error:
            return [_said(error), gr.skip(), "", _no_file()]
        desk.regions = regions
        absent = [
            f"nothing matches {region.name!r} (confidence {region.confidence:.0%})"
            for region in regions.found
            if not region.present
        ]
        chosen, download = self._offer(desk, None)
        return [widgets.message([*notes, *absent]), regions.annotated(), chosen, download]

    def _choose(self, desk: Desk, event: gr.SelectData) -> list[Any]:
        present = desk.regions.present if desk.regions else ()
        index = event.index
        return self._offer(desk, present[index] if 0 <= index < len(present) else None)

    def _point(self, desk: Desk, event: gr.EventData) -> list[Any]:
        found = desk.regions.at(float(event.x), float(event.y)) if desk.regions else None
        return self._offer(desk, found)

    def _offer(self, desk: Desk, region: Region | None) -> list[Any]:
        """What is said of a region, or of all, and its cut-out to download."""
        if desk.regions is None or not desk.regions.present:
            return ["", _no_file()]
        self._folder.mkdir(parents=True, exist_ok=True)
        name = "cut-out" if region is None else f"cut-out-{_file_name(region.name)}"
        if desk.kept is not None:
            desk.kept.unlink(missing_ok=True)
        desk.kept = self._folder / f"{name}-{secrets.token_hex(3)}.png"
        desk.kept.write_bytes(desk.regions.png(region))
        title = "Download all" if region is None else f"Download {region.name}"
        return [
            widgets.region(region),
            gr.DownloadButton(title, value=desk.kept, interactive=True),
        ]

    def _drop(self, desk: Desk) -> None:
        if desk.kept is not None:
            desk.kept.unlink(missing_ok=True)
        desk.picture = desk.regions = desk.kept = None


def _said(error: PromptMatteError) -> str:
    return widgets.message([str(error)], kind="bad")


def _no_file() -> Any:
    return gr.DownloadButton("Download cut-out", value=None, interactive=False)


def _file_name(text: str) -> str:
    """The text as part of a file's name."""
    return "".join(c if c.isalnum() else "-" for c in text)[:40]
