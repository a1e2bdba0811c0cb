"""Options that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from promptmatte.controls import CONTROLS, Control, Controls, Value, named_control
from promptmatte.errors import ConfigError, ModelError
from promptmatte.models.choice import MODEL_NAMES, PRECISIONS, PROMPTERS, ModelChoice
from promptmatte.prompts import Prompt, PromptSet

if TYPE_CHECKING:
    from promptmatte.models.protocol import Model

Subparsers = argparse._SubParsersAction  # the type has no public name

DEFAULT_SESSION = "shm:promptmatte"
"""The link a server opens, and the commands that talk to it look for, when none is given."""


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """--model and how to run it."""
    default = ModelChoice()
    group = parser.add_argument_group("model", "`promptmatte models list` shows them all")
    group.add_argument("--model", default=default.name, metavar="NAME",
                       help=f"{', '.join(MODEL_NAMES)} (default: {default.name})")  # fmt: skip
    group.add_argument("--weights", type=Path, metavar="FILE",
                       help="weights other than the shipped or downloaded")  # fmt: skip
    group.add_argument("--device", default=default.device, help="auto, cpu, cuda, cuda:1 or mps")
    group.add_argument("--clip", default=default.clip, metavar="NAME",
                       help=f"for SAM: what knows words (default: {default.clip})")  # fmt: skip
    group.add_argument("--prompter", default=default.prompter, metavar="NAME",
                       help=f"for SAM: how words reach it, {' or '.join(PROMPTERS)} "
                       f"(default: {default.prompter})")  # fmt: skip
    group.add_argument("--projection", type=Path, metavar="FILE",
                       help="weights of --prompter projection")  # fmt: skip
    group.add_argument("--precision", default=default.precision, metavar="P",
                       help=f"of image encoders: {', '.join(PRECISIONS)} "
                       f"(default: {default.precision})")  # fmt: skip
    group.add_argument("--compiled", action="store_true",
                       help="compile the image encoder; the first encode takes longer")  # fmt: skip


def choice_from(arguments: argparse.Namespace) -> ModelChoice:
    """The choice that add_model_options' arguments make; ConfigError, ModelError."""
    from promptmatte.models.catalogue import needed
    from promptmatte.models.device import choose_device

    names = {field.name: field.name for field in fields(ModelChoice)} | {"name": "model"}
    given = {name: getattr(arguments, option) for name, option in names.items()}
    choice = ModelChoice(**{name: value for name, value in given.items() if value is not None})
    needed(choice)
    choose_device(choice.device)
    for path in (choice.weights, choice.projection):
        if path is not None and not path.exists():
            raise ModelError(f"expected weights in {path}; there is no such file")
    return choice


def model_options(choice: ModelChoice) -> list[str]:
    """The options that make this choice, for another process."""
    options = [
        f"--model={choice.name}", f"--device={choice.device}", f"--clip={choice.clip}",
        f"--prompter={choice.prompter}", f"--precision={choice.precision}",
    ]  # fmt: skip
    options += [f"--weights={choice.weights}"] if choice.weights else []
    options += [f"--projection={choice.projection}"] if choice.projection else []
    return options + (["--compiled"] if choice.compiled else [])


def model_from(arguments: argparse.Namespace) -> Model:
    """The model that add_model_options' arguments choose, loaded; ConfigError, ModelError."""
    from promptmatte.models import load_model

    choice = choice_from(arguments)
    with Console(stderr=True).status(f"loading {choice.name}") as status:
        return load_model(
            choice, progress=lambda stage, share: status.update(f"{stage} {share:.0%}")
        )


@dataclass
class _GivenPrompt:
    """A --prompt and what followed it: --also, --negative and control options."""

    text: str
    also: list[str] = field(default_factory=list)
    negative: list[str] = field(default_factory=list)
    controls: dict[str, str] = field(default_factory=dict)


