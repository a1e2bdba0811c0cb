"""The show of `promptmatte serve`: what a file and the command line want together."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from promptmatte.commands.options import controls_from, prompts_from
from promptmatte.commands.show_file import SETTINGS, ShowFile
from promptmatte.commands.show_watch import ShowWatch
from promptmatte.controls import Controls
from promptmatte.links.protocol import CommandHandler
from promptmatte.prompts import Prompt


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
        unset = frozenset(name for name in SETTINGS if getattr(arguments, name) is None)
        for name in unset:
            setattr(arguments, name, file.settings.get(name, arguments.defaults[name]))
        return cls(file=file, open=unset)

    def watch(
        self,
        arguments: argparse.Namespace,
        *,
        handler: CommandHandler,
        tell: Callable[[str], object],
    ) -> ShowWatch:
        """What follows the file of --config from now on."""
        return ShowWatch(
            arguments.config, show=self.file, wanted=partial(wanted, arguments),
            settings=self.open, handler=handler, tell=tell,
        )  # fmt: skip


def wanted(arguments: argparse.Namespace, file: ShowFile) -> Wanted:
    """The file's prompts and controls with the command line's over them.

    Prompts of the command line replace all of the file's, and what the file says for each.
    """
    return Wanted(
        prompts=prompts_from(arguments) or file.prompts,
        controls=controls_from(arguments, file.shared if arguments.prompts else file.controls),
    )
