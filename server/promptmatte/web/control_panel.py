"""The live controls as sliders, switches and choices: every one of the table, from the table."""

from __future__ import annotations

import gradio as gr

from promptmatte.controls import CONTROLS, Control

STEPS = ((20.0, 0.5), (1.0, 0.1), (0.0, 0.01))
"""Span of a number's range from which on -> step of its slider."""


def control_id(row: Control) -> str:
    """The id of a control's element in the page."""
    return f"control-{row.name}"


def controls_of(scope: str) -> dict[str, gr.components.Component]:
    """A component for each control of this scope, by name, laid out where it is called."""
    return {name: _component(row) for name, row in CONTROLS.items() if row.scope == scope}


def _component(row: Control) -> gr.components.Component:
    title = row.name.replace("_", " ").capitalize()
    label = f"{title} ({row.unit})" if row.unit else title
    shared = {"label": label, "info": row.help, "elem_id": control_id(row)}
    match row.kind:
        case "bool":
            return gr.Checkbox(value=bool(row.default), **shared)
        case "choice":
            return gr.Radio(choices=list(row.choices), value=str(row.default), **shared)
        case _:
            return gr.Slider(
                minimum=row.low, maximum=row.high, value=float(row.default), step=_step(row),
                **shared,
            )  # fmt: skip


def _step(row: Control) -> float:
    """The coarsest step that suits the range and meets the default on its way from the low end."""
    if row.kind == "int":
        return 1
    span, way = row.high - row.low, float(row.default) - row.low
    fitting = (step for least, step in STEPS if span > least)
    return next((s for s in fitting if abs(way / s - round(way / s)) < 1e-6), STEPS[-1][1])
