"""Building twice, saving and loading: what people made stays, and the file needs nothing else."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path
from typing import Any

from show import SETTINGS, Show, answers, np, td, td_bench


def build() -> None:
    builder = Path(SETTINGS["export"]) / "promptmatte_td" / "build_component.py"
    runpy.run_path(str(builder), run_name="build")


def loaded_alone(folder: Path) -> dict[str, Any]:
    """The saved file in another project, twice, with the sources gone."""
    shutil.rmtree(SETTINGS["export"])
    with td_bench.Bench(folder, poison_arrays=False) as bench:
        tox = str(Path(SETTINGS["project"]) / "PromptMatte.tox")
        first, second = bench.project.loadTox(tox), bench.project.loadTox(tox)
        for component in (first, second):
            component.inputConnectors[0].connect(bench.camera(np.zeros((4, 4, 4), np.uint8)))
            bench.watch(component.op("out1"))
        bench.set(second.par.Session, "another")
        bench.run(30, fps=60)
        return {
            "status": [str(c.par.Status.eval()) for c in (first, second)],
            "prompt": str(first.par.Prompt1.eval()),
            "readme": first.op("readme").text[:13],
            "errors": [e.text for e in bench.errors],
        }


def main() -> None:
    show = Show(np.zeros((1, 36, 64, 3), np.uint8))
    bench, component = show.bench, show.component
    results: dict[str, Any] = {"pages": [page.name for page in component.customPages]}

    after = bench.project.create(td.nullTOP, "after")
    after.inputConnectors[0].connect(component.outputConnectors[2])
    show.set(Prompt1="red jacket", Threshold2=0.7, Session="kept", Workingsize="640")
    component.par.Feather1.expr = "absTime.frame % 5"
    component.appendCustomPage("Mine").appendFloat("Notours")
    show.run(12)
    ids = {name: component.op(name).id for name in ("in1", "out1", "out2", "out3", "out4", "out5")}
    component.op("callbacks_info").text = "broken by somebody"
    build()
    show.run(12)
    results["kept"] = {
        "ids": ids == {name: component.op(name).id for name in ids},
        "wire": after.inputs[0].path,
        "camera": component.inputs[0].path,
        "prompt": str(component.par.Prompt1.eval()),
        "threshold": component.par.Threshold2.eval(),
        "session": str(component.par.Session.eval()),
        "size": str(component.par.Workingsize.eval()),
        "expression": component.par.Feather1.expr,
        "mended": "CookInfo" in component.op("callbacks_info").text,
        "components": len(bench.root.findChildren(tags=["promptmatte"])),
    }

    show.set(Preset="verse", Fadetime=0.0)
    show.press("Presetsave")
    show.run(3)
    show.set(Prompt1="sky", Threshold2=0.2)
    show.run(30)
    results["preset_menu"] = list(component.par.Preset.menuNames)
    show.press("Presetrecall")
    show.run(5)
    results["recalled"] = [str(component.par.Prompt1.eval()), component.par.Threshold2.eval()]
    component.RecallPreset("nonsense")
    show.run(30)
    results["unknown_preset"] = show.status

    show.set(Oscport=9000)
    show.run(3)
    receiver = component.op("oscin_control")
    for address, value in (("/promptmatte/1/prompt", "hat"), ("/promptmatte/4/threshold", 0.4),
                           ("/promptmatte/1/threshold", "nonsense"), ("/other", 1)):  # fmt: skip
        bench.osc(receiver, address, value)
    show.run(5)
    results["osc"] = {
        "prompt": str(component.par.Prompt1.eval()),
        "threshold": component.par.Threshold4.eval(),
        "log": show.log[-2:],
        "listens": [bool(receiver.par.active.eval()), int(receiver.par.port.eval())],
    }

    show.set(Program="/nowhere/at/all")
    show.press("Start")
    show.run(30)
    results["no_program"] = show.status
    show.set(Link="zmq")
    show.run(30)
    results["no_zmq"] = show.status
    show.set(Link="shm", Session="much too long a session name")
    show.run(30)
    results["bad_session"] = show.status
    show.set(Session="kept")
    show.run(60)
    results["good_again"] = show.status

    results["saved"] = component.SaveBuild()
    results["errors"] = [e.text for e in bench.errors]
    results["refusals"] = [str(r) for r in bench.refusals]
    bench.close()
    results["alone"] = loaded_alone(Path(SETTINGS["project"]) / "elsewhere")
    answers(results)


main()
