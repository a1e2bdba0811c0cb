"""What is inside the component: operators, their parameters, wires and places, as data.

The builder makes it, the picture in the docs is drawn from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from promptmatte_td.mixing import PLACES

Y_MATTE, Y_PICTURE, Y_COMPOSITE, Y_INFO, Y_TEXT, Y_SCRIPTS = 300, 100, -50, -300, -430, -560


@dataclass(frozen=True, kw_only=True)
class Node:
    """One operator. kind: TouchDesigner's name of its type, such as inTOP. at: its place.

    inputs: the names of the operators wired to it, from the first input on. values: built-in
    parameters set when it is made and whenever it is updated. text: of a DAT. about: its
    comment. frame: the group it is drawn in.
    """

    name: str
    kind: str
    at: tuple[int, int]
    inputs: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""
    about: str = ""

    @property
    def is_connector(self) -> bool:
        """Whether users' wires hang on it, so that it must never be made anew."""
        return self.kind.startswith(("in", "out")) and self.kind[-3:] in ("TOP", "CHOP", "DAT")


def _callback(function: str, arguments: str, method: str) -> str:
    return f"def {function}({arguments}):\n\tparent().{method}({arguments})\n\treturn\n"


MATTE_CALLBACKS = _callback("onCook", "scriptOp", "CookMatte")
PICTURE_CALLBACKS = _callback("onCook", "scriptOp", "CookPicture")
FOREGROUND_CALLBACKS = _callback("onCook", "scriptOp", "CookForeground")
INFO_CALLBACKS = _callback("onCook", "scriptOp", "CookInfo")
FRAME_CALLBACKS = _callback("onFrameStart", "frame", "OnFrameStart")
PARAMETER_CALLBACKS = (
    _callback("onValueChange", "par, prev", "OnValueChange")
    + "\n"
    + _callback("onPulse", "par", "OnPulse")
)
OSC_CALLBACKS = (
    "def onReceiveOSC(dat, rowIndex, message, byteData, timeStamp, address, args, peer):\n"
    "\tparent().OnReceiveOSC(address, args)\n\treturn\n"
)

RGBA = ("red", "green", "blue", "alpha")

FILE_NAME = "PromptMatte.tox"
"""What the component is saved as, beside the project."""

CODE = "code"
"""The base COMP with a Text DAT for every embedded module."""

EXTENSION = "PromptMatteExt"

NODES: tuple[Node, ...] = (
    Node(name="in1", kind="inTOP", at=(0, Y_PICTURE), about="the picture"),
    Node(name="resolution_sent", kind="resolutionTOP", at=(200, Y_MATTE), inputs=("in1",),
         values={"outputresolution": "custom"}, about="what is sent to the server"),
    Node(name="script_matte", kind="scriptTOP", at=(400, Y_MATTE),
         values={"callbacks": "callbacks_matte"}, about="the newest matte, a channel a prompt"),
    Node(name="out1", kind="outTOP", at=(1200, Y_MATTE), inputs=("script_matte",),
         about="matte"),
    Node(name="script_picture", kind="scriptTOP", at=(400, Y_PICTURE + 70),
         values={"callbacks": "callbacks_picture"}, about="the frame that the matte belongs to"),
    Node(name="switch_picture", kind="switchTOP", at=(600, Y_PICTURE),
         inputs=("script_picture", "in1"), values={"index": 0},
         about="the live picture while no mattes come"),
    Node(name="out2", kind="outTOP", at=(1200, Y_PICTURE), inputs=("switch_picture",),
         about="picture, as late as the matte"),
    Node(name="reorder_alpha", kind="reorderTOP", at=(600, Y_COMPOSITE), inputs=("script_matte",),
         values={"format": "rgba8fixed", **{f"output{c}chan": "red" for c in RGBA}},
         about="one prompt's matte, everywhere"),
    Node(name="multiply_cutout", kind="multiplyTOP", at=(800, Y_COMPOSITE),
         inputs=("switch_picture", "reorder_alpha"), values={"prefit": "fill"},
         about="premultiplied"),
    Node(name="script_foreground", kind="scriptTOP", at=(800, Y_COMPOSITE - 110),
         values={"callbacks": "callbacks_foreground"}, about="with Fill at foreground"),
    Node(name="switch_composite", kind="switchTOP", at=(1000, Y_COMPOSITE),
         inputs=("multiply_cutout", "script_foreground"), values={"index": 0}),
    Node(name="out3", kind="outTOP", at=(1200, Y_COMPOSITE), inputs=("switch_composite",),
         about="composite"),
    Node(name="script_info", kind="scriptCHOP", at=(400, Y_INFO),
         values={"callbacks": "callbacks_info"}, about="fps, latency, confidence ..."),
    Node(name="out4", kind="outCHOP", at=(1200, Y_INFO), inputs=("script_info",), about="info"),
    Node(name="log", kind="fifoDAT", at=(400, Y_TEXT), values={"clamp": True, "maxlines": 500},
         about="what the server and the component say"),
    Node(name="out5", kind="outDAT", at=(1200, Y_TEXT), inputs=("log",), about="log"),
    Node(name="status", kind="textDAT", at=(200, Y_TEXT), about="the status line"),
    Node(name="readme", kind="textDAT", at=(0, Y_TEXT), about="how to use it"),
    Node(name="execute_frame", kind="executeDAT", at=(0, Y_SCRIPTS),
         values={"active": True, "framestart": True}, text=FRAME_CALLBACKS),
    Node(name="execute_parameters", kind="parameterexecuteDAT", at=(200, Y_SCRIPTS),
         values={"active": True, "op": "..", "pars": "*", "custom": True, "builtin": False,
                 "valuechange": True, "onpulse": True}, text=PARAMETER_CALLBACKS),
    Node(name="oscin_control", kind="oscinDAT", at=(0, Y_INFO),
         values={"active": False, "callbacks": "callbacks_osc"}, about="OSC port"),
    Node(name="callbacks_osc", kind="textDAT", at=(200, Y_INFO), text=OSC_CALLBACKS),
    Node(name="callbacks_matte", kind="textDAT", at=(400, Y_SCRIPTS), text=MATTE_CALLBACKS),
    Node(name="callbacks_picture", kind="textDAT", at=(600, Y_SCRIPTS), text=PICTURE_CALLBACKS),
    Node(name="callbacks_foreground", kind="textDAT", at=(800, Y_SCRIPTS),
         text=FOREGROUND_CALLBACKS),
    Node(name="callbacks_info", kind="textDAT", at=(1000, Y_SCRIPTS), text=INFO_CALLBACKS),
    Node(name=EXTENSION, kind="textDAT", at=(0, Y_SCRIPTS - 130), about="starts the code"),
    Node(name=CODE, kind="baseCOMP", at=(200, Y_SCRIPTS - 130), about="the code, as text"),
)  # fmt: skip

OUTPUTS = {"out1": "matte", "out2": "picture", "out3": "composite", "out4": "info", "out5": "log"}
"""Connectors on the right of the component, from the top."""

INFO_CHANNELS = (
    "connected", "fps", "server_fps", "keyframes_hz", "latency_ms", "delay_frames", "age_ms",
    "anchor_seq", "drops", "server_drops", *(f"confidence{n}" for n in range(1, PLACES + 1)),
)  # fmt: skip
"""Channels of the info output, in order."""
