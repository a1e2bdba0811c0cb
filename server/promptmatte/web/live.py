"""The live tab: what the running server shows, and everything that steers it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import gradio as gr

from promptmatte.controls import CONTROLS
from promptmatte.errors import PromptMatteError
from promptmatte.frame import MAX_CHANNELS
from promptmatte.prompts import Prompt
from promptmatte.web import widgets
from promptmatte.web.control_panel import controls_of
from promptmatte.web.hand import HOLD_S, Hand
from promptmatte.web.pads import Pads
from promptmatte.web.show import Show, Snapshot

TICK_S = 0.3
SUGGESTIONS = 12
BETWEEN = re.compile(r"[,;\n，；、]+")

Update = list[Any]
"""A value, or gr.skip(), for each component of the tab."""


class LiveTab:
    """Lays itself out where it is made, within gr.Blocks."""

    def __init__(self, show: Show, pads: Pads) -> None:
        self._show = show
        self._pads = pads
        self._hand = gr.State(Hand)
        with gr.Row(elem_classes="pm-live"):
            with gr.Column(scale=7, min_width=320):
                self._pictures = gr.HTML(elem_id="live-pictures")
                self._tiles = gr.HTML(elem_id="live-status")
                self._message = gr.HTML(elem_id="live-message")
                self._pads_shown = gr.HTML(elem_id="live-pads", js_on_load=widgets.TAP)
                self._store = gr.Button("Store to a pad", elem_id="live-store")
            with gr.Column(scale=5, min_width=320):
                self._channels = gr.HTML(elem_id="live-channels", js_on_load=widgets.TAP)
                with gr.Group(elem_id="live-texts"):
                    self._prompt = gr.Textbox(
                        label="Prompt", placeholder="red jacket", elem_id="live-prompt",
                        max_lines=1,
                    )  # fmt: skip
                    self._negative = gr.Textbox(
                        label="Without", placeholder="hair, hands", elem_id="live-negative",
                        max_lines=1,
                    )  # fmt: skip
                with gr.Row(elem_id="live-buttons"):
                    self._key = gr.Button("Key it", variant="primary", elem_id="live-key")
                    self._ask = gr.Button("What is there?", elem_id="live-suggest")
                self._chips = gr.HTML(elem_id="live-chips", js_on_load=widgets.TAP)
                with gr.Group(elem_id="live-controls"):
                    self._controls = controls_of("channel")
                with gr.Accordion("For all prompts", open=False, elem_id="live-stream"):
                    self._controls |= controls_of("stream")
        self._named = {
            "pictures": self._pictures, "tiles": self._tiles, "message": self._message,
            "pads": self._pads_shown, "channels": self._channels, "chips": self._chips,
            "prompt": self._prompt, "negative": self._negative, **self._controls,
        }  # fmt: skip
        self._listen()

    def _listen(self) -> None:
        self._on(gr.Timer(TICK_S).tick, lambda _hand: None, resting=True)
        boxes = [self._prompt, self._negative]
        for trigger in (self._key.click, self._prompt.submit, self._negative.submit):
            self._on(trigger, self._set_prompt, boxes)
        for name, box in (("prompt", self._prompt), ("negative", self._negative)):
            box.input(
                lambda hand, name=name: hand.hold(name), [self._hand], None,
                queue=False, show_progress="hidden", api_visibility="private",
            )  # fmt: skip
        self._on(self._ask.click, self._ask_for_suggestions)
        self._on(self._store.click, self._toggle_storing)
        self._on(self._pads_shown.tap, self._tap_pad, tapped=True)
        self._on(self._channels.tap, self._tap_channel, tapped=True)
        self._on(self._chips.tap, self._tap_chip, tapped=True)
        for name, component in self._controls.items():
            events = [component.input]
            events += [component.release] if isinstance(component, gr.Slider) else []
            for event in events:
                self._on(event, self._setter(name), [component], mode="always_last")

    def _on(
        self,
        event: Callable[..., Any],
        act: Callable[..., None],
        inputs: list[Any] | None = None,
        *,
        tapped: bool = False,
        resting: bool = False,
        mode: str = "multiple",
    ) -> None:
        """After the act the page shows what is new; an error of the act is a message."""

        def then(hand: Hand, *given: Any) -> Update:
            try:
                act(hand, *given)
                if not resting:
                    hand.message = []
            except PromptMatteError as error:
                hand.message = [str(error)]
                hand.release("prompt", "negative", *self._controls)
            return self._news(hand)

        def then_tapped(hand: Hand, event: gr.EventData) -> Update:
            return then(hand, int(event.index))

        event(
            then_tapped if tapped else then,
            [self._hand, *(inputs or [])],
            list(self._named.values()),
            queue=False,
            show_progress="hidden",
            trigger_mode="once" if resting else mode,
            api_visibility="private",
        )

    def _news(self, hand: Hand) -> Update:
        snapshot = self._show.snapshot()
        self._look_for_suggestions(hand)
        values: dict[str, Any] = {
            "pictures": widgets.pictures(snapshot.panels),
            "tiles": widgets.tiles(snapshot, hand.channel),
            "message": widgets.message(_lines(snapshot, hand)),
            "pads": widgets.pads(self._pads.labels, storing=hand.storing),
            "chips": widgets.chips(hand.found, asking=hand.asking),
        }
        if snapshot.status:
            prompts = snapshot.prompts
            hand.channel = min(hand.channel, len(prompts), MAX_CHANNELS - 1)
            chosen = prompts[hand.channel] if hand.channel < len(prompts) else None
            values |= {
                "channels": widgets.channels(prompts, hand.channel),
                "prompt": Prompt.of_entry({**chosen, "negative": []}).typed if chosen else "",
                "negative": ", ".join(chosen["negative"]) if chosen else "",
                **snapshot.values(hand.channel),
            }
        fresh = hand.news(values)
        return [fresh.get(name, gr.skip()) for name in self._named]

    def _set_prompt(self, hand: Hand, text: str, negative: str) -> None:
        prompts = self._show.now().prompts
        if text.strip():
            without = [part for part in BETWEEN.split(negative) if part.strip()]
            prompts[hand.channel : hand.channel + 1] = [Prompt.parse(text, negative=without).entry]
        else:
            del prompts[hand.channel : hand.channel + 1]
        self._say(hand, prompts)

    def _say(self, hand: Hand, prompts: list[dict[str, Any]]) -> None:
        self._show.set_prompts(prompts)
        self._show.now()
        hand.release("prompt", "negative")

    def _setter(self, name: str) -> Callable[[Hand, Any], None]:
        def set_control(hand: Hand, value: Any) -> None:
            if value is None:  # a number box that was emptied
                return
            checked = CONTROLS[name].checked(value)
            hand.touched(name, checked)
            self._show.set_control(name, checked, hand.channel)
            hand.hold(name, hold_s=HOLD_S)

        return set_control

    def _tap_channel(self, hand: Hand, index: int) -> None:
        hand.channel = index
        hand.release()

    def _tap_pad(self, hand: Hand, index: int) -> None:
        if hand.storing:
            hand.storing = False
            self._pads.store(index, self._show.now().prompts)
        else:
            hand.channel = 0
            self._say(hand, self._pads.recall(index))
            hand.release()

    def _toggle_storing(self, hand: Hand) -> None:
        hand.storing = not hand.storing

    def _ask_for_suggestions(self, hand: Hand) -> None:
        self._show.ask({"command": "suggest"})
        hand.asking = True

    def _look_for_suggestions(self, hand: Hand) -> None:
        if not hand.asking:
            return
        try:
            answer = self._show.ask({"command": "suggestions", "limit": SUGGESTIONS})
        except PromptMatteError as error:
            answer = {"done": True, "error": str(error), "suggestions": []}
        if answer["done"]:
            hand.asking = False
            hand.message = [answer["error"]] if answer["error"] else []
            hand.found = [(entry["text"], entry["confidence"]) for entry in answer["suggestions"]]

    def _tap_chip(self, hand: Hand, index: int) -> None:
        prompts = self._show.now().prompts
        entry = {"text": hand.found[index][0], "also": [], "negative": []}
        prompts[hand.channel : hand.channel + 1] = [entry]
        self._say(hand, prompts)


def _lines(snapshot: Snapshot, hand: Hand) -> list[str]:
    """What there is to say: of this page, of the link, of the prompts and the model."""
    status = snapshot.status
    lines = [*hand.message, snapshot.trouble, *status.get("notes", ()), status.get("notice")]
    errors = status.get("errors")
    return [str(line) for line in (*lines, *([errors] if errors else [])) if line]
