"""How the page looks: dark, large targets, no font and no script from elsewhere."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

CSS = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")

HEAD = """
<meta name="color-scheme" content="dark">
<meta name="theme-color" content="#0b0d11">
"""

FONTS = ("system-ui", "Segoe UI", "Roboto", "Helvetica", "sans-serif")
MONO = ("ui-monospace", "Consolas", "monospace")


def theme() -> gr.themes.Base:
    """The theme, dark whatever the browser prefers; page.css does the rest."""
    dark = gr.themes.Base(
        primary_hue="teal",
        neutral_hue="slate",
        font=FONTS,
        font_mono=MONO,
        radius_size="lg",
        text_size="md",
    )
    for name, value in vars(dark).copy().items():
        if name.endswith("_dark") and value is not None:
            setattr(dark, name.removesuffix("_dark"), value)
    return dark
