"""The stand-in for TouchDesigner: it does what the documentation says and refuses the rest."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from touchdesigner import STANDIN

sys.path.insert(0, str(STANDIN))

import td
import td_bench
from td_bench import Bench

RNG = np.random.default_rng(7)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Bench(tmp_path) as made:
        yield made


def refused(what: Callable[[], Any], match: str = "") -> None:
    with pytest.raises(td.tdError, match=match):
        what()


def scripted(place: Any, name: str, code: str, kind: Any = td.scriptTOP) -> Any:
    """A Script operator with onCook of this body."""
    operator = place.create(kind, name)
    lines = "".join(f"\n\t{line}" for line in code.splitlines())
    operator.par.callbacks.eval().text = f"import numpy as np\ndef onCook(scriptOp):{lines}\n"
    return operator


def component(bench: Bench, code: str, name: str = "thing", **values: Any) -> Any:
    """A component with an extension Thing of this code."""
    made = bench.project.create(td.baseCOMP, name)
    made.create(td.textDAT, "Thing").text = code
    made.par.ext0object = "op('./Thing').module.Thing(me)"
    for parameter, value in {"ext0promote": True, **values}.items():
        setattr(made.par, parameter, value)
    return made


LIFE = """
class Thing:
    def __init__(self, ownerComp):
        self.ownerComp = ownerComp
        print("init")
    def onInitTD(self):
        print("onInitTD")
    def onDestroyTD(self):
        print("onDestroyTD", len(self.ownerComp.children))
    def Twice(self, number):
        return 2 * number
    def quiet(self):
        pass