class _PromptAction(argparse.Action):
    """Collects --prompt, and --also and --negative for the prompt before them."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,  # noqa: ARG002  may be abbreviated
    ) -> None:
        option = self.option_strings[0]
        prompts: list[_GivenPrompt] = list(getattr(namespace, self.dest) or [])
        if option == "--prompt":
            prompts.append(_GivenPrompt(text=values))
        elif not prompts:
            parser.error(f"expected {option} after the --prompt that it belongs to")
        else:
            own = prompts[-1].also if option == "--also" else prompts[-1].negative
            own.append(values)
        setattr(namespace, self.dest, prompts)


class _ControlAction(argparse.Action):
    """Collects one control's option, for the prompt before it or, before any, for all."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002  argparse's signature
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        row: Control = self.const
        if row.kind == "bool":
            values = "off" if str(option_string).startswith("--no-") else "on"
        if row.scope == "channel" and namespace.prompts:
            namespace.prompts[-1].controls[row.name] = values
        else:
            namespace.controls = {**namespace.controls, row.name: values}


def add_prompt_options(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """--prompt TEXT (up to four), --also TEXT and --negative TEXT (for the prompt before)."""
    for name, text in (
        ("--prompt", 'the thing to key, also "person + dog - hair"; up to four, a matte '
                     "channel each"),
        ("--also", "a further thing in the matte of the prompt before"),
        ("--negative", "a thing to leave out of the matte of the prompt before"),
    ):  # fmt: skip
        parser.add_argument(
            name, dest="prompts", action=_PromptAction, metavar="TEXT",
            required=required and name == "--prompt", help=text,
        )  # fmt: skip


def prompts_from(arguments: argparse.Namespace) -> tuple[Prompt, ...]:
    """The prompts of add_prompt_options' arguments; PromptError for more than four too."""
    given: list[_GivenPrompt] = arguments.prompts or []
    prompts = tuple(Prompt.parse(p.text, also=p.also, negative=p.negative) for p in given)
    return PromptSet(prompts=prompts).prompts


def add_control_options(parser: argparse.ArgumentParser, *, without: Collection[str] = ()) -> None:
    """An option for each control but those `without`, next to add_prompt_options: given after
    a --prompt it is that prompt's, before any it holds for all."""
    group = parser.add_argument_group(
        "controls",
        "for the --prompt before, or for all prompts when given before any; "
        "px: of a picture 540 lines high",
    )
    parser.set_defaults(controls={})
    for row in (row for name, row in CONTROLS.items() if name not in without):
        option = "--" + row.name.replace("_", "-")
        switch = row.kind == "bool"
        group.add_argument(
            *((option, f"--no-{option[2:]}") if switch else (option,)),
            dest="controls", action=_ControlAction, const=row, nargs=0 if switch else None,
            metavar=None if switch else _range_text(row),
            help=f"{row.help}{row.unit and f', in {row.unit}'} "
            f"(default: {'off' if switch else row.default})",
        )  # fmt: skip


def controls_from(arguments: argparse.Namespace, controls: Controls) -> Controls:
    """These controls with add_control_options' arguments over them; ControlError."""
    controls = controls.replaced(parsed_controls(arguments.controls))
    for channel, prompt in enumerate(arguments.prompts or []):
        controls = controls.replaced(parsed_controls(prompt.controls), channel=channel)
    return controls


def parsed_controls(texts: Mapping[str, str]) -> dict[str, Value]:
    """The values that people typed for controls, by name; ControlError."""
    return {name: named_control(name).parsed(text) for name, text in texts.items()}


def _range_text(row: Control) -> str:
    if row.kind == "choice":
        return "|".join(row.choices)
    return f"{row.low:g}..{row.high:g}"


def checked_output(path: Path) -> Path:
    """The path of a file to write, whose folder is there; ConfigError before work is lost."""
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise ConfigError(f"expected a file in a folder that exists; got {path}")
    return path
