"""Times and memory of SAM's encoder and of a changed prompt, beside SamPredictor in the same run.

    python benchmarks/sam_encoder.py [--models b l h mobile] [--repeats N] [--device cuda]
        [--precisions fp32 bf16] [--compiled] > sam_encoder.json

A 1080p frame of noise; the weights are random, as times do not depend on them. Every row is
measured in a process of its own, after one pass to warm up. encode: a frame to its embedding.
decode 1 and 4: that many prompts of one point on an embedding, in one batch (SamPredictor: one
after the other through predict_torch). prompt change: tokens, decode and copy of the cropped
masks of 4 prompts, which is all that a new prompt costs on a cached embedding, its text aside;
naive frame: what SamPredictor does for one frame and one prompt, as keyers that call it per frame
do. peak_mb: of the card's memory, on a CPU of the process, its libraries included.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from promptmatte.bench.machine import machine
from promptmatte.models.device import choose_device
from promptmatte.models.sam import SamNetwork
from promptmatte.models.sam.architecture import sam_of
from promptmatte.models.sam.attention import WAYS, install
from promptmatte.models.sam.light import LightArchitecture, LightImageEncoder
from segment_anything import SamPredictor, sam_model_registry
from segment_anything.modeling import Sam

MODELS = ("b", "l", "h", "mobile")
MOBILE = LightArchitecture(
    widths=(64, 128, 160, 320),
    depths=(2, 2, 6, 2),
    heads=(1, 4, 5, 10),
    windows=(1, 7, 14, 7),
    mlp_ratio=4.0,
    dim=256,
)
FRAME_HW = (1080, 1920)
PROMPTS = (1, 4)

Milliseconds = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One thing to measure; attention is empty where there is no choice."""

    model: str
    by: str
    device: str
    repeats: int
    precision: str = "fp32"
    attention: str = ""
    compiled: bool = False


def rows(arguments: argparse.Namespace, device: str) -> list[Row]:
    """SamPredictor once for each model, then ours in every format and attention."""
    found = []
    for model in arguments.models:
        same = {"model": model, "device": device, "repeats": arguments.repeats}
        found.append(Row(by="SamPredictor", **same))
        ways = ("",) if model == "mobile" else tuple(WAYS)
        compiled = (False, True) if arguments.compiled else (False,)
        found += [
            Row(by="promptmatte", precision=precision, attention=way, compiled=also, **same)
            for precision, way, also in itertools.product(arguments.precisions, ways, compiled)
        ]
    return found


def sam(model: str) -> Sam:
    """A Sam with seeded random weights."""
    torch.manual_seed(0)
    if model == "mobile":
        with torch.device("meta"):
            weights = sam_model_registry["vit_b"]().state_dict()
        encoder = LightImageEncoder(MOBILE)
        encoder.eval().fuse()
        return sam_of(encoder, weights, side=encoder.img_size).eval()
    return sam_model_registry[f"vit_{model}"]()


def measured(row: Row) -> dict[str, Any]:
    """The figures of one row."""
    torch.set_grad_enabled(False)
    frame = np.random.default_rng(0).integers(0, 256, (*FRAME_HW, 3), dtype=np.uint8)
    cuda = row.device.startswith("cuda")
    found = peer(row, frame) if row.by == "SamPredictor" else ours(row, frame)
    peak_bytes = torch.cuda.max_memory_allocated() if cuda else resident_peak_bytes()
    return {
        "model": row.model,
        "by": row.by,
        "precision": row.precision,
        "attention": row.attention,
        **found,
        "peak_mb": None if peak_bytes is None else round(peak_bytes / 1e6),
    }


def peer(row: Row, frame: npt.NDArray[np.uint8]) -> dict[str, Any]:
    """segment_anything's own predictor."""
    predictor = SamPredictor(sam(row.model).to(row.device))
    xy = torch.full((1, 1, 2), 500.0, device=row.device)
    labels = torch.ones(1, 1, dtype=torch.int, device=row.device)
    place, one = np.array([[900.0, 500.0]]), np.array([1])

    def naive() -> None:
        predictor.set_image(frame)
        predictor.predict(place, one, multimask_output=True)

    return {
        "encode_ms": timed(row, lambda: predictor.set_image(frame)),
        **{
            f"decode_{count}_ms": timed(
                row,
                lambda: [predictor.predict_torch(xy, labels) for _ in range(count)],  # noqa: B023
            )
            for count in PROMPTS
        },
        "naive_frame_ms": timed(row, naive),
    }


def ours(row: Row, frame: npt.NDArray[np.uint8]) -> dict[str, Any]:
    """SamNetwork."""
    own = sam(row.model)
    network = SamNetwork(
        own, kind=row.model, device=row.device, precision=row.precision, compiled=row.compiled
    )
    if row.attention:
        install(own.image_encoder, row.attention)
    xy = torch.full((max(PROMPTS), 1, 2), 500.0, device=row.device)
    labels = torch.ones(max(PROMPTS), 1, dtype=torch.int, device=row.device)
    encode = timed(row, lambda: network.encode(frame))
    features = network.encode(frame)
    image, dense = features.embedding, network.no_mask
    sparse = network.points(xy, labels)

    def change() -> None:
        tokens = network.points(xy, labels)
        masks, _ = network.predict(image, sparse=tokens, dense=dense)
        network.lane.download(features.cropped(masks[:, 0]))

    return {
        "runs": network.encoder_way,
        "weights_mb": round(network.weight_bytes / 1e6),
        "encode_ms": encode,
        **{
            f"decode_{count}_ms": timed(
                row,
                lambda: network.predict(image, sparse=sparse[:count], dense=dense),  # noqa: B023
            )
            for count in PROMPTS
        },
        "prompt_change_ms": timed(row, change),
    }


def timed(row: Row, action: Callable[[], object]) -> Milliseconds:
    """p50 and p99 of the wall time of an action, the card's work included."""
    wait = torch.cuda.synchronize if row.device.startswith("cuda") else lambda: None
    times = []
    for _ in range(row.repeats + 1):
        start = time.perf_counter()
        action()
        wait()
        times.append(1e3 * (time.perf_counter() - start))
    return {f"p{p}": round(float(np.percentile(times[1:], p)), 2) for p in (50, 99)}


def resident_peak_bytes() -> int | None:
    """The most memory this process has had; None where that cannot be told."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def main() -> None:
    """Prints the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precisions", nargs="+", default=("fp32", "bf16", "fp16"))
    parser.add_argument("--compiled", action="store_true")
    arguments = parser.parse_args()
    device = choose_device(arguments.device)
    found = []
    for row in rows(arguments, device):
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context) as alone:
            found.append(alone.submit(measured, row).result())
    card = {"card": torch.cuda.get_device_name()} if device.startswith("cuda") else {}
    report = {
        "benchmark": "sam_encoder",
        **machine(),
        **card,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "frame": f"{FRAME_HW[1]}x{FRAME_HW[0]}",
        "repeats": arguments.repeats,
        "weights": "random",
        "rows": found,
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