"""


# --- making operators


def test_create_takes_classes_and_names_and_numbers_names(bench: Bench) -> None:
    first = bench.project.create(td.nullTOP, "one")
    second = bench.project.create("nullTOP", "one")
    assert (first.name, second.name, second.OPType) == ("one", "one1", "nullTOP")
    assert second.path == "/project1/one1"
    assert bench.project.create(td.nullTOP).name == "null1"
    assert td.op("/project1/one") is first
    assert (first.isTOP, first.isCOMP, first.family, first.type) == (True, False, "TOP", "null")


@pytest.mark.parametrize("kind", ["resTOP", "NullTOP", "promptTOP", int, 3])
def test_create_refuses_unknown_types(bench: Bench, kind: Any) -> None:
    refused(lambda: bench.project.create(kind, "a"), "operator type")


@pytest.mark.parametrize("name", ["a b", "a.b", "a-b", "1a", "a/b", ""])
def test_create_refuses_illegal_names(bench: Bench, name: str) -> None:
    refused(lambda: bench.project.create(td.nullTOP, name), "operator name")


def test_td_has_only_the_documented_names() -> None:
    assert not hasattr(td, "resTOP")
    assert not hasattr(td, "me2")


def test_unknown_and_read_only_members(bench: Bench) -> None:
    top = bench.project.create(td.nullTOP, "a")
    with pytest.raises(AttributeError):
        _ = top.nodeZ
    refused(lambda: setattr(top, "nodeZ", 3), "not a member")
    refused(lambda: setattr(top, "width", 3), "read only")
    refused(lambda: setattr(top, "path", "b"), "read only")
    top.nodeX, top.comment, top.color = -200, "about", (1, 0, 0)
    assert (top.nodeX, top.comment) == (-200, "about")


def test_a_destroyed_operator_is_refused(bench: Bench) -> None:
    top = bench.project.create(td.nullTOP, "a")
    after = bench.project.create(td.nullTOP, "b")
    after.inputConnectors[0].connect(top)
    top.destroy()
    assert not top.valid
    assert after.inputs == []
    refused(lambda: top.name, "destroyed")


def test_only_the_cooking_thread_may_touch(bench: Bench) -> None:
    top = bench.camera(np.zeros((2, 2, 4), np.float32))
    par = top.par.format
    tries = [
        lambda: top.name, lambda: top.par, par.eval, lambda: setattr(par, "val", "useinput"),
        lambda: td.op("/"), top.numpyArray, lambda: setattr(top, "nodeX", 1),
        lambda: td.absTime.frame, lambda: bench.project.create(td.nullTOP, "a"),
    ]  # fmt: skip
    failed: list[Exception] = []

    def elsewhere() -> None:
        for touch in tries:
            try:
                touch()
            except td.tdError as error:
                failed.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert len(failed) == len(tries)
    assert len(bench.refusals) == len(tries)  # also those that were caught


# --- wires


def test_wires_refuse_what_does_not_fit(bench: Bench) -> None:
    make = bench.project.create
    top, chop, reorder = make(td.nullTOP, "t"), make(td.nullCHOP, "c"), make(td.reorderTOP, "r")
    refused(lambda: top.inputConnectors[0].connect(chop), "one family")
    refused(lambda: top.setInputs([reorder, reorder]), "1 inputs")
    inside = make(td.baseCOMP, "base").create(td.nullTOP, "inside")
    refused(lambda: top.inputConnectors[0].connect(inside), "same network")
    reorder.setInputs([top])
    refused(lambda: top.inputConnectors[0].connect(reorder), "loop")


def test_a_component_has_connectors_in_the_order_of_names(bench: Bench) -> None:
    base = bench.project.create(td.baseCOMP, "base")
    for name in ("in10", "in2"):
        base.create(td.inTOP, name)
    out = base.create(td.outTOP, "out1")
    assert [c.inOP.name for c in base.inputConnectors] == ["in2", "in10"]
    out.inputConnectors[0].connect(base.op("in10"))
    camera = bench.camera(np.full((2, 3, 4), 0.25, np.float32))
    base.inputConnectors[1].connect(camera)
    after = bench.project.create(td.nullTOP, "after")
    after.inputConnectors[0].connect(base)
    assert (after.inputs, base.inputs, base.outputs) == ([base], [camera], [after])
    assert bench.picture(after).shape == (2, 3, 4)
    out.destroy()
    assert after.inputs == []


# --- parameters


def test_builtin_parameters_are_the_documented_ones(bench: Bench) -> None:
    top = bench.project.create(td.resolutionTOP, "r")
    with pytest.raises(AttributeError):
        _ = top.par.resolutionx
    refused(lambda: setattr(top.par, "resolutionx", 3), "no parameter")
    assert top.par["resolutionx"] is None
    top.par.outputresolution = "custom"
    top.par.resolutionw = 64.7
    assert top.par.resolutionw == 64
    assert top.par.outputresolution.menuNames[0] == "useinput"
    refused(lambda: setattr(top.par, "outputresolution", "Custom"), "menu")
    refused(lambda: setattr(top.par, "resolutionw", "wide"), "number")
    refused(lambda: setattr(top.par, "resmult", "on"), "bool")
    refused(lambda: setattr(top.par.resolutionw, "label", "Width"), "custom")
    refused(lambda: top.par.resolutionw.destroy(), "custom")
    refused(lambda: setattr(top.par.resolutionw, "style", "Int"), "read only")


def test_modify_outside_of_cook_came_in_2025(tmp_path: Path) -> None:
    for build, there in ((2023, False), (2025, True)):
        with Bench(tmp_path, build=build) as bench:
            script = bench.project.create(td.scriptTOP, "s")
            assert (script.par["modoutsidecook"] is not None) == there


@pytest.mark.parametrize("name", ["prompt", "PromptOne", "Prompt_1", "Prompt 1", "1prompt", ""])
def test_custom_parameters_refuse_bad_names(bench: Bench, name: str) -> None:
    page = bench.project.create(td.baseCOMP, "c").appendCustomPage("P")
    refused(lambda: page.appendFloat(name), "custom parameter")


def test_custom_parameters(bench: Bench) -> None:
    base = bench.project.create(td.baseCOMP, "c")
    page = base.appendCustomPage("P")
    four = page.appendFloat("Threshold", label="Threshold", size=4)
    assert [par.name for par in four] == [f"Threshold{n}" for n in (1, 2, 3, 4)]
    assert [par.name for par in page.appendFloat("One")] == ["One"]
    assert [par.name for par in page.appendRGB("Tint")] == ["Tintr", "Tintg", "Tintb"]
    refused(lambda: page.appendInt("Five", size=5), "size")
    with pytest.raises(TypeError):
        page.appendToggle("On", size=4)
    refused(lambda: page.appendFloat("One", replace=False), "already")
    menu = page.appendMenu("Kind")[0]
    menu.menuNames, menu.menuLabels = ["a", "b"], ["A", "B"]
    base.par.Kind = "b"
    assert (menu.menuIndex, base.par.Kind.eval()) == (1, "b")
    refused(lambda: setattr(base.par, "Kind", "c"), "menu")
    page.appendStrMenu("Free")[0].menuNames = ["x"]
    base.par.Free = "anything"
    low = base.par.Threshold1
    low.min, low.max, low.clampMin, low.clampMax = 0, 1, True, True
    base.par.Threshold1 = 3
    assert base.par.Threshold1 == 1
    base.par.Threshold2.expr = "me.par.Threshold1 / 2"
    assert base.par.Threshold2.eval() == 0.5
    assert base.par.Threshold2.mode is td.ParMode.EXPRESSION
    refused(lambda: setattr(base.par, "Free", None), "string")
    assert [page.name for page in base.customPages] == ["P"]
    base.par.One.destroy()
    assert base.par["One"] is None
    refused(low.eval, "fetch it anew")


def test_sorting_refuses_pages_that_are_not_there(bench: Bench) -> None:
    base = bench.project.create(td.baseCOMP, "c")
    for name in ("A", "B"):
        base.appendCustomPage(name)
    base.sortCustomPages("B", "A")
    assert [page.name for page in base.customPages] == ["B", "A"]
    refused(lambda: base.sortCustomPages("C"), "no page")


# --- pictures


def test_numpy_array_is_float_rgba_and_good_for_one_frame(bench: Bench) -> None:
    picture = RNG.integers(0, 256, (4, 6, 4), np.uint8)
    camera = bench.camera(picture)
    array = camera.numpyArray()
    assert (array.dtype, array.shape, camera.width, camera.height) == (np.float32, (4, 6, 4), 6, 4)
    np.testing.assert_allclose(array, picture / 255, atol=1e-6)
    kept = array.copy()
    array[:] = 0.5  # changes the array only
    np.testing.assert_array_equal(bench.picture(camera), kept)
    bench.run()
    assert np.isnan(array).all()
    writable = camera.numpyArray(writable=True)
    bench.run()
    assert np.isnan(writable).all()


def test_delayed_gives_the_picture_of_the_call_before(bench: Bench) -> None:
    frames = iter(range(1, 9))
    camera = bench.camera(lambda: np.full((2, 2, 4), next(frames), np.float32))
    bench.watch(camera)
    seen = []
    for _ in range(3):
        bench.run()
        array = camera.numpyArray(delayed=True)
        seen.append(None if array is None else array[0, 0, 0])
    assert seen == [None, 1, 2]


def test_a_top_without_a_picture_has_none(bench: Bench) -> None:
    top = bench.project.create(td.nullTOP, "a")
    assert (top.width, top.height) == (0, 0)
    assert top.numpyArray(delayed=True) is None
    refused(top.numpyArray, "no picture")
    with pytest.raises(TypeError):
        top.numpyArray(neverNone=True)


def test_tops_compute(bench: Bench) -> None:
    make = bench.project.create
    matte = bench.camera(RNG.random((4, 6, 4), np.float32), "matte")
    live = bench.camera(RNG.random((4, 6, 4), np.float32), "live")
    reorder, multiply = make(td.reorderTOP, "reorder"), make(td.multiplyTOP, "multiply")
    switch, resolution = make(td.switchTOP, "switch"), make(td.resolutionTOP, "resolution")
    reorder.setInputs([matte])
    for channel in ("red", "green", "blue", "alpha"):
        reorder.par[f"output{channel}chan"] = "green"
    multiply.setInputs([live, reorder])
    expected = bench.picture(live) * bench.picture(matte)[..., 1:2]
    np.testing.assert_allclose(bench.picture(multiply), expected)
    switch.setInputs([live, multiply])
    switch.par.index = 1
    np.testing.assert_array_equal(bench.picture(switch), expected)
    resolution.inputConnectors[0].connect(live)
    resolution.par.outputresolution = "half"
    assert bench.picture(resolution).shape == (2, 3, 4)
    refused(lambda: setattr(reorder.par, "outputredchan", "luma"), "menu")
    multiply.setInputs([live, resolution])
    refused(lambda: bench.picture(multiply), "prefit")
    multiply.par.prefit = "fill"
    assert bench.picture(multiply).shape == (4, 6, 4)


def test_use_input_keeps_the_inputs_pixel_format(bench: Bench) -> None:
    matte = bench.camera(np.full((2, 2, 1), 51, np.uint8))
    reorder = bench.project.create(td.reorderTOP, "reorder")
    reorder.setInputs([matte])
    reorder.par.outputalphachan = "red"
    assert bench.picture(reorder)[0, 0].tolist() == pytest.approx([0.2, 0.2, 0.2, 1])
    assert reorder.pixelFormat == "8-bit fixed (Mono)"
    reorder.par.format = "rgba8fixed"
    assert bench.picture(reorder)[0, 0, 3] == pytest.approx(0.2)
    reorder.par.format = "rgb10a2fixed"
    refused(lambda: bench.picture(reorder), "rgb10a2fixed")


def test_shared_memory_goes_from_out_to_in(bench: Bench) -> None:
    out = bench.project.create(td.sharedmemoutTOP, "out")
    out.par.name = "block"
    out.inputConnectors[0].connect(bench.camera(np.ones((2, 2, 4), np.float32)))
    back = bench.project.create(td.sharedmeminTOP, "back")
    back.par.name = "block"
    bench.run()
    assert bench.picture(back).min() == 1
    refused(lambda: setattr(out.par, "downloadtype", "delayed"), "menu")


ACCEPTED = [(np.uint8, 1), (np.uint8, 4), (np.uint16, 2), (np.float32, 3)]


@pytest.mark.parametrize(("dtype", "channels"), ACCEPTED)
def test_copy_numpy_array(bench: Bench, dtype: Any, channels: int) -> None:
    array = np.ones((2, 3, channels), dtype)
    script = scripted(bench.project, "s", "scriptOp.copyNumpyArray(scriptOp.fetch('a'))")
    script.store("a", array)
    script.cook(force=True)
    assert bench.errors == []
    shown = bench.picture(script)
    scale = 1 if dtype == np.float32 else np.iinfo(dtype).max
    np.testing.assert_allclose(shown[..., 0], 1 / scale)
    assert (shown[..., 3] == (1 / np.float32(scale) if channels == 4 else 1)).all()


BAD_ARRAYS = [
    np.zeros((2, 2, 4), np.float64), np.zeros((2, 2, 4), np.float16), np.zeros((2, 2), np.uint8),
    np.zeros((2, 2, 5), np.uint8), np.zeros((4, 2, 4), np.uint8)[::-1],
    np.zeros((0, 2, 4), np.uint8),
    np.zeros((2, 4, 4), np.uint8)[:, ::2], np.zeros((2, 2, 4), ">u2"), [[[0, 0, 0, 0]]],
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(BAD_ARRAYS)))
def test_copy_numpy_array_refuses(bench: Bench, number: int) -> None:
    script = scripted(bench.project, "s", "scriptOp.copyNumpyArray(scriptOp.fetch('a'))")
    script.store("a", BAD_ARRAYS[number])
    script.cook(force=True)
    assert isinstance(bench.errors[0].error, td.tdError)
    assert len(bench.refusals) == 1


def test_uploads_outside_of_the_cook_are_refused(bench: Bench) -> None:
    array = np.zeros((2, 2, 4), np.uint8)
    script = scripted(bench.project, "s", "pass")
    refused(lambda: script.copyNumpyArray(array), "onCook")
    scripted(bench.project, "other", "op('s').copyNumpyArray(np.zeros((1, 1, 4), np.uint8))").cook()
    assert "onCook" in str(bench.errors[0].error)
    script.par.modoutsidecook = True
    script.copyNumpyArray(array)
    assert script.width == 2


def test_cuda_memory(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        refused(bench.camera(np.zeros((1, 1, 4), np.uint8)).cudaMemory, "CUDA")
    with Bench(tmp_path, cuda=True) as bench:
        picture = RNG.integers(0, 256, (2, 3, 4), np.uint8)
        memory = bench.camera(picture).cudaMemory()
        shape = memory.shape
        assert (shape.width, shape.height, shape.numComps, memory.size) == (3, 2, 4, 24)
        np.testing.assert_array_equal(memory._array, picture[..., [2, 1, 0, 3]])
        code = "m = op('camera').cudaMemory()\nscriptOp.copyCUDAMemory(m.ptr, m.size, m.shape)"
        script = scripted(bench.project, "s", code)
        script.cook(force=True)
        np.testing.assert_allclose(bench.picture(script), picture / 255, atol=1e-6)
        refused(lambda: script.copyCUDAMemory(memory.ptr, memory.size, shape), "onCook")


# --- cooking


def test_an_operator_cooks_when_asked_and_with_a_reason(bench: Bench) -> None:
    script = scripted(bench.project, "s", "scriptOp.copyNumpyArray(np.ones((2, 2, 4), np.uint8))")
    bench.run(3)
    assert script.totalCooks == 0  # nobody looks
    bench.watch(script)
    bench.run(3)
    assert script.totalCooks == 1  # nothing has changed
    script.cook(force=True)
    assert script.totalCooks == 2
    script.cook()
    assert script.totalCooks == 2


def test_scripts_cook_again_when_what_they_used_changes(bench: Bench) -> None:
    page = bench.project.appendCustomPage("P")
    page.appendFloat("Level")
    code = "scriptOp.clear()\nscriptOp.appendChan('level')[0] = float(parent().par.Level)"
    script = scripted(bench.project, "s", code, td.scriptCHOP)
    null = bench.project.create(td.nullCHOP, "n")
    null.inputConnectors[0].connect(script)
    bench.watch(null)
    bench.run()
    bench.project.par.Level = 0.5
    bench.run(2)
    assert (script.totalCooks, null["level"].eval(), float(null["level"])) == (2, 0.5, 0.5)
    refused(script.clear, "onCook")
    refused(lambda: script.appendChan("b"), "onCook")
    refused(lambda: null["other"], "no channel")
    refused(lambda: setattr(null, "rate", 30), "Script CHOP")
    refused(lambda: null.addError("x"), "cooking")


def test_arrays_and_time_in_frames(bench: Bench) -> None:
    frame = td.absTime.frame
    bench.run(5, fps=1000)
    assert td.absTime.frame == frame + 5
    assert len(bench.frame_ms) == 5
    assert bench.run(50, until=lambda: td.absTime.frame >= 8) == 3


# --- scripts


def test_execute_dats(bench: Bench) -> None:
    dat = bench.project.create(td.executeDAT, "e")
    dat.text = (
        "def onFrameStart(frame):\n\tprint('start', frame)\n"
        "def onFrameEnd(frame):\n\tprint('end', absTime.frame, me.name, parent().name)\n"
        "def onExit():\n\tprint('exit')\n"
    )
    bench.run()
    assert bench.textport == []
    dat.par.framestart = dat.par.frameend = dat.par.exit = True
    bench.run()
    bench.quit()
    assert bench.textport == ["start 2", "end 2.0 e project1", "exit"]


def test_a_callback_that_raises_is_reported(bench: Bench) -> None:
    dat = bench.project.create(td.executeDAT, "e")
    dat.text = "def onFrameStart(frame):\n\t1 / 0\n"
    dat.par.framestart = True
    bench.run(raise_errors=False)
    assert "ZeroDivisionError" in "\n".join(bench.textport)
    assert "ZeroDivisionError" in dat.scriptErrors()
    with pytest.raises(td_bench.CallbackFailedError):
        bench.run()


def test_parameter_execute(bench: Bench) -> None:
    base = bench.project.create(td.baseCOMP, "c")
    page = base.appendCustomPage("P")
    for append, name in ((page.appendFloat, "Level"), (page.appendPulse, "Go")):
        append(name)
    dat = base.create(td.parameterexecuteDAT, "p")
    dat.text = (
        "def onValueChange(par, prev):\n\tprint(par.name, prev, par.eval())\n"
        "def onPulse(par):\n\tprint('pulse', par.name)\n"
    )
    dat.par.op, dat.par.pars, dat.par.valuechange, dat.par.onpulse = "..", "*", True, True
    bench.run()
    bench.set(base.par.Level, 0.5)
    bench.run()
    assert bench.textport == []  # custom parameters are not watched yet
    dat.par.custom = True
    base.par.Level = 0.75
    base.par.Level = 1
    bench.pulse(base.par.Go)
    bench.run(2)
    assert bench.textport == ["Level 0.5 1.0", "pulse Go"]
    refused(lambda: setattr(base.par, "Go", True), "pulse")
    base.par.Level.readOnly = True
    with pytest.raises(PermissionError):
        bench.set(base.par.Level, 0)


def test_osc_in(bench: Bench) -> None:
    dat = bench.project.create(td.oscinDAT, "osc")
    dat.par.callbacks.eval().text = (
        "def onReceiveOSC(dat, rowIndex, message, bytes, timeStamp, address, args, peer):\n"
        "\tprint(dat.name, rowIndex, address, args, peer.address, len(bytes) % 4)\n"
    )
    bench.osc(dat, "/prompt", 1, "a dog", 0.5)
    bench.run()
    assert bench.textport == ["osc 0 /prompt [1, 'a dog', 0.5] 127.0.0.1 0"]
    dat.par.active = False
    bench.osc(dat, "/prompt", 2)
    bench.run()
    assert len(bench.textport) == 1
    assert dat.numRows == 1


def test_tables(bench: Bench) -> None:
    table = bench.project.create(td.tableDAT, "t")
    table.appendRow(["name", "value"])
    table.appendRow(["fps", 60])
    assert (table["fps", "value"], table["fps", 1].val, table.numRows) == (60, "60", 2)
    assert table.cell("nothing", 0) is None
    refused(lambda: table["nothing", 0], "no cell")
    refused(lambda: table.__setitem__(("nothing", 0), 1), "no row")
    refused(lambda: table.appendRow("fps"), "list")
    fifo = bench.project.create(td.fifoDAT, "f")
    fifo.par.maxlines = 2
    for number in range(4):
        fifo.appendRow([number])
    assert [row[0].val for row in fifo.rows()] == ["2", "3"]
    out = bench.project.create(td.nullDAT, "n")
    out.inputConnectors[0].connect(fifo)
    assert out.text == "2\n3\n"
    refused(lambda: setattr(out, "text", "x"), "editable")
    fifo.par.clear.pulse()
    assert fifo.numRows == 0
    text = bench.project.create(td.textDAT, "x")
    refused(lambda: text.appendRow([1]), "holds text")


def test_dats_are_modules(bench: Bench) -> None:
    base = bench.project.create(td.baseCOMP, "c")
    base.create(td.textDAT, "helper").text = "def name():\n\treturn me.name, parent().name\n"
    user = base.create(td.textDAT, "user")
    user.text = "import helper\nimport json\nprint(helper.name(), mod.helper.name())\n"
    with bench.session.textport.capture():
        user.run()
    assert bench.textport == ["('helper', 'c') ('helper', 'c')"]
    assert base.op("helper").module.name() == ("helper", "c")


def test_delayed_runs(bench: Bench) -> None:
    td.run("print(args[0])", "later", delayFrames=2)
    td.run("print('end')", endFrame=True)
    refused(lambda: td.run(print), "string")
    bench.run()
    assert bench.textport == ["end"]
    bench.run()
    assert bench.textport == ["end", "later"]


# --- components


def test_an_extension_lives(bench: Bench) -> None:
    thing = component(bench, LIFE, parentshortcut="Thing")
    assert bench.textport == []
    assert thing.Twice(2) == 4
    assert bench.textport == ["init"]
    bench.run()
    assert bench.textport == ["init", "onInitTD"]
    assert thing.ext.Thing is thing.extensions[0]
    assert not hasattr(thing, "quiet")
    inside = thing.create(td.nullTOP, "inside")
    assert (inside.parent(), inside.parent.Thing, inside.ext.Thing.ownerComp) == (thing,) * 3
    thing.par.reinitextensions.pulse()
    bench.run()
    assert bench.textport[2:] == ["onDestroyTD 2", "init", "onInitTD"]
    thing.destroy()
    assert bench.textport[5:] == ["onDestroyTD 2"]


def test_an_extension_is_made_anew_when_its_code_changes(bench: Bench) -> None:
    thing = component(bench, LIFE)
    assert thing.Twice(2) == 4
    thing.op("Thing").text = LIFE.replace("2 * number", "3 * number")
    assert thing.Twice(2) == 6


def test_an_extension_cannot_be_used_while_it_starts(bench: Bench) -> None:
    code = "class Thing:\n\tdef __init__(self, ownerComp):\n\t\townerComp.ext.Thing\n"
    assert component(bench, code).extensions == []
    assert "during its initialization" in str(bench.errors[0].error)


def test_a_saved_component_needs_nothing_else(bench: Bench, tmp_path: Path) -> None:
    thing = component(bench, LIFE)
    par = thing.appendCustomPage("P").appendMenu("Kind")[0]
    par.menuNames = ["a", "b"]
    par.val = "b"
    null, out = thing.create(td.nullTOP, "null"), thing.create(td.outTOP, "out1")
    out.setInputs([null])
    thing.storage["presets"] = {"x": 1}
    thing.tags.add("promptmatte")
    assert Path(thing.save()) == tmp_path / "thing.tox"
    refused(lambda: thing.save("there/thing.tox"), "createFolders")
    path = thing.save("there/thing.tox", createFolders=True)
    thing.destroy()
    loaded = bench.project.loadTox(path)
    assert (loaded.Twice(4), loaded.par.Kind.eval(), loaded.fetch("presets")) == (8, "b", {"x": 1})
    assert loaded.op("out1").inputs == [loaded.op("null")]
    assert td.root.findChildren(tags=["promptmatte"]) == [loaded]
    assert bench.project.copy(loaded, name="twin").Twice(1) == 2
    loaded.storage["thread"] = threading.Lock()
    refused(loaded.save, "storage")
    refused(lambda: bench.project.loadTox(str(tmp_path / "none.tox")), "exist")


def test_the_time_of_a_frame_is_the_projects_own(bench: Bench) -> None:
    camera = bench.camera(np.zeros((400, 400, 4), np.float32))
    bench.watch(camera)
    dat = bench.project.create(td.executeDAT, "e")
    dat.text = (
        "import time\ndef onFrameStart(frame):\n"
        "\tfor _ in range(20): op('camera').numpyArray()\n\ttime.sleep(0.004)\n"
    )
    dat.par.framestart = True
    bench.run(3)
    assert min(bench.frame_ms) >= 4
