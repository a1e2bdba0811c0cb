"""Python packages kept as text: found in folders, stored in Text DATs, imported from memory.

This file is also the head of the component's extension DAT, so it stands alone.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, ModuleType

PACKAGES = ("promptmatte_td", "promptmatte_shm")
"""Embedded whole."""

PARTS = (
    "promptmatte",
    "promptmatte.controls",
    "promptmatte.errors",
    "promptmatte.frame",
    "promptmatte.links",
    "promptmatte.links.newest",
    "promptmatte.links.protocol",
    "promptmatte.links.reply",
    "promptmatte.links.wire",
    "promptmatte.links.zmq",
    "promptmatte.links.zmq_sockets",
)
"""What the component shares with the server: the controls, and the ZeroMQ link."""


def read_sources(roots: Iterable[Path]) -> dict[str, str]:
    """Every embedded module's source by its dotted name, from the first root that has it.

    FileNotFoundError that names what is missing.
    """
    roots = tuple(roots)
    sources: dict[str, str] = {}
    for package in PACKAGES:
        folder = _first_of(roots, package).parent
        for path in sorted(folder.rglob("*.py")):
            parts = (package, *path.relative_to(folder).with_suffix("").parts)
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            sources[name] = path.read_text(encoding="utf-8")
    for name in PARTS:
        sources[name] = _first_of(roots, name).read_text(encoding="utf-8")
    return sources


def _first_of(roots: Sequence[Path], name: str) -> Path:
    inside = Path(*name.split("."))
    for root in roots:
        for path in (root / inside / "__init__.py", root / inside.with_suffix(".py")):
            if path.is_file():
                return path
    places = ", ".join(str(root) for root in roots)
    raise FileNotFoundError(f"expected the source of {name} in one of {places}; found none")


def dat_name(module: str) -> str:
    """The name of the Text DAT that holds a module: operator names have no dots."""
    return module.replace(".", "__")


def module_name(dat: str) -> str:
    """The module that a Text DAT of this name holds."""
    return dat.replace("__", ".")


def is_package(name: str, names: Iterable[str]) -> bool:
    """Whether others of these modules lie inside the one of this name."""
    return any(other.startswith(f"{name}.") for other in names)


class EmbeddedCode(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Imports modules from their sources and keeps them out of everybody's sight.

    Two components of different versions, and an installed package of the same name, live
    side by side: what is imported here is in sys.modules only while it is imported. So
    every import in these sources stands at the top of its file.
    """

    def __init__(self, sources: Mapping[str, str]) -> None:
        """sources: dotted module name -> Python text."""
        self._sources = dict(sources)
        self._roots = {name.partition(".")[0] for name in sources}
        self._modules: dict[str, ModuleType] = {}

    def module(self, name: str) -> ModuleType:
        """The module, imported once; ImportError as from any import."""
        if name not in self._modules:
            with self._alone():
                importlib.import_module(name)
        return self._modules[name]

    @contextmanager
    def _alone(self) -> Iterator[None]:
        others = {name: sys.modules.pop(name) for name in self._ours()}
        sys.modules.update(self._modules)
        sys.meta_path.insert(0, self)
        try:
            yield
        finally:
            sys.meta_path.remove(self)
            self._modules = {name: sys.modules.pop(name) for name in self._ours()}
            sys.modules.update(others)

    def _ours(self) -> list[str]:
        return [name for name in sys.modules if name.partition(".")[0] in self._roots]

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002  importlib's signature
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of an embedded module; importlib's hook."""
        if fullname not in self._sources:
            return None
        return importlib.util.spec_from_loader(fullname, self)

    def get_code(self, fullname: str) -> CodeType:
        """The compiled module, under a file name that tracebacks look up in get_source."""
        path = f"embedded/{fullname.replace('.', '/')}.py"
        return compile(self._sources[fullname], path, "exec", dont_inherit=True)

    def get_source(self, fullname: str) -> str:
        """The text, so that tracebacks can show it."""
        return self._sources[fullname]

    def is_package(self, fullname: str) -> bool:
        """Whether other embedded modules lie inside it."""
        return is_package(fullname, self._sources)
