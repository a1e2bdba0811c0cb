"""The component's parameters as the rest of the code wants them. Cooking thread only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from promptmatte_td.conversation import Report, Wish
from promptmatte_td.fast_paths import READBACK, TOUCH, source_of
from promptmatte_td.launch import Launch
from promptmatte_td.links import LinkChoice
from promptmatte_td.mixing import PLACES, Places, PromptText
from promptmatte_td.parameters import (
    CHANNEL_CONTROLS,
    KEPT_IN_PRESETS,
    NEGATIVES,
    PROMPTS,
    STREAM_CONTROLS,
)

PICTURE_FILL = "picture"
OWN_SOURCE = "server"


NO_LABELS: Mapping[str, str] = {}


class Panel:
    """Reads and sets custom parameters by name, and fills menus."""

    def __init__(self, component: Any) -> None:
        self._component = component
        self._menus: dict[str, tuple[str, ...]] = {}

    def value(self, name: str) -> Any:
        """The parameter's working value, whatever mode it is in."""
        return self._component.par[name].eval()

    def set(self, values: Mapping[str, Any]) -> None:
        """Sets parameters; one that a person gave an expression or an export keeps it."""
        for name, value in values.items():
            parameter = self._component.par[name]
            if parameter.mode.name == "CONSTANT" and parameter.val != value:
                parameter.val = value

    def fill_menu(
        self, names: Iterable[str], choices: Iterable[str], labels: Mapping[str, str] = NO_LABELS
    ) -> None:
        """Gives menus these choices; a value that is not among them stays to be seen."""
        choices = tuple(choices)
        for name in names:
            if self._menus.get(name) == choices or not choices:
                continue
            self._menus[name] = choices
            parameter = self._component.par[name]
            chosen = parameter.val
            kept = () if parameter.isString or chosen in choices else (chosen,)
            parameter.menuNames = [*choices, *kept]
            parameter.menuLabels = [labels.get(name, name) for name in (*choices, *kept)]
            if parameter.val != chosen:
                parameter.val = chosen

    def link(self) -> LinkChoice:
        """Where the server is."""
        return LinkChoice(
            kind=str(self.value("Link")),
            session=str(self.value("Session")).strip(),
            host=str(self.value("Host")).strip(),
            port=int(self.value("Port")),
        )

    def launch(self) -> Launch:
        """How Start starts the server."""
        return Launch(
            program=str(self.value("Program")),
            link=self.link(),
            source=self._source(),
            model=str(self.value("Model")),
            options=str(self.value("Serveroptions")),
        )

    def _source(self) -> str:
        if str(self.value("Source")) == OWN_SOURCE:
            return str(self.value("Serversource")).strip()
        path = self.path
        return "" if path == READBACK else source_of(path, self.link().session)

    @property
    def path(self) -> str:
        """How the input reaches the server; empty when the server has a source of its own."""
        if str(self.value("Source")) == OWN_SOURCE:
            return ""
        return str(self.value("Fastpath"))

    def prompts(self) -> Places:
        """What is typed."""
        places = tuple(
            PromptText(text=str(self.value(prompt)), negative=str(self.value(negative)))
            for prompt, negative in zip(PROMPTS, NEGATIVES, strict=True)
        )
        return cast("Places", places)

    def wish(self, fade_s: float | None = None) -> Wish:
        """All that the server is to do; over the fade time where no other is given."""
        stream = {control: self.value(name) for control, name in STREAM_CONTROLS.items()}
        if self.path in ("", TOUCH) and stream["fill"] == "none":
            stream["fill"] = PICTURE_FILL  # else nobody here would have the picture
        return Wish(
            prompts=self.prompts(),
            fade_s=float(self.value("Fadetime")) if fade_s is None else fade_s,
            channels=tuple(
                {control: self.value(names[place]) for control, names in CHANNEL_CONTROLS.items()}
                for place in range(PLACES)
            ),
            stream=stream,
        )

    def settings(self) -> dict[str, Any]:
        """What a preset keeps."""
        return {name: self.value(name) for name in KEPT_IN_PRESETS}


def status_line(
    report: Report, *, fps: float, process: str, process_failed: bool, trouble: str
) -> str:
    """What is going on in one line, the worst first, with what to do about it."""
    if report.refusal or process_failed:
        return report.refusal or process
    if trouble:
        return trouble
    if not report.connected:
        if process not in ("not started", "stopped"):
            return f"Server: {process}"
        return "No server: press Start on the Server page, or run promptmatte serve"
    if report.complaint:
        return report.complaint
    status = report.status
    state = str(status.get("state", "connected"))
    notice = status.get("notice") or status.get("errors")
    if notice:
        return f"{state}: {notice}"
    if state != "running":
        return f"Server: {state}"
    if not status.get("prompts"):
        return "Running: type a prompt"
    rate = f"Running, {fps:.0f} mattes/s, {status.get('model', '')} on {status.get('device', '')}"
    return "; ".join((rate, *status.get("notes", ())))
