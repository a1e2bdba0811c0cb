"""The file of `promptmatte serve --config`: a show written down in TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from promptmatte.controls import CONTROLS, Controls
from promptmatte.errors import ConfigError, ControlError, PromptError, shown
from promptmatte.prompts import Prompt, PromptSet
from promptmatte.stream_spec import StreamSpec

SETTINGS = {
    "source": "text",
    "out": "a list of texts",
    "model": "text",
    "weights": "text",
    "device": "text",
    "clip": "text",
    "prompter": "text",
    "projection": "text",
    "precision": "text",
    "compiled": "true or false",
    "seconds": "a number",
    "report": "text",
    "osc": "a port or HOST:PORT",
    "osc_feedback": "a list of texts",
    "metrics": "a port or HOST:PORT",
    "web": "a port or HOST:PORT",
    "web_password_file": "text",
    "record": "text",
    "record_what": "text",
    "record_later": "true or false",
}
"""Options of serve that a file may hold, by the name of their argument; paths are taken from the
working folder, as on the command line."""

MAX_FILE_BYTES = 256 * 1024
"""A show with every control for every prompt has 20 KB."""

PATHS = ("weights", "projection", "report", "record", "web_password_file")
TABLES = ("controls", "prompt", "stream", "worker")
STREAM_FIELDS = ("name", "source", "out", "share", "worker", "prompt", "controls")
WORKER_FIELDS = ("name", "num_cpus", "num_gpus", "node")
ONE_STREAM_ONLY = ("source", "out", "record", "record_what", "record_later")
"""Settings that a show of [[stream]] tables says in them, or does not know."""

PROMPT_FIELDS = ("text", "also", "negative")


@dataclass(frozen=True, kw_only=True)
class StreamTable:
    """One [[stream]]; shared and controls as in ShowFile. worker: the [[worker]] that it shares a
    process with in a cluster, by default one of its own."""

    name: str
    source: str
    out: tuple[str, ...]
    share: float
    worker: str
    prompts: tuple[Prompt, ...]
    shared: Controls
    controls: Controls


@dataclass(frozen=True, kw_only=True)
class WorkerTable:
    """One [[worker]]: what a process of a cluster gets. node: a resource that its node has."""

    name: str
    num_cpus: float = 1.0
    num_gpus: float = 0.0
    node: str | None = None


@dataclass(frozen=True, kw_only=True)
class ShowFile:
    """What a file says; all of it may be missing.

    settings: of SETTINGS. shared: the controls for all prompts; controls: the same with
    each prompt's own over them. streams: of a show with several, which then have the prompts.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    prompts: tuple[Prompt, ...] = ()
    shared: Controls = field(default_factory=Controls)
    controls: Controls = field(default_factory=Controls)
    streams: tuple[StreamTable, ...] = ()
    workers: tuple[WorkerTable, ...] = ()

    @classmethod
    def read(cls, path: Path) -> ShowFile:
        """The show in a TOML file; ConfigError, which names the file and what is wrong.

        [controls] holds for all prompts; every [[prompt]] has a text and, if wanted, also,
        negative and controls of its own.
        """
        try:
            return cls._checked(_toml_in(path))
        except OSError as error:
            raise ConfigError(f"cannot read the show {path}: {error.strerror}") from error
        except (ConfigError, ControlError, PromptError) as error:
            raise ConfigError(f"in {path}: {error}") from error

    @classmethod
    def _checked(cls, content: Mapping[str, Any]) -> ShowFile:
        _check_keys(content, (*SETTINGS, *TABLES), "a key")
        prompts, shared, controls = _keyed(content, Controls())
        streams = tuple(_stream_from(table, shared) for table in _tables(content, "stream"))
        workers = tuple(_worker_from(table) for table in _tables(content, "worker"))
        for name in (*ONE_STREAM_ONLY, "prompt") if streams else ():
            if name in content:
                raise ConfigError(
                    f"expected no {name} outside of [[stream]] in a show of streams; "
                    f"got {shown(content[name])}"
                )
        return cls(
            settings={n: _setting(n, content[n]) for n in SETTINGS if n in content},
            prompts=prompts,
            shared=shared,
            controls=controls,
            streams=streams,
            workers=workers,
        )


