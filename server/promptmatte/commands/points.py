"""promptmatte points: the points of a depth camera that a matte covers, from files or live."""

from __future__ import annotations

import argparse
import math
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console

from promptmatte.commands.cut import (
    add_quality_option,
    cutter_from,
    ended_as_interrupted,
    tell_empty,
)
from promptmatte.commands.news import say
from promptmatte.commands.options import (
    DEFAULT_SESSION,
    Subparsers,
    add_control_options,
    add_model_options,
    add_prompt_options,
    checked_output,
    controls_from,
    prompts_from,
)
from promptmatte.commands.stopping import stop_event
from promptmatte.controls import Controls
from promptmatte.errors import ConfigError
from promptmatte.points.geometry import AXES, DepthCamera, Intrinsics
from promptmatte.prompts import PromptSet

if TYPE_CHECKING:
    import numpy.typing as npt

    from promptmatte.points.live import LivePoints
    from promptmatte.points.masked import Masker

OUTPUT_SUFFIXES = (".ply", ".npy", ".exr")
LIVE_KINDS = ("shm:", "touch:")
APART_MS = 25.0
NEWS_EVERY_S = 0.5


def add_parser(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """points."""
    parser = commands.add_parser(
        "points", help="key the points of a depth camera, from files or live",
        usage="promptmatte points COLOUR DEPTH --prompt TEXT -o OUT [options]\n"
        "       promptmatte points --xyz ADDRESS [--link ADDRESS] [options]",
    )  # fmt: skip
    parser.add_argument("colour", nargs="?", type=Path, metavar="COLOUR", help="a picture")
    parser.add_argument("depth", nargs="?", type=Path, metavar="DEPTH",
                        help="its depth (.png, .tiff, .exr, .npy), or x, y, z as three or four "
                        "float channels, of the same view")  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, metavar="OUT",
                        help=".ply, or the masked texture as .npy or .exr")  # fmt: skip
    parser.add_argument("--min-alpha", type=float, default=0.5, metavar="A",
                        help="the least alpha of a point to keep, 0 to 1 "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--only", type=int, metavar="N",
                        help="with several prompts, the number of the one whose points to keep "
                        "(default: any)")  # fmt: skip
    _add_depth_options(parser)
    _add_live_options(parser)
    add_prompt_options(parser, required=False)
    add_quality_option(parser)
    add_model_options(parser)
    add_control_options(parser, without=("fill", "latency"))
    parser.set_defaults(run=run)


def _add_depth_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("depth", "for depth images; XYZ is kept as it is")
    lens = group.add_mutually_exclusive_group()
    lens.add_argument("--fov", type=float, metavar="DEG", help="horizontal field of view")
    lens.add_argument("--intrinsics", metavar="FX,FY,CX,CY", help="in pixels of the depth image")
    group.add_argument("--depth-unit", type=float, metavar="M",
                       help="metres a unit of depth (default: 0.001 for whole numbers, 1 for "
                       "floats)")  # fmt: skip
    group.add_argument("--axes", choices=tuple(AXES),
                       help="opencv: x right, y down, z away from the camera; opengl: x right, y "
                       "up, z towards it, as in TouchDesigner (default: opencv)")  # fmt: skip


def _add_live_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("live", "beside a running server")
    group.add_argument("--xyz", metavar="ADDRESS",
                       help="where rgba32f frames are sent to: shm:NAME, or touch:NAME for a "
                       "Shared Mem Out TOP; depth in red with --fov or --intrinsics")  # fmt: skip
    group.add_argument("--link", metavar="ADDRESS",
                       help=f"the server's, for its mattes: shm:NAME or zmq:tcp://... (default: "
                       f"{DEFAULT_SESSION})")  # fmt: skip
    group.add_argument("--out", metavar="ADDRESS",
                       help="where the masked texture goes: shm:NAME or touch:NAME "
                       "(default: back over --xyz)")  # fmt: skip
    group.add_argument("--ply", type=Path, metavar="FILE",
                       help="keep the newest cloud here, once a second at most; in colour when the "
                       "server's control fill is on")  # fmt: skip
    group.add_argument("--apart", type=float, metavar="MS",
                       help="the longest time between the captures of XYZ and matte, where their "
                       f"numbers differ (default: {APART_MS:g})")  # fmt: skip
    group.add_argument("--seconds", type=float, metavar="N", help="stop after N seconds")


