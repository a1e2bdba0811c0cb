"""What one worker of a cluster is to be: its streams, and what of a machine it gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from promptmatte.commands.show_file import ShowFile, WorkerTable
from promptmatte.errors import ConfigError
from promptmatte.stream_spec import StreamSpec

NODE_SHARE = 0.001
"""Of the resource that names a node: having it counts, not how much of it is left."""


@dataclass(frozen=True, kw_only=True)
class WorkerSpec:
    """A process with one model and these streams. num_gpus: may be a fraction of one. node: a
    resource that its node must have; without it workers are spread over the nodes."""

    name: str
    streams: tuple[StreamSpec, ...]
    num_cpus: float = 1.0
    num_gpus: float = 0.0
    node: str | None = None

    @property
    def options(self) -> Mapping[str, Any]:
        """For Ray's actor. What is lost, the supervisor starts anew, with the newest prompts."""
        return {
            "num_cpus": self.num_cpus,
            "num_gpus": self.num_gpus,
            "resources": {self.node: NODE_SHARE} if self.node else {},
            "scheduling_strategy": "DEFAULT" if self.node else "SPREAD",
            "max_restarts": 0,
            "max_concurrency": 4,
        }


def worker_specs(specs: Sequence[StreamSpec], file: ShowFile) -> list[WorkerSpec]:
    """The workers of a show's streams, in the order of the streams; ConfigError for a [[worker]]
    without one."""
    of_stream = {table.name: table.worker for table in file.streams}
    tables = {table.name: table for table in file.workers}
    members: dict[str, list[StreamSpec]] = {}
    for spec in specs:
        members.setdefault(of_stream.get(spec.name, spec.name), []).append(spec)
    idle = [name for name in tables if name not in members]
    if idle or len(tables) < len(file.workers):
        raise ConfigError(
            f"expected [[worker]] tables, one for each of {', '.join(members)} at most; got "
            f"{', '.join(table.name for table in file.workers)}"
        )
    return [
        WorkerSpec(streams=tuple(streams), **vars(tables.get(name) or WorkerTable(name=name)))
        for name, streams in members.items()
    ]
