"""The show of `promptmatte serve`: what a file and the command line want together."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from promptmatte.commands.options import DEFAULT_SESSION, controls_from, prompts_from
from promptmatte.commands.show_file import ONE_STREAM_ONLY, SETTINGS, ShowFile, StreamTable
from promptmatte.commands.show_watch import ShowWatch
from promptmatte.controls import Controls
from promptmatte.errors import ConfigError
from promptmatte.links.protocol import CommandHandler
from promptmatte.prompts import Prompt
from promptmatte.stream_spec import MAIN, StreamSpec, check_together


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The prompts and controls of a show."""

    prompts: tuple[Prompt, ...]
    controls: Controls


@dataclass(frozen=True, kw_only=True)
class Show:
    """The show that a server starts with.

    open: names of SETTINGS that the command line leaves to the file.
    """

    file: ShowFile
    open: frozenset[str]

    @classmethod
    def read(cls, arguments: argparse.Namespace) -> Show:
        """The show of serve's arguments, whose settings it fills in: from the command line, else
        from the file, else the default. ConfigError, ControlError, PromptError."""
        file = ShowFile.read(arguments.config) if arguments.config else ShowFile()
        if file.streams:
            _check_streams_alone(arguments)
        unset = frozenset(name for name in SETTINGS if getattr(arguments, name) is None)
        for name in unset:
            setattr(arguments, name, file.settings.get(name, arguments.defaults[name]))
        return cls(file=file, open=unset)

    def watch(
        self,
        arguments: argparse.Namespace,
        *,
        handlers: Mapping[str, CommandHandler],
        tell: Callable[[str], object],
    ) -> ShowWatch:
        """What follows the file of --config from now on; handlers: of the streams, by name."""
        return ShowWatch(
            arguments.config, show=self.file, wanted=partial(wanted_of_streams, arguments),
            settings=self.open, handlers=handlers, tell=tell,
        )  # fmt: skip


def stream_specs(arguments: argparse.Namespace, file: ShowFile) -> list[StreamSpec]:
    """The streams of serve's arguments, whose settings are filled in, and its file: those of the
    file, or else one. ConfigError."""
    first = wanted_of_streams(arguments, file)
    specs = [
        StreamSpec(
            name=table.name, source=table.source, out=table.out, share=table.share,
            **vars(first[table.name]),
        )
        for table in file.streams
    ] or [
        StreamSpec(
            source=arguments.source, out=tuple(arguments.out or [DEFAULT_SESSION]),
            **vars(first[MAIN]),
        )
    ]  # fmt: skip
    check_together(specs)
    return specs


def wanted_of_streams(arguments: argparse.Namespace, file: ShowFile) -> dict[str, Wanted]:
    """What is wanted of each stream, by its name."""
    if not file.streams:
        return {MAIN: wanted(arguments, file)}
    return {table.name: wanted(arguments, table) for table in file.streams}


def _check_streams_alone(arguments: argparse.Namespace) -> None:
    given = [name for name in ONE_STREAM_ONLY if getattr(arguments, name) is not None]
    given += ["prompt"] if arguments.prompts else []
    if given:
        raise ConfigError(
            f"expected no --{given[0].replace('_', '-')} with a show of [[stream]] tables, as it "
            "is not said for which one: write it there"
        )


def wanted(arguments: argparse.Namespace, file: ShowFile | StreamTable) -> Wanted:
    """The file's prompts and controls with the command line's over them.

    Prompts of the command line replace all of the file's, and what the file says for each.
    """
    return Wanted(
        prompts=prompts_from(arguments) or file.prompts,
        controls=controls_from(arguments, file.shared if arguments.prompts else file.controls),
    )