def run(arguments: argparse.Namespace) -> int:
    """Writes the points of two files, or passes points on until it is stopped."""
    from promptmatte.points.masked import Masker

    masker = Masker(min_alpha=arguments.min_alpha, prompt=arguments.only)
    camera = _camera_from(arguments)
    if arguments.xyz is None:
        return _run_files(arguments, masker, camera)
    return _run_live(arguments, masker, camera)


def _camera_from(arguments: argparse.Namespace) -> DepthCamera | None:
    """The depth camera of the arguments, None without a lens; ConfigError."""
    lens = arguments.fov
    if arguments.intrinsics is not None:
        lens = Intrinsics.parsed(arguments.intrinsics)
    if lens is None:
        if arguments.axes is not None or arguments.depth_unit is not None:
            raise ConfigError(
                "expected --fov or --intrinsics with --axes and --depth-unit; got neither: they "
                "are for depth images, XYZ is kept as it is"
            )
        return None
    return DepthCamera(lens=lens, axes=arguments.axes or "opencv", unit_m=arguments.depth_unit)


def _run_files(arguments: argparse.Namespace, masker: Masker, camera: DepthCamera | None) -> int:
    live = {name: getattr(arguments, name) for name in ("link", "out", "ply", "apart", "seconds")}
    for name, value in live.items():
        if value is not None:
            raise ConfigError(f"expected --xyz ADDRESS with --{name}; got no --xyz")
    if None in (arguments.colour, arguments.depth, arguments.output):
        raise ConfigError(
            "expected COLOUR DEPTH --prompt TEXT -o OUT for files, or --xyz ADDRESS for live "
            "frames; see promptmatte points --help"
        )
    prompts = PromptSet(version=1, prompts=prompts_from(arguments))
    if not prompts.prompts:
        raise ConfigError("expected --prompt TEXT, the thing whose points to keep; got none")
    output = checked_output(arguments.output)
    if output.suffix.lower() not in OUTPUT_SUFFIXES:
        raise ConfigError(
            f"expected an output ending in {', '.join(OUTPUT_SUFFIXES)}; got {output.name!r}"
        )
    for path in (arguments.colour, arguments.depth):
        if output.exists() and path.exists() and output.samefile(path):
            raise ConfigError(f"expected an output other than the input; got {output} for both")

    from promptmatte.commands.whole_file import whole_file
    from promptmatte.points.depth_file import read_points
    from promptmatte.points.masked import fit_into
    from promptmatte.sources.image import read_image

    controls = controls_from(arguments, Controls())
    picture = read_image(arguments.colour)
    points = read_points(arguments.depth, camera)
    console = Console()
    cutter = cutter_from(arguments, prompts, controls, console)
    with ended_as_interrupted(), whole_file(output) as partial:
        frame, matte = cutter.picture(picture)
        texture = masker.masked(points, np.asarray(matte.alpha, np.uint8))
        colours = np.empty((*texture.shape[:2], 3), np.uint8)
        fit_into(np.asarray(frame.pixels, np.uint8), colours)
        _write(partial, texture, colours)
    kept = np.count_nonzero(texture[..., 2])
    told = f"wrote {output}: {kept} of {texture[..., 2].size} points"
    console.print(told, markup=False, highlight=False, soft_wrap=True)
    tell_empty(console, arguments.colour.name, prompts, cutter.confidence, controls)
    return 0


