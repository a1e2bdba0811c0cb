"""The doctor's checks of this machine, each a function that never raises."""

from __future__ import annotations

import errno
import platform
import secrets
import socket
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from promptmatte_shm import ClientSession, FrameInfo, Matte, ServerSession, ShmError

from promptmatte import __version__
from promptmatte.errors import ModelError

CAMERA_S = 15.0
PORTS = {
    5570: ("ZeroMQ control", socket.SOCK_STREAM),
    5571: ("ZeroMQ mattes", socket.SOCK_STREAM),
    5572: ("ZeroMQ frames", socket.SOCK_STREAM),
    5573: ("OSC", socket.SOCK_DGRAM),
    7860: ("web page", socket.SOCK_STREAM),
}
CODECS = {
    "prores_ks": "promptmatte cut to .mov",
    "libvpx-vp9": "promptmatte cut to .webm",
    "libx264": "a small demo.mp4",
}
MATTE_HW = (1080, 1920)

# In a process of its own: drivers write to stderr, and some never return.
CAMERA_PROBE = """
import cv2
capture = cv2.VideoCapture(0)
ok, picture = capture.read()
if ok:
    print(f"{picture.shape[1]}x{picture.shape[0]}")
capture.release()
"""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line: state is ok, note (works without) or problem (the server does not work)."""

    name: str
    state: str
    found: str
    remedy: str = ""


def run_checks() -> list[Check]:
    """Every check, in the order to mend things in."""
    return [
        _python(),
        _promptmatte(),
        *_torch(),
        _weights(),
        _shared_memory(),
        *(_port(number) for number in PORTS),
        _camera(),
        _photographs(),
        *(_codec(name) for name in CODECS),
    ]


def _python() -> Check:
    found = f"{platform.python_version()} on {platform.platform(terse=True)}"
    return Check(name="python", state="ok", found=found)


def _promptmatte() -> Check:
    where = Path(__file__).parent.parent
    return Check(name="promptmatte", state="ok", found=f"{__version__} in {where}")


def _torch() -> list[Check]:
    """That torch and the model's libraries import, and which device they will use."""
    try:
        import torch

        import promptmatte.models.embedded  # noqa: F401  brings torchvision, timm, onnxruntime
        from promptmatte.models.device import choose_device, gpu_advice

        device, advice = choose_device(), gpu_advice()
    except Exception as error:  # noqa: BLE001  broken builds of torch raise anything
        return [
            Check(
                name="torch",
                state="problem",
                found=_one_line(error),
                remedy="install torch and torchvision together: python -m uv pip install "
                "--reinstall torch torchvision --torch-backend=auto",
            )
        ]
    found = device
    if device == "cuda":
        found = f"cuda: {torch.cuda.get_device_name()}"
    return [
        Check(name="torch", state="ok", found=f"{torch.__version__}, {_version('torchvision')}"),
        Check(name="device", state="note" if advice else "ok", found=found, remedy=advice or ""),
    ]


def _weights() -> Check:
    try:
        from promptmatte.models.embedded import load_network, weights_path

        path = weights_path()
        load_network(path)
    except ModelError as error:
        return Check(
            name="model embedded",
            state="problem",
            found=_one_line(error),
            remedy="install promptmatte again, or give your own weights with --weights",
        )
    except Exception as error:  # noqa: BLE001  see torch
        return Check(name="model embedded", state="problem", found=_one_line(error))
    found = f"{path.stat().st_size / 1e6:.1f} MB, {path}"
    return Check(name="model embedded", state="ok", found=found)


def _shared_memory() -> Check:
    """That a 1080p matte crosses from one session end to another and nothing stays behind."""
    name = f"doctor-{secrets.token_hex(4)}"
    alpha = np.random.default_rng(0).integers(0, 256, (*MATTE_HW, 1), np.uint8)
    matte = Matte(
        info=FrameInfo(stream_id=1, seq=7, pts_ns=0, captured_ns=0),
        alpha=alpha, anchor_seq=7, age_ms=0.0, confidence=(1.0,), prompts_version=1,
    )  # fmt: skip
    try:
        with ClientSession(name) as client:
            with ServerSession(name) as server:
                client.latest_matte()
                server.send_matte(matte)
                received = client.latest_matte(5.0)
            if received is None or not np.array_equal(received.alpha, alpha):
                raise ShmError("a matte that was written could not be read")
        with ClientSession(name) as late:
            if late.latest_matte() is not None:
                raise ShmError("a closed session can still be read")
    except (ShmError, OSError) as error:
        return Check(
            name="shared memory",
            state="problem",
            found=_one_line(error),
            remedy="give it room (in a container: docker run --shm-size=1g), or use --out zmq:",
        )
    return Check(name="shared memory", state="ok", found="a 1920x1080 matte written and read")


def _port(number: int) -> Check:
    purpose, kind = PORTS[number]
    name = f"port {number}"
    with socket.socket(socket.AF_INET, kind) as listener:
        if sys.platform == "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        elif kind == socket.SOCK_STREAM:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", number))
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            return Check(
                name=name,
                state="note",
                found=f"{purpose}: {'in use' if taken else _one_line(error)}",
                remedy="a PromptMatte server may be running; else end the other program "
                "or serve with other ports",
            )
    return Check(name=name, state="ok", found=f"{purpose}: free")


def _camera() -> Check:
    remedy = (
        "to use a camera: connect it, allow this program to use it (privacy settings) "
        "and close other programs that do"
    )
    try:
        probe = subprocess.run(
            [sys.executable, "-c", CAMERA_PROBE],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=CAMERA_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        found = f"camera:0 gives no picture in {CAMERA_S:g} s"
        return Check(name="camera", state="note", found=found, remedy=remedy)
    size = probe.stdout.decode(errors="replace").strip()
    if size:
        return Check(name="camera", state="ok", found=f"camera:0, {size}")
    return Check(name="camera", state="note", found="none", remedy=remedy)


def _photographs() -> Check:
    name = "scikit-image"
    if find_spec("skimage") is not None:
        return Check(name=name, state="ok", found=f"{_version(name)}, the demo's photographs")
    return Check(
        name=name,
        state="note",
        found="missing: no demo and no test: source",
        remedy='pip install "promptmatte[demo]"',
    )


def _codec(encoder: str) -> Check:
    name = f"encoder {encoder}"
    try:
        import av
    except Exception as error:  # noqa: BLE001  as with torch
        return Check(name=name, state="problem", found=_one_line(error), remedy="install av again")
    if encoder in av.codecs_available:
        return Check(name=name, state="ok", found=f"PyAV {av.__version__}")
    return Check(
        name=name,
        state="note",
        found=f"missing from PyAV {av.__version__}: no {CODECS[encoder]}",
        remedy="install PyAV from the package registry: pip install --force-reinstall av",
    )


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} missing"


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
