"""Options that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from promptmatte.errors import ConfigError
from promptmatte.prompts import Prompt, PromptSet

if TYPE_CHECKING:
    from promptmatte.models.protocol import Model

Subparsers = argparse._SubParsersAction  # the type has no public name

DEFAULT_SESSION = "shm:promptmatte"
"""The link a server opens, and the commands that talk to it look for, when none is given."""


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """--model, --weights, --device."""
    parser.add_argument("--model", default="embedded", help="model name (default: embedded)")
    parser.add_argument(
        "--weights", type=Path, metavar="FILE", help="weights other than the shipped"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps")


def model_from(arguments: argparse.Namespace) -> Model:
    """The model that add_model_options' arguments name; ConfigError, ModelError."""
    from promptmatte.models import load_model

    return load_model(arguments.model, device=arguments.device, weights=arguments.weights)


class _PromptAction(argparse.Action):
    """Collects --prompt and --negative in order: a negative belongs to the prompt before it."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        prompts: list[tuple[str, list[str]]] = list(getattr(namespace, self.dest) or [])
        if option_string == "--negative":
            if not prompts:
                parser.error("expected --negative after the --prompt that it belongs to")
            prompts[-1][1].append(str(values))
        else:
            prompts.append((str(values), []))
        setattr(namespace, self.dest, prompts)


def add_prompt_options(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """--prompt TEXT (up to four) and --negative TEXT (for the prompt before it)."""
    parser.add_argument(
        "--prompt", dest="prompts", action=_PromptAction, metavar="TEXT", required=required,
        help="the thing to key; up to four, a matte channel each",
    )  # fmt: skip
    parser.add_argument(
        "--negative", dest="prompts", action=_PromptAction, metavar="TEXT",
        help="a thing to leave out of the matte of the prompt before",
    )  # fmt: skip


def prompts_from(arguments: argparse.Namespace) -> tuple[Prompt, ...]:
    """The prompts of add_prompt_options' arguments; PromptError for more than four too."""
    given = arguments.prompts or ()
    prompts = tuple(Prompt(text=text, negative=tuple(negative)) for text, negative in given)
    return PromptSet(prompts=prompts).prompts


def checked_output(path: Path) -> Path:
    """The path of a file to write, whose folder is there; ConfigError before work is lost."""
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise ConfigError(f"expected a file in a folder that exists; got {path}")
    return path