def _write(path: Path, texture: npt.NDArray[np.float32], colours: npt.NDArray[np.uint8]) -> None:
    """Writes a masked texture as what its name says."""
    match path.suffix.lower():
        case ".npy":
            np.save(path, texture)
        case ".exr":
            from promptmatte.points.exr import encoded_exr

            path.write_bytes(encoded_exr(texture))
        case _:
            from promptmatte.points.ply import vertices_of, write_ply

            write_ply(path, vertices_of(texture, colours))


def _run_live(arguments: argparse.Namespace, masker: Masker, camera: DepthCamera | None) -> int:
    if arguments.colour is not None or arguments.output is not None:
        raise ConfigError("expected no files with --xyz; got some: --ply FILE keeps a live cloud")
    if arguments.prompts or arguments.controls:
        raise ConfigError(
            "expected no prompts and controls with --xyz; got some: the server has them, "
            "`promptmatte prompt` and `promptmatte set` change them"
        )
    stop = stop_event()
    console = Console(stderr=True)
    with ExitStack() as stack:
        live = _live_points(arguments, masker, camera, stack)
        try:
            _work(live, stop, arguments.seconds, console)
        finally:
            live.close()
    counts = live.counts
    console.print(
        f"points: {counts.paired} pictures went out; of the XYZ frames {counts.overtaken} were "
        f"overtaken, {counts.unpaired} left without a matte, {live.rejected} refused",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
    return 0


def _live_points(
    arguments: argparse.Namespace,
    masker: Masker,
    camera: DepthCamera | None,
    stack: ExitStack,
) -> LivePoints:
    """The live points of the arguments, whose links the stack closes; ConfigError, LinkError."""
    from promptmatte.clock import RealClock
    from promptmatte.links import normalized_address, open_client_link, open_server_link
    from promptmatte.points.cloud_file import CloudFile
    from promptmatte.points.inputs import MatteInput, XyzInput
    from promptmatte.points.live import LivePoints
    from promptmatte.points.pairing import Pairing

    apart_ms = APART_MS if arguments.apart is None else arguments.apart
    if not 0 <= apart_ms < math.inf:
        raise ConfigError(f"expected --apart as milliseconds from 0; got {apart_ms:g}")
    server, xyz, out = (
        normalized_address(address)
        for address in (
            arguments.link or DEFAULT_SESSION, arguments.xyz, arguments.out or arguments.xyz,
        )
    )  # fmt: skip
    for option, address in (("--xyz", xyz), ("--out", out)):
        if not address.startswith(LIVE_KINDS):
            raise ConfigError(f"expected {option} as shm:NAME or touch:NAME; got {address}")
        if address == server:
            raise ConfigError(
                f"expected a name of its own for {option}; got that of the server: {address}"
            )
    ply = arguments.ply and checked_output(arguments.ply)
    if ply and ply.suffix.lower() != ".ply":
        raise ConfigError(f"expected --ply with a name ending in .ply; got {ply.name!r}")
    opened = {}
    for address in dict.fromkeys((xyz, out)):
        opened[address] = open_server_link(address)
        stack.callback(opened[address].close)
    link = open_client_link(server)
    stack.callback(link.close)
    return LivePoints(
        mattes=MatteInput(link, with_fill=ply is not None),
        xyz=XyzInput(opened[xyz]),
        send=opened[out].send_matte,
        masker=masker,
        pairing=Pairing(apart_ns=round(apart_ms * 1e6)),
        clock=RealClock(),
        camera=camera,
        cloud_file=CloudFile(ply) if ply else None,
    )


def _work(live: LivePoints, stop: threading.Event, seconds: float | None, console: Console) -> None:
    deadline_s = time.monotonic() + (math.inf if seconds is None else seconds)
    news_s = 0.0
    while not stop.is_set() and (now_s := time.monotonic()) < deadline_s:
        live.step()
        if now_s >= news_s:
            news_s = now_s + NEWS_EVERY_S
            news = live.news()
            if news is not None:
                say(console, news)