def _toml_in(path: Path) -> dict[str, Any]:
    """The file's tables; ConfigError, OSError."""
    with path.open("rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(f"expected a show of at most {MAX_FILE_BYTES >> 10} KB; got more")
    try:
        return tomllib.loads(content.decode())
    except RecursionError:
        raise ConfigError("expected TOML; got lists or tables too deep in one another") from None
    except ValueError as error:  # also of dates and numbers that Python has no values for
        raise ConfigError(f"expected TOML; got a fault: {error}") from error


def _tables(content: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    tables = content.get(name, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ConfigError(f"expected {name}s as [[{name}]] tables; got {shown(tables)}")
    return tables


def _keyed(
    content: Mapping[str, Any], base: Controls
) -> tuple[tuple[Prompt, ...], Controls, Controls]:
    """The prompts of a table, its controls for all of them, and those with each one's own."""
    entries = _tables(content, "prompt")
    shared_values = content.get("controls", {})
    if not isinstance(shared_values, dict):
        raise ConfigError(f"expected a [controls] table; got {shown(shared_values)}")
    prompts = PromptSet(prompts=tuple(_prompt_from(entry) for entry in entries)).prompts
    shared = controls = base.replaced(shared_values)
    for channel, entry in enumerate(entries):
        own = {name: value for name, value in entry.items() if name not in PROMPT_FIELDS}
        controls = controls.replaced(own, channel=channel)
    return prompts, shared, controls


def _stream_from(table: Mapping[str, Any], base: Controls) -> StreamTable:
    _check_keys(table, STREAM_FIELDS, "a key of [[stream]]")
    prompts, shared, controls = _keyed(table, base)
    name, source = (_text(table, key, "[[stream]]") for key in ("name", "source"))
    out = table.get("out", [f"shm:{name}"])
    if not _is_texts(out):
        raise ConfigError(f"expected out as a list of texts; got {shown(out)}")
    worker = _text({"worker": name, **table}, "worker", "[[stream]]")
    spec = StreamSpec(
        name=name, source=source, out=tuple(out), share=_number(table, "share", 1.0),
        prompts=prompts, controls=controls,
    )  # fmt: skip
    return StreamTable(
        name=name, source=source, out=spec.out, share=spec.share, worker=worker, prompts=prompts,
        shared=shared, controls=controls,
    )  # fmt: skip


def _worker_from(table: Mapping[str, Any]) -> WorkerTable:
    _check_keys(table, WORKER_FIELDS, "a key of [[worker]]")
    return WorkerTable(
        name=_text(table, "name", "[[worker]]"),
        num_cpus=_number(table, "num_cpus", 1.0),
        num_gpus=_number(table, "num_gpus", 0.0),
        node=_text(table, "node", "[[worker]]") if "node" in table else None,
    )


def _text(table: Mapping[str, Any], name: str, where: str) -> str:
    value = table.get(name)
    if not isinstance(value, str) or not value:
        raise ConfigError(f"expected {name} as a text in every {where}; got {shown(value)}")
    return value


def _number(table: Mapping[str, Any], name: str, default: float) -> float:
    value = table.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value < 1e6:
        raise ConfigError(f"expected {name} as a number, 0 or more; got {shown(value)}")
    return float(value)


def _prompt_from(entry: Mapping[str, Any]) -> Prompt:
    own = tuple(name for name, row in CONTROLS.items() if row.scope == "channel")
    _check_keys(entry, (*PROMPT_FIELDS, *own), "a key of [[prompt]]")
    text = entry.get("text")
    if not isinstance(text, str):
        raise ConfigError(f"expected a text in every [[prompt]]; got {shown(text)}")
    lists = {name: entry.get(name, []) for name in ("also", "negative")}
    for name, texts in lists.items():
        if not _is_texts(texts):
            raise ConfigError(f"expected {name} as a list of texts; got {shown(texts)}")
    return Prompt.parse(text, **lists)


def _setting(name: str, value: Any) -> Any:
    expected = SETTINGS[name]
    fits = {
        "text": isinstance(value, str),
        "a list of texts": _is_texts(value),
        "true or false": isinstance(value, bool),
        "a number": isinstance(value, int | float) and not isinstance(value, bool),
        "a port or HOST:PORT": isinstance(value, int | str) and not isinstance(value, bool),
    }[expected]
    if not fits:
        raise ConfigError(f"expected {name} as {expected}; got {shown(value)}")
    return Path(value) if name in PATHS else value


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _check_keys(given: Mapping[str, Any], known: tuple[str, ...], what: str) -> None:
    for key in given:
        if key not in known:
            raise ConfigError(f"expected {what} of {', '.join(known)}; got {shown(key)}")
