"""The page: three tabs over a running server and a model of the page's own."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from promptmatte.web.engine import Engine
from promptmatte.web.image import ImageTab
from promptmatte.web.job import VideoDesk
from promptmatte.web.live import LiveTab
from promptmatte.web.pads import Pads
from promptmatte.web.show import Show
from promptmatte.web.video import VideoTab

CACHE_S = (600, 86_400)
"""How often uploads and downloads are looked through, and how old they get."""


def build_page(
    *, show: Show, pads: Pads, engine: Engine, desk: VideoDesk, folder: Path
) -> gr.Blocks:
    """The page, to be served by a PageHost. folder: for the files it offers."""
    with gr.Blocks(
        title="PromptMatte", analytics_enabled=False, fill_width=True, delete_cache=CACHE_S
    ) as page:
        gr.HTML('<header class="pm-head"><b>Prompt</b>Matte</header>')
        with gr.Tabs():
            with gr.Tab("Live", id="live"):
                LiveTab(show, pads)
            with gr.Tab("Picture", id="picture"):
                ImageTab(engine, folder / "cut-outs")
            with gr.Tab("Video", id="video"):
                VideoTab(desk)
    return page
