"""promptmatte bench: how fast it is on this machine, and beside others."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from promptmatte.commands.options import (
    Subparsers,
    add_model_options,
    checked_output,
    choice_from,
    model_options,
)
from promptmatte.errors import ConfigError

if TYPE_CHECKING:
    from promptmatte.bench.report import Report

STDOUT = Path("-")


def add_parser(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """bench and what it measures."""
    parser = commands.add_parser("bench", help="measure how fast it is here, and beside others")
    kinds = parser.add_subparsers(metavar="WHAT", required=True)
    links = _kind(kinds, "links", _links, "shared memory and ZeroMQ from process to process")
    links.add_argument("--rounds", type=int, default=200, metavar="N", help="mattes of each link")
    links.add_argument("--flood", type=float, default=2.0, metavar="S",
                       help="seconds of sending at full speed")  # fmt: skip
    model = _kind(kinds, "model", _model, "encode and decode of a model by itself")
    model.add_argument("--rounds", type=int, default=50, metavar="N")
    add_model_options(model)
    matte = _kind(kinds, "matte", _matte, "what a frame costs between two encodes, by stages")
    matte.add_argument("--rounds", type=int, default=150, metavar="N", help="frames")
    matte.add_argument("--prompts", type=int, action="append", choices=range(1, 5), metavar="N",
                       help="how many; may be repeated (default: 1 and 4)")  # fmt: skip
    live = _kind(kinds, "end-to-end", _end_to_end, "a server between a sender and a reader")
    live.add_argument("--seconds", type=float, default=20.0, metavar="S")
    live.add_argument("--warm-up", type=float, default=5.0, metavar="S")
    live.add_argument("--fps", type=float, default=60.0, metavar="F", help="frames sent a second")
    live.add_argument("--prompt", action="append", metavar="TEXT", help="(default: person)")
    live.add_argument("--encode-hz", type=float, action="append", metavar="H",
                      help="may be repeated (default: the server's)")  # fmt: skip
    _add_clip(live)
    add_model_options(live)
    _add_peers(kinds)


def _add_peers(kinds: Subparsers[argparse.ArgumentParser]) -> None:
    peers = _kind(kinds, "peers", _peers, "other models and PromptMatte on the same frames")
    peers.add_argument("--frames", type=int, default=60, metavar="N",
                       help="shown to each, after one that is not counted")  # fmt: skip
    peers.add_argument("--limit", type=float, default=60.0, metavar="S",
                       help="begin no more frames after so many seconds (default: 60)")  # fmt: skip
    peers.add_argument("--only", action="append", metavar="NAME",
                       help="only those whose name contains it; may be repeated")  # fmt: skip
    _add_clip(peers)


def _kind(
    kinds: Subparsers[argparse.ArgumentParser],
    name: str,
    measure: Callable[[argparse.Namespace, Console], Report],
    about: str,
) -> argparse.ArgumentParser:
    parser = kinds.add_parser(name, help=about, description=about)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write it as JSON; - to print it")
    parser.add_argument(
        "--size", dest="sizes", action="append", metavar="WxH",
        help="of the frames"
        + ("; may be repeated" if name in ("links", "matte") else " (default: 960x540)"),
    )  # fmt: skip
    parser.set_defaults(run=run, measure=measure, what=name)
    return parser


def _add_clip(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pictures", type=Path, metavar="PATH",
                        help="a video file or folder (default: the test pictures)")  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Measures, shows tables, writes JSON."""
    if arguments.json and arguments.json != STDOUT:
        checked_output(arguments.json)
    for name in ("rounds", "flood", "seconds", "fps", "frames", "limit"):
        value = getattr(arguments, name, 1)
        if not 0 < value < float("inf"):
            raise ConfigError(f"expected --{name} above 0; got {value:g}")
    clip = getattr(arguments, "pictures", None)
    if clip is not None and not clip.exists():
        raise ConfigError(f"expected a video file or a folder of pictures; there is no {clip}")
    report = arguments.measure(arguments, Console(stderr=True))
    if arguments.json:
        report.write(arguments.json)
    if arguments.json != STDOUT:
        from promptmatte.bench.terminal import shown

        console = Console()
        for part in shown(report):
            console.print(part)
    return 0


def _command() -> str:
    """What was typed."""
    return f"promptmatte {shlex.join(sys.argv[1:])}"


def _sizes(arguments: argparse.Namespace) -> list[tuple[int, int]]:
    from promptmatte.bench.size import parsed_size

    return [parsed_size(text) for text in arguments.sizes or ()]


def _size(arguments: argparse.Namespace) -> tuple[int, int]:
    sizes = _sizes(arguments) or [(540, 960)]
    if len(sizes) > 1:
        raise ConfigError(f"expected one --size for {arguments.what}; got {len(sizes)}")
    return sizes[0]


def _links(arguments: argparse.Namespace, talk: Console) -> Report:
    from promptmatte.bench import links

    with talk.status("measuring") as status:
        return links.report(
            _command(),
            sizes_hw=_sizes(arguments) or links.SIZES_HW,
            rounds=arguments.rounds,
            flood_s=arguments.flood,
            tell=status.update,
        )


def _model(arguments: argparse.Namespace, talk: Console) -> Report:
    size_hw, choice = _size(arguments), choice_from(arguments)
    with talk.status("measuring"):
        from promptmatte.bench import model

        return model.report(_command(), choice, size_hw=size_hw, rounds=arguments.rounds)


def _matte(arguments: argparse.Namespace, talk: Console) -> Report:
    sizes_hw = _sizes(arguments)
    with talk.status("measuring"):
        from promptmatte.bench import matte

        return matte.report(
            _command(),
            sizes_hw=sizes_hw or matte.SIZES_HW,
            prompt_counts=arguments.prompts or (1, 4),
            rounds=arguments.rounds,
        )


def _end_to_end(arguments: argparse.Namespace, talk: Console) -> Report:
    size_hw, choice = _size(arguments), choice_from(arguments)
    with talk.status("measuring"):
        from promptmatte.bench import end_to_end

        settings = [
            end_to_end.Setting(
                size_hw=size_hw,
                fps=arguments.fps,
                prompts=arguments.prompt or ("person",),
                encode_hz=hz,
                seconds=arguments.seconds,
                warm_up_s=arguments.warm_up,
                clip=arguments.pictures,
                options=model_options(choice),
            )
            for hz in arguments.encode_hz or (None,)
        ]
        return end_to_end.report(_command(), settings)


def _peers(arguments: argparse.Namespace, talk: Console) -> Report:
    from promptmatte.bench import peers

    size_hw = _size(arguments)
    chosen = peers.chosen(arguments.only or ())
    with talk.status("measuring") as status:
        return peers.report(
            _command(),
            chosen,
            size_hw=size_hw,
            frames=arguments.frames,
            limit_s=arguments.limit,
            clip=arguments.pictures,
            tell=status.update,
        )
