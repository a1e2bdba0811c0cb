"""Errors and times of alpha fitted to edges, beside simpler and slower ways.

    python benchmarks/edges.py [--data FOLDER] [--pictures FOLDER] > edges.json

The true alpha of composites is shrunk to the size of the matte loop's masks and spoilt as
propagation and models do: soft (blurred), shifted (by 1.4 pixels of the mask, blurred) or
coarse (thresholded at a quarter of the size). ways: enlarge (bilinear), luma_filter (the
guided filter that this replaced), grey and colour (EdgeRefiner on the grey and on the true
picture), closed_form (closed_form_alpha on colour), pymatting (its estimate_alpha_cf, where
installed, on some of the composites, with closed_form_of_these beside it).
In the band of unknown pixels: sad (sum of absolute differences / 1000), mse (x 1000), grad
(sum of squared differences of gradient lengths); iou at half; stray: share in thousands of
pixels away from it that are not exactly 0 or 255. foreground: mean error of premultiplied
colours, beside the frame's own. ms: medians of rounds in which the ways take turns.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from composites import Composite, composites
from promptmatte.bench.machine import machine
from promptmatte.commands.cut_best import about_edge
from promptmatte.config import PipelineConfig
from promptmatte.frame import Frame, FrameInfo
from promptmatte.matte.closed_form import closed_form_alpha
from promptmatte.matte.edges import EdgeRefiner
from promptmatte.matte.foreground import premultiplied_foreground
from promptmatte.matte.luma import Luma

Alpha = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.float32]
Way = Callable[[Mask, Luma], Alpha]

SIZE_HW = (540, 960)
TIMED_HW = ((540, 960), (1080, 1920))
SPOILT = ("soft", "shifted", "coarse")
INFO = FrameInfo(stream_id=1, seq=0, pts_ns=0, captured_ns=0)
PYMATTING_EVERY = 7
REFINER = EdgeRefiner()


def enlarge(mask: Mask, luma: Luma) -> Alpha:
    """Bilinear enlarging alone."""
    height, width = luma.size_hw
    return cv2.merge([cv2.resize(np.uint8(255 * plane), (width, height)) for plane in mask])


def luma_filter(mask: Mask, luma: Luma) -> Alpha:
    """A fast guided filter on brightness, everywhere in the frame."""
    cut, size_wh = 0.1, luma.size_hw[::-1]
    full = cv2.cvtColor(luma.pixels, cv2.COLOR_RGB2GRAY)
    guide = luma.small.astype(np.float32)
    mean = _mean(guide)
    spread = _mean(guide * guide) - mean * mean + np.float32((0.02 * 255) ** 2)
    planes = []
    for plane in mask:
        plane_mean = _mean(plane)
        gain = (_mean(plane * guide) - plane_mean * mean) / spread
        bias = _mean(plane_mean - gain * mean) - cut
        stretch = 255 / (1 - 2 * cut)
        gained = cv2.resize(_mean(gain) * stretch, size_wh)
        cv2.multiply(gained, full, dst=gained, dtype=cv2.CV_32F)
        planes.append(cv2.add(gained, cv2.resize(bias * stretch, size_wh), dtype=cv2.CV_8U))
    return cv2.merge(planes)


def colour(mask: Mask, luma: Luma) -> Alpha:
    """What the matte loop uses."""
    return REFINER.refine(mask, luma)


def grey(mask: Mask, luma: Luma) -> Alpha:
    """The same, guided by brightness."""
    brightness = cv2.cvtColor(luma.pixels, cv2.COLOR_RGB2GRAY)
    pixels = cv2.cvtColor(brightness, cv2.COLOR_GRAY2RGB)
    return REFINER.refine(mask, Luma.of(Frame(info=INFO, pixels=pixels), _side(luma)))


def closed_form(mask: Mask, luma: Luma) -> Alpha:
    """As in cut --quality best."""
    alpha = np.ascontiguousarray(colour(mask, luma)[..., 0])
    return closed_form_alpha(luma.pixels, alpha, about_edge(alpha))


def pymatting(mask: Mask, luma: Luma) -> Alpha:
    """The library's closed-form matting, in the same band."""
    from pymatting import estimate_alpha_cf

    alpha = np.ascontiguousarray(colour(mask, luma)[..., 0])
    trimap = np.where(about_edge(alpha), 0.5, alpha > 127)
    return np.uint8(np.rint(255 * estimate_alpha_cf(luma.pixels / 255, trimap)))


WAYS: dict[str, Way] = {
    way.__name__: way for way in (enlarge, luma_filter, grey, colour, closed_form)
}


