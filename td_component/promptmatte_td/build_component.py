"""Run inside TouchDesigner: makes or updates the PromptMatte component and saves PromptMatte.tox.

    import runpy; runpy.run_path(r"...build_component.py", run_name="build")

With the component there already, it is brought up to date where it is: wires, prompts and all
other values stay. Sources are read from the folders beside this file.
"""

import importlib.util
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).resolve().parent
ROOTS = (HERE.parent, HERE.parents[1] / "shared_memory", HERE.parents[1] / "server")
"""An export, an installed package and a checkout have the sources in these places."""


def _module_of(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"promptmatte_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(f"expected a Python file at {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "build":
    embedding = _module_of(HERE / "embedding.py")
    sources = embedding.read_sources(ROOTS)
    builder = embedding.EmbeddedCode(sources).module("promptmatte_td.builder")
    print(builder.build_and_save(HERE, sources))  # noqa: T201
