"""The component's extension: what TouchDesigner calls. Cooking thread only; nothing here waits."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import td

from promptmatte_td.engine import Engine
from promptmatte_td.fast_paths import LABELS, READBACK, TOUCH, ChosenPath, Offered
from promptmatte_td.launch import LaunchError
from promptmatte_td.links import LinkUnavailableError, Modules
from promptmatte_td.mixing import PLACES, Places
from promptmatte_td.network import FILE_NAME, INFO_CHANNELS
from promptmatte_td.osc import OscError, parameters_of
from promptmatte_td.outputs import Outputs
from promptmatte_td.panel import Panel, status_line
from promptmatte_td.parameters import NEGATIVES, PROMPTS, WISHED
from promptmatte_td.pictures import Offer
from promptmatte_td.presets import Glide, PresetError, Presets
from promptmatte_td.server_process import ServerProcess

LOOK_EVERY_S = 0.1
AUTOSTART_AFTER_S = 2.0
LOGGED_AT_ONCE = 20
TROUBLE_S = 6.0
"""How long Status says what went wrong, unless it goes on."""
OPEN_AGAIN_S = 1.0
LINK_PARAMETERS = ("Link", "Session", "Host", "Port")


class PromptMatteExt:
    """Sends the input to the server frame by frame and shows the mattes that come back.

    Capitalised methods are the component's own: op("PromptMatte").SetPrompt(1, "red jacket").
    """

    def __init__(self, ownerComp: Any, modules: Modules) -> None:  # noqa: N803  TouchDesigner's
        """modules: imports one of the embedded modules by name."""
        self._component = ownerComp
        self._modules = modules
        self._panel = Panel(ownerComp)
        self._outputs = Outputs(ownerComp)
        self._presets = Presets(ownerComp.storage.setdefault("presets", {}))
        self._process = ServerProcess()
        self._engine: Engine | None = None
        self._offered = Offered()
        self._sender = ownerComp.op("resolution_sent")
        self._fast = ChosenPath(ownerComp, self._sender)
        self._info_chop = ownerComp.op("script_info")
        self._begun_s = time.monotonic()
        self._look_at_s = 0.0
        self._wishes = self._stale = True
        self._active = self._copy_first = False
        self._path = ""
        self._info = self._told_info = (0.0,) * len(INFO_CHANNELS)
        self._fade: tuple[Places, float | None] | None = None
        self._glide: Glide | None = None
        self._asked = (0, 0)
        self._run = ""
        self._busy = 0
        self._trouble = ""
        self._trouble_until_s = 0.0
        self._open_at_s = 0.0
        self._error_shown = ""

    # --- what TouchDesigner calls

    def onDestroyTD(self) -> None:  # noqa: N802  TouchDesigner's name
        """The component goes, or its code is exchanged: threads end, and the server with them."""
        self._process.stop()
        self._close_engine()

    def OnFrameStart(self, frame: int) -> None:  # noqa: ARG002, N802
        """Once a frame: shows what has come, sends what is there, and now and then looks round."""
        try:
            self._turn(int(td.absTime.frame))
        except Exception as error:  # noqa: BLE001  one bad frame must not end the show
            self._say_trouble(f"{type(error).__name__}: {error}")

    def OnValueChange(self, par: Any, prev: Any) -> None:  # noqa: ARG002, N802
        """A parameter has another value."""
        self._stale = True
        name = par.name
        if name in WISHED:
            self._wishes = True
        elif name in LINK_PARAMETERS:
            self._close_engine()
        elif name in ("Source", "Fastpath"):
            self._choose_path()
            self._wishes = True
        elif name == "Model":
            self._choose_model(str(par.eval()))
        elif name == "Oscport":
            self._listen(int(par.eval()))

    def OnPulse(self, par: Any) -> None:  # noqa: N802
        """A button was pressed."""
        pressed = {
            "Start": self.StartServer,
            "Stop": self.StopServer,
            "Restart": self.RestartServer,
            "Suggest": self.Suggest,
            "Presetsave": lambda: self.SavePreset(self._panel.value("Preset")),
            "Presetrecall": lambda: self.RecallPreset(self._panel.value("Preset")),
            "Presetdelete": lambda: self.DeletePreset(self._panel.value("Preset")),
            "Help": lambda: self._component.op("readme").openViewer(),
            "Savebuild": self.SaveBuild,
        }.get(par.name)
        if pressed is not None:
            pressed()

    def OnReceiveOSC(self, address: str, args: Sequence[Any]) -> None:  # noqa: N802
        """An OSC message; one that means nothing is logged."""
        try:
            values = parameters_of(address, args)
        except OscError as error:
            self._log(str(error))
            return
        for name, value in values.items():
            if value is None:
                self._component.par[name].pulse()
            else:
                self._panel.set({name: value})

    def CookMatte(self, scriptOp: Any) -> None:  # noqa: N802, N803
        """Script TOP script_matte."""
        self._outputs.cook_matte(scriptOp)

    def CookPicture(self, scriptOp: Any) -> None:  # noqa: N802, N803
        """Script TOP script_picture."""
        self._outputs.cook_picture(scriptOp)

    def CookForeground(self, scriptOp: Any) -> None:  # noqa: N802, N803
        """Script TOP script_foreground."""
        self._outputs.cook_foreground(scriptOp)

    def CookInfo(self, scriptOp: Any) -> None:  # noqa: N802, N803
        """Script CHOP script_info: one sample of each of INFO_CHANNELS."""
        if scriptOp.numChans != len(INFO_CHANNELS):
            scriptOp.clear()
            self._told_info = (float("nan"),) * len(INFO_CHANNELS)
            for name in INFO_CHANNELS:
                scriptOp.appendChan(name)
        for index, value in enumerate(self._info):
            if value != self._told_info[index]:
                scriptOp[index][0] = value
        self._told_info = self._info

    # --- what people call

    def SetPrompt(self, place: int, text: str, negative: str = "") -> None:  # noqa: N802
        """Keys something else at a place, 1 to 4; fades over the fade time."""
        self.FadePrompt(place, text, None, negative)

    def FadePrompt(  # noqa: N802
        self, place: int, text: str, seconds: float | None, negative: str = ""
    ) -> None:
        """The same over so many seconds."""
        if not 1 <= place <= PLACES:
            raise ValueError(f"expected a place of 1 to {PLACES}; got {place}")
        self._panel.set({PROMPTS[place - 1]: text, NEGATIVES[place - 1]: negative})
        self._fade_over(seconds)

    def Suggest(self) -> None:  # noqa: N802
        """Looks for what could be keyed; the prompts' menus then hold it."""
        self._command({"command": "suggest"})

    def SavePreset(self, name: str) -> None:  # noqa: N802
        """Keeps prompts and matte settings under a name, in the component."""
        self._with_presets(lambda: self._presets.save(name, self._panel.settings()))

    def DeletePreset(self, name: str) -> None:  # noqa: N802
        """Forgets a preset."""
        self._with_presets(lambda: self._presets.delete(name))

    def RecallPreset(self, name: str, seconds: float | None = None) -> None:  # noqa: N802
        """Goes to a preset over the fade time, or over so many seconds: prompts fade, numbers
        glide, switches switch at once."""
        try:
            target = self._presets.recall(name)
        except PresetError as error:
            self._say_trouble(str(error))
            return
        fade_s = float(self._panel.value("Fadetime")) if seconds is None else seconds
        self._glide = Glide(
            start=self._panel.settings(),
            target=target,
            begun_s=time.monotonic(),
            duration_s=fade_s,
        )
        self._panel.set(self._glide.at_once)
        self._fade_over(fade_s)

    def StartServer(self) -> None:  # noqa: N802
        """Starts a server of the component's own, unless one answers already."""
        if self._process.active:
            self._say_trouble("the server is started already: Restart starts it anew")
            return
        if self._engine is not None and self._engine.pictures.connected:
            self._say_trouble(
                f"a server answers at {self._engine.choice.address} already: it is used; "
                "to have another, stop that one or take another Session"
            )
            return
        self.RestartServer()

    def RestartServer(self) -> None:  # noqa: N802
        """Starts the component's own server, after the end of the one before."""
        try:
            command = self._panel.launch().command()
        except LaunchError as error:
            self._say_trouble(str(error))
            return
        self._trouble = ""
        self._process.start(command)

    def StopServer(self) -> None:  # noqa: N802
        """Ends the component's own server; any other is left alone."""
        self._process.stop()

    def SaveBuild(self) -> str:  # noqa: N802
        """Writes PromptMatte.tox beside the project; the path."""
        path = str(Path(td.project.folder) / FILE_NAME)
        self._component.save(path)
        self._log(f"saved {path}")
        return path

    # --- one frame

    def _turn(self, frame: int) -> None:
        if self._stale:
            self._stale = False
            self._active = bool(self._panel.value("Active"))
            self._copy_first = bool(self._panel.value("Copyfirst"))
            self._path = self._panel.path
        engine = self._engine or self._opened()
        if engine is not None:
            shown = engine.pictures.take()
            if shown is not None and self._active:
                self._outputs.show(shown, image=self._fast.image_of(shown.info))
            if self._active and engine.pictures.connected:
                self._send(engine, frame)
        if self._glide is not None:
            self._go_on_gliding(self._glide)
        if self._wishes and engine is not None:
            self._say_wish(engine)
        if time.monotonic() >= self._look_at_s:
            self._look_at_s = time.monotonic() + LOOK_EVERY_S
            self._look_round(engine)
        self._tell_info(engine, frame)

    def _tell_info(self, engine: Engine | None, frame: int) -> None:
        info = self._newest_info(engine, frame)
        if info != self._info:
            self._info = info
            self._info_chop.cook(force=True)

    def _send(self, engine: Engine, frame: int) -> None:
        pictures = engine.pictures
        if self._path != READBACK:
            self._fast.send(frame)
            return
        if not pictures.ready:  # its thread still reads the array of the frame before
            self._busy += 1
            return
        floats = self._sender.numpyArray(delayed=True)
        # A delayed array is the picture of the call before, as the documentation has it. How
        # long its memory stays as it is, is not documented: it is read until the next call.
        drawn_at, captured_ns = self._asked
        self._asked = frame, time.monotonic_ns()
        if floats is not None and captured_ns:
            if self._copy_first:
                floats = floats.copy()
            pictures.offer(Offer(floats=floats, captured_ns=captured_ns, drawn_at=drawn_at))

    def _say_wish(self, engine: Engine) -> None:
        self._wishes = False
        if self._fade is not None and self._fade[0] != self._panel.prompts():
            self._fade = None
        engine.conversation.wish(self._panel.wish(self._fade[1] if self._fade else None))

    def _fade_over(self, seconds: float | None) -> None:
        """Fades to the prompts as they are now over so many seconds, however often they are
        said: a wish may be replaced by the next before it is heard."""
        self._fade = self._panel.prompts(), seconds
        self._wishes = True

    def _go_on_gliding(self, glide: Glide) -> None:
        now_s = time.monotonic()
        self._panel.set(glide.at(now_s))
        if glide.done(now_s):
            self._glide = None

    # --- now and then

    def _look_round(self, engine: Engine | None) -> None:
        self._fit_resolution()
        self._outputs.look(
            when_lost=str(self._panel.value("Whenlost")),
            lost_s=float(self._panel.value("Losttime")),
            still=not self._active or self._sees_no_change(engine),
        )
        self._outputs.composite_from(str(self._panel.value("Compositefrom")))
        self._take_lines()
        if time.monotonic() > self._trouble_until_s:
            self._trouble = ""
        self._panel.fill_menu(("Preset",), self._presets.names)
        self._panel.fill_menu(("Fastpath",), self._offered.names, LABELS)
        if engine is None:
            self._show_status(self._trouble)
            return
        report = engine.conversation.report
        self._panel.fill_menu(PROMPTS, report.suggestions)
        self._panel.fill_menu(("Model",), report.hello.get("models", ()))
        self._follow_server(report.hello, report.status)
        self._show_status(
            status_line(
                report,
                fps=self._outputs.fps,
                process=self._process.state,
                process_failed=self._process.failed,
                trouble=self._trouble or engine.pictures.error or self._fast.trouble(),
            ),
            wrong=bool(report.refusal or self._process.failed),
        )
        self._start_by_itself(engine)

    def _sees_no_change(self, engine: Engine | None) -> bool:
        """Whether the server may be there and have no new picture."""
        return self._path in ("", TOUCH) and engine is not None and engine.pictures.connected

    def _fit_resolution(self) -> None:
        """The size of what is sent: the input's shape, its longer side as chosen at most."""
        source = self._component.op("in1")
        width, height = int(source.width), int(source.height)
        chosen = str(self._panel.value("Workingsize"))
        if chosen != "input" and max(width, height) > int(chosen):
            scale = int(chosen) / max(width, height)
            width, height = (max(2, round(side * scale / 2) * 2) for side in (width, height))
        parameters = self._sender.par
        if (parameters.resolutionw, parameters.resolutionh) != (width, height):
            parameters.resolutionw, parameters.resolutionh = width, height

    def _follow_server(self, hello: Any, status: Any) -> None:
        """Shows the model of a server that is new here; tells one of the component's own, which
        was started again, the model chosen since."""
        run = hello.get("run", "")
        if run != self._run and status:
            self._run = run
            if self._process.active:
                self._choose_model(str(self._panel.value("Model")))
            else:
                self._panel.set({"Model": status["model"]})

    def _start_by_itself(self, engine: Engine) -> None:
        waited = time.monotonic() - self._begun_s > AUTOSTART_AFTER_S
        if waited and self._panel.value("Autostart"):
            self._begun_s = float("inf")
            if not engine.pictures.connected:
                self.RestartServer()

    def _show_status(self, line: str, *, wrong: bool = False) -> None:
        self._panel.set({"Status": line})
        status = self._component.op("status")
        if status.text != line:
            if status.text.partition(",")[0] != line.partition(",")[0]:  # not for each new rate
                self._log(line)
            status.text = line
        error = line if wrong else ""
        if error != self._error_shown:
            self._error_shown = error
            self._component.clearScriptErrors()
            if error:
                self._component.addScriptError(error)

    def _take_lines(self) -> None:
        for _ in range(min(LOGGED_AT_ONCE, len(self._process.lines))):
            self._log(self._process.lines.popleft())

    def _newest_info(self, engine: Engine | None, frame: int) -> tuple[float, ...]:
        """A value for each of INFO_CHANNELS."""
        outputs = self._outputs
        shown = outputs.shown
        pictures = engine.pictures if engine else None
        status = engine.conversation.report.status if engine else {}
        return (
            float(pictures is not None and pictures.connected),
            outputs.fps,
            status.get("fps") or 0.0,
            status.get("keyframes_hz") or 0.0,
            outputs.latency_ms,
            float(outputs.delay_frames(frame)),
            shown.age_ms if shown else 0.0,
            float(shown.anchor_seq) if shown else -1.0,
            float(self._busy + (pictures.missed if pictures else 0)),
            float(sum(status.get("dropped", {}).values())),
            *(tuple(shown.confidence if shown else ()) + (0.0,) * PLACES)[:PLACES],
        )

    # --- the rest

    def _opened(self) -> Engine | None:
        if time.monotonic() < self._open_at_s:
            return None
        self._open_at_s = time.monotonic() + OPEN_AGAIN_S
        try:
            self._engine = Engine(
                self._panel.link(), modules=self._modules, folder=Path(td.project.folder)
            )
        except LinkUnavailableError as error:
            self._say_trouble(str(error))
            return None
        self._trouble, self._wishes, self._asked = "", True, (0, 0)
        self._choose_path()
        return self._engine

    def _close_engine(self) -> None:
        self._fast.close()
        if self._engine is not None:
            self._engine.close()
            self._engine = None
        self._trouble = ""
        self._open_at_s = 0.0

    def _choose_path(self) -> None:
        self._fast.choose(self._panel.path, self._panel.link().session)

    def _choose_model(self, name: str) -> None:
        engine = self._engine
        if engine is not None and engine.conversation.report.status.get("model") != name:
            self._command({"command": "model", "name": name})

    def _command(self, command: dict[str, Any]) -> None:
        if self._engine is not None:
            self._engine.conversation.command(command)

    def _listen(self, port: int) -> None:
        receiver = self._component.op("oscin_control")
        receiver.par.port = port
        receiver.par.active = port > 0

    def _with_presets(self, act: Any) -> None:
        try:
            act()
        except PresetError as error:
            self._say_trouble(str(error))

    def _say_trouble(self, trouble: str) -> None:
        self._trouble_until_s = time.monotonic() + TROUBLE_S
        if trouble != self._trouble:
            self._trouble = trouble
            self._log(trouble)

    def _log(self, line: str) -> None:
        self._component.op("log").appendRow([time.strftime("%H:%M:%S"), line])
