"""Makes the component inside TouchDesigner, or brings one that is there up to date."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import td

from promptmatte_td import embedding
from promptmatte_td.network import CODE, EXTENSION, FILE_NAME, NODES, Node
from promptmatte_td.parameters import (
    FILE,
    FLOAT,
    INT,
    MENU,
    PAGES,
    PULSE,
    TEXT,
    TEXT_MENU,
    TOGGLE,
    Row,
)

NAME = "PromptMatte"
TAG = "promptmatte"
README = "COMPONENT.md"
BUILD_ONLY = ("promptmatte_td.builder", "promptmatte_td.build_component")

STARTER = f'''

def {EXTENSION}(ownerComp):
    """The extension object, of the code in {CODE}."""
    sources = {{module_name(dat.name): dat.text for dat in ownerComp.op("{CODE}").children}}
    code = EmbeddedCode(sources)
    return code.module("promptmatte_td.extension").{EXTENSION}(ownerComp, code.module)
'''


def build_and_save(folder: Path, sources: Mapping[str, str]) -> str:
    """Builds, saves PromptMatte.tox beside the project, and says what was done.

    folder: the one of this package's sources; sources: of all that is to be embedded.
    """
    readme = (folder / README).read_text(encoding="utf-8")
    there = td.root.findChildren(tags=[TAG])
    made = not there
    components = there or [_new_component()]
    for component in components:
        update(component, sources, readme=readme, program=program_of(folder))
    path = str(Path(td.project.folder) / FILE_NAME)
    components[0].save(path)
    done = "made" if made else "brought up to date"
    return f"{done} {', '.join(c.path for c in components)}; saved {path}"


def program_of(folder: Path) -> str:
    """What can run the server where these sources are: a checkout or a virtual environment
    above them; empty for an export."""
    for parent in folder.parents:
        if (parent / "pyproject.toml").is_file() or (parent / "pyvenv.cfg").is_file():
            return str(parent)
    return ""


def _new_component() -> Any:
    place = td.op("/project1") or td.root
    component = place.create(td.baseCOMP, NAME)
    component.tags.add(TAG)
    return component


def update(component: Any, sources: Mapping[str, str], *, readme: str, program: str) -> None:
    """Brings a component to what network and parameters say. Connectors, their wires outside
    and the values of parameters stay."""
    for node in NODES:
        _place(component, node)
    for node in NODES:
        _wire(component, node)
    component.op("readme").text = readme
    _embed(component.op(CODE), sources)
    component.op(EXTENSION).text = sources["promptmatte_td.embedding"] + STARTER
    _make_parameters(component, program)
    _extend(component)


def _place(component: Any, node: Node) -> None:
    operator = component.op(node.name)
    if operator is None:
        operator = component.create(getattr(td, node.kind), node.name)
    operator.nodeX, operator.nodeY = node.at
    operator.comment = node.about
    if node.text:
        operator.text = node.text
    for name, value in node.values.items():
        setattr(operator.par, name, value)


def _wire(component: Any, node: Node) -> None:
    operator = component.op(node.name)
    if node.inputs:
        operator.setInputs([component.op(name) for name in node.inputs])


def _embed(code: Any, sources: Mapping[str, str]) -> None:
    names = {
        embedding.dat_name(module): text
        for module, text in sources.items()
        if module not in BUILD_ONLY
    }
    for dat in list(code.children):
        if dat.name not in names:
            dat.destroy()
    for index, (name, text) in enumerate(sorted(names.items())):
        dat = code.op(name) or code.create(td.textDAT, name)
        dat.nodeX, dat.nodeY = index % 6 * 200, -(index // 6) * 150
        dat.text = text


def _make_parameters(component: Any, program: str) -> None:
    kept = {par.name: (par.mode, par.val, par.expr, par.bindExpr) for par in component.customPars}
    pages = {page.name: page for page in component.customPages}
    wanted = {name for rows in PAGES.values() for row in rows for name in row.names}
    for name in kept:
        if name not in wanted:
            component.par[name].destroy()
    for title, rows in PAGES.items():
        page = pages.get(title) or component.appendCustomPage(title)
        for row in rows:
            _append(page, row)
    component.sortCustomPages(*PAGES)
    if "Program" not in kept:
        component.par.Program = program
    for name, (mode, value, expression, bound) in kept.items():
        if name in wanted and not component.par[name].readOnly:
            _restore(component.par[name], mode, value, expression, bound)


def _append(page: Any, row: Row) -> None:
    append = {
        FLOAT: page.appendFloat,
        INT: page.appendInt,
        TOGGLE: page.appendToggle,
        MENU: page.appendMenu,
        TEXT: page.appendStr,
        TEXT_MENU: page.appendStrMenu,
        FILE: page.appendFile,
        PULSE: page.appendPulse,
    }[row.kind]
    size = {"size": row.size} if row.kind in (FLOAT, INT) else {}
    for par in append(row.name, label=row.label, **size):
        par.readOnly, par.help = row.read_only, row.help
        if row.kind in (FLOAT, INT):
            par.min, par.max = row.low, row.high
            par.normMin, par.normMax = row.low, row.high
            par.clampMin = par.clampMax = True
        if row.kind == MENU:
            par.menuNames = [name for name, _ in row.choices]
            par.menuLabels = [label for _, label in row.choices]
        if row.kind != PULSE:
            par.default = row.default
            par.val = row.default
        par.startSection = row.section


def _restore(par: Any, mode: Any, value: Any, expression: str, bound: str) -> None:
    """Gives a parameter back what a person had set."""
    if par.isMenu and not par.isString and value not in par.menuNames:
        par.menuNames = [*par.menuNames, value]
        par.menuLabels = [*par.menuLabels, value]
    if not par.isPulse:
        par.val = value
    if expression:
        par.expr = expression
    if bound:
        par.bindExpr = bound
    par.mode = mode


def _extend(component: Any) -> None:
    component.par.ext0object = f"op('./{EXTENSION}').module.{EXTENSION}(me)"
    component.par.ext0name = ""
    component.par.ext0promote = True
    component.par.reinitextensions.pulse()
