"""The page's small widgets as HTML; every text from outside is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from promptmatte.frame import MAX_CHANNELS
from promptmatte.web.job import JobState
from promptmatte.web.panels import COLOURS, Panels
from promptmatte.web.regions import Region
from promptmatte.web.show import Snapshot

TAP = """
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-index]");
  if (button) trigger("tap", { index: Number(button.dataset.index) });
});
"""
"""Makes a widget's buttons tell which of them was tapped."""

OLD_MS = 400
"""A keyframe older than that is worth a look."""


def pictures(panels: Panels | None) -> str:
    """The composite, large, with picture and matte beside or below it."""
    if panels is None:
        return '<div class="pm-pictures pm-none"><p>no picture yet</p></div>'
    return '<div class="pm-pictures">' + "".join(
        f'<figure class="pm-{kind}"><img src="{escape(address)}" alt="{name}">'
        f"<figcaption>{name}</figcaption></figure>"
        for kind, name, address in (
            ("composite", "composite", panels.composite),
            ("picture", "picture", panels.picture),
            ("matte", "matte", panels.matte),
        )
    ) + "</div>"  # fmt: skip


def tiles(snapshot: Snapshot, channel: int) -> str:
    """State, rate, latency, confidence and age."""
    status = snapshot.status
    if not status:
        return _tiles([("server", "no answer", "bad")])
    prompts = status.get("prompts", [])
    confidence = prompts[channel]["confidence"] if channel < len(prompts) else None
    latency = status["latency_ms"]["p50"]
    age = status["age_ms"]
    state = status["state"]
    return _tiles([
        ("state", state, "good" if state == "running" else "bad"),
        ("mattes", f"{status['matte_fps']:.0f} fps", ""),
        ("latency", "–" if latency is None else f"{latency:.0f} ms", ""),
        (f"sure of {channel + 1}", "–" if confidence is None else f"{confidence:.0%}", ""),
        ("age", "–" if age is None else f"{age:.0f} ms", "warn" if (age or 0) > OLD_MS else ""),
    ])  # fmt: skip


def _tiles(entries: Sequence[tuple[str, str, str]]) -> str:
    return '<div class="pm-tiles" role="status">' + "".join(
        f'<div class="pm-tile {kind}"><span>{escape(name)}</span><b>{escape(text)}</b></div>'
        for name, text, kind in entries
    ) + "</div>"  # fmt: skip


def channels(prompts: Sequence[Mapping[str, Any]], chosen: int) -> str:
    """A button for each prompt and for the next one."""
    buttons = []
    for index in range(MAX_CHANNELS):
        text = prompts[index]["text"] if index < len(prompts) else "+"
        off = ' disabled aria-disabled="true"' if index > len(prompts) else ""
        colour = "rgb({},{},{})".format(*COLOURS[index])
        buttons.append(
            f'<button type="button" data-index="{index}" aria-pressed="{_bool(index == chosen)}"'
            f'{off} style="--pm-colour:{colour}"><i>{index + 1}</i>{escape(text)}</button>'
        )
    return f'<div class="pm-channels">{"".join(buttons)}</div>'


def pads(labels: Sequence[str], *, storing: bool) -> str:
    """The pads, which blink while they wait for what to store."""
    return f'<div class="pm-pads{" storing" if storing else ""}">' + "".join(
        f'<button type="button" data-index="{index}">{escape(label)}</button>'
        for index, label in enumerate(labels)
    ) + "</div>"  # fmt: skip


def chips(found: Sequence[tuple[str, float]], *, asking: bool) -> str:
    """A chip for each suggestion."""
    if asking:
        return '<div class="pm-chips"><p>looking …</p></div>'
    return '<div class="pm-chips">' + "".join(
        f'<button type="button" data-index="{index}">{escape(text)} <small>{sure:.0%}</small>'
        "</button>"
        for index, (text, sure) in enumerate(found)
    ) + "</div>"  # fmt: skip


def message(lines: Sequence[str], *, kind: str = "warn") -> str:
    """Lines for people; nothing for none."""
    if not lines:
        return ""
    return f'<div class="pm-message {kind}" role="alert">' + "".join(
        f"<p>{escape(line)}</p>" for line in lines
    ) + "</div>"  # fmt: skip


def progress(job: JobState) -> str:
    """The bar of a video job with its text."""
    if job.state == "idle":
        return ""
    share = "" if job.share is None else f' value="{job.share:.4f}"'
    bar = f'<progress max="1"{share}></progress>' if job.state in ("running", "done") else ""
    return f'<div class="pm-job {job.state}" role="status">{bar}<p>{escape(job.text)}</p></div>'


def _bool(value: bool) -> str:
    return "true" if value else "false"


def region(chosen: Region | None) -> str:
    """Label, confidence and size of the region that was tapped; a hint without one."""
    if chosen is None:
        return '<p class="pm-hint">Tap a region or its label to see and download it alone.</p>'
    return (
        f'<div class="pm-region"><b>{escape(chosen.name)}</b>'
        f"<span>confidence {chosen.confidence:.0%}</span>"
        f"<span>{chosen.share:.0%} of the picture</span></div>"
    )