def spoilt(alpha: Mask, size_hw: tuple[int, int], how: str) -> Mask:
    """A mask as the matte loop would have it, float32 [1, h, w]."""
    height, width = size_hw
    small = cv2.resize(alpha, (width, height), interpolation=cv2.INTER_AREA)
    if how == "coarse":
        tiny = cv2.resize(alpha, (width // 4, height // 4), interpolation=cv2.INTER_AREA)
        small = cv2.resize((tiny > 0.5).astype(np.float32), (width, height))
    elif how == "shifted":
        shift = np.array([[1, 0, 1.2], [0, 1, -0.8]])
        small = cv2.warpAffine(small, shift, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.GaussianBlur(small, (0, 0), 1), np.float32)[np.newaxis]


def errors(alpha: Alpha, truth: Mask) -> dict[str, float]:
    """See above."""
    reach = 2 * round(len(truth) / 54) + 1
    soft = ((truth > 0.02) & (truth < 0.98)).astype(np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    unknown = cv2.dilate(soft, disc) > 0
    found = alpha.reshape(truth.shape)
    share = found.astype(np.float32) / 255
    difference = np.abs(share - truth)[unknown]
    steepness = (_steepness(share) - _steepness(truth))[unknown]
    inside, real = share >= 0.5, truth >= 0.5
    return {
        "sad": float(difference.sum()) / 1e3,
        "mse": float((difference**2).mean()) * 1e3,
        "grad": float((steepness**2).sum()),
        "iou": float((inside & real).sum() / (inside | real).sum()),
        "stray": float(((found > 0) & (found < 255) & ~unknown).mean()) * 1e3,
    }


def foreground_errors(composite: Composite) -> dict[str, float]:
    """Of premultiplied colours where alpha is soft, with the true alpha."""
    alpha = np.rint(255 * composite.alpha).astype(np.uint8)
    share = (alpha / 255)[..., np.newaxis]
    soft = (alpha > 0) & (alpha < 255)
    ours = premultiplied_foreground(composite.pixels, alpha)[..., :3]
    truth = composite.colours * share
    return {
        name: float(np.abs(colours - truth)[soft].mean())
        for name, colours in (("blur_fusion", ours), ("frame", composite.pixels * share))
    }


def measured(data: Path | None, pictures: Path | None, side_px: int) -> dict[str, Any]:
    """Mean errors of every way: of all, by look and by what was done to the mask."""
    rows: defaultdict[str, list[dict[str, float]]] = defaultdict(list)
    colours = []
    for index, composite in enumerate(composites(SIZE_HW, data)):
        luma = Luma.of(Frame(info=INFO, pixels=composite.pixels), side_px)
        colours.append(foreground_errors(composite))
        for how in SPOILT:
            mask = spoilt(composite.alpha, luma.small.shape, how)
            alphas = {name: way(mask, luma) for name, way in WAYS.items()}
            if index % PYMATTING_EVERY == 0 and how == "soft" and _has_pymatting():
                alphas["pymatting"] = pymatting(mask, luma)
                alphas["closed_form_of_these"] = alphas["closed_form"]
            _, look, ground = composite.name.split()
            for name, alpha in alphas.items():
                found = errors(alpha, composite.alpha)
                for group in ("all", look, how, *({ground} & {"alike", "dark"})):
                    rows[f"{group}/{name}"].append(found)
            if pictures is not None and how == "soft":
                _show(pictures, composite, alphas)
    report: dict[str, Any] = defaultdict(dict)
    for key, found in rows.items():
        group, name = key.split("/")
        report[group][name] = _means(found)
    return {"composites": len(colours), "errors": report, "foreground": _means(colours)}


def timed(size_hw: tuple[int, int], prompts: int, side_px: int, rounds: int) -> dict[str, Any]:
    """Median ms of the fast ways."""
    two = [c for c in composites(size_hw) if c.name.endswith("hair coffee")]
    luma = Luma.of(Frame(info=INFO, pixels=two[0].pixels), side_px)
    masks = [spoilt(c.alpha, luma.small.shape, "soft") for c in two]
    masks += [mask[..., ::-1] for mask in masks]
    mask = np.ascontiguousarray(np.concatenate(masks)[:prompts])
    alpha = np.rint(255 * two[0].alpha).astype(np.uint8)
    actions = {name: lambda way=way: way(mask, luma) for name, way in WAYS.items()}
    actions.pop("closed_form")
    actions.pop("grey")
    actions["empty"] = lambda: colour(np.zeros_like(mask), luma)
    actions["premultiplied_foreground"] = lambda: premultiplied_foreground(luma.pixels, alpha)
    times: defaultdict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for name, action in actions.items():
            start_ns = time.perf_counter_ns()
            action()
            times[name].append((time.perf_counter_ns() - start_ns) / 1e6)
    ms = {name: round(float(np.median(values)), 3) for name, values in times.items()}
    return {"size": f"{size_hw[1]}x{size_hw[0]}", "prompts": prompts, "ms": ms}


def _show(folder: Path, composite: Composite, alphas: dict[str, Alpha]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    planes = [np.uint8(255 * composite.alpha), *(alphas[n][:, :].squeeze() for n in WAYS)]
    strip = [composite.pixels[..., ::-1], *(cv2.merge([plane] * 3) for plane in planes)]
    name = f"{composite.name.replace(' ', '-')}.png"
    cv2.imwrite(str(folder / name), np.hstack([picture[:300, 200:760] for picture in strip]))


def _has_pymatting() -> bool:
    from importlib.util import find_spec

    return find_spec("pymatting") is not None


def _means(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: round(float(np.mean([row[name] for row in rows])), 4) for name in rows[0]}


def _mean(values: Mask) -> Mask:
    return np.asarray(cv2.blur(values, (7, 7), borderType=cv2.BORDER_REFLECT), np.float32)


def _steepness(alpha: Mask) -> Mask:
    smooth = cv2.GaussianBlur(alpha, (0, 0), 1.4)
    across, down = (cv2.Sobel(smooth, cv2.CV_32F, *axis, scale=1 / 8) for axis in ((1, 0), (0, 1)))
    return np.asarray(cv2.magnitude(across, down), np.float32)


def _side(luma: Luma) -> int:
    return max(luma.small.shape)


def main() -> None:
    """Prints the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="a folder of .jpg photographs for grounds")
    parser.add_argument("--pictures", type=Path, help="a folder for strips of the results")
    parser.add_argument("--rounds", type=int, default=60)
    arguments = parser.parse_args()
    side_px = PipelineConfig().flow_side_px
    report = {
        "benchmark": "edges",
        **machine(),
        "opencv": cv2.__version__,
        "mask_side_px": side_px,
        **measured(arguments.data, arguments.pictures, side_px),
        "runs": [timed(s, p, side_px, arguments.rounds) for s in TIMED_HW for p in (1, 4)],
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
