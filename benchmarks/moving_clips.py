"""Writes seeded test clips with known mattes, for promptmatte eval --live.

Things cut out of photographs are moved, turned, bent, blurred, hidden and lit by strobe
before other photographs, under a moving camera. Without --data they are the astronaut and
the cat of scikit-image; with it, the held-out photographs of a folder of data sets.

    python benchmarks/moving_clips.py OUT --seed 1 --count 10
    promptmatte eval OUT --live --oracle --fps 30 --encode-hz 5 --encode-ms 120
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from promptmatte.training.clip_store import drawn_clip
from promptmatte.training.cut_outs import Photographs, shipped_things
from promptmatte.training.moving_clips import Hardness, MovingClip


def shipped_clip(seed: int, hardness: Hardness) -> MovingClip:
    """A clip of the photographs in scikit-image."""
    rng = np.random.default_rng(seed)
    things, grounds = shipped_things()
    order = rng.permutation(len(things))[: 1 + int(rng.random() < 0.5)]
    return MovingClip(
        seed,
        things=[things[index] for index in order],
        backgrounds=[grounds[index] for index in rng.permutation(len(grounds))[:2]],
        hardness=hardness,
    )


def write(clip: MovingClip, folder: Path, name: str, *, frames: int) -> None:
    """images/NAME/0000.jpg and masks/NAME/0000.png; 255 where the thing covers half a pixel."""
    images, masks = folder / "images" / name, folder / "masks" / name
    for path in (images, masks):
        path.mkdir(parents=True, exist_ok=True)
    for index in range(frames):
        pixels, truth = clip.frame_at(index)
        bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
        packed = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
        (images / f"{index:04d}.jpg").write_bytes(packed.tobytes())
        packed = cv2.imencode(".png", np.where(truth > 0.5, 255, 0).astype(np.uint8))[1]
        (masks / f"{index:04d}.png").write_bytes(packed.tobytes())


def main() -> None:
    """Writes the clips."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--data", type=Path, metavar="DIR", help="a folder of data sets")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--cut", action="store_true", help="with a cut to another ground")
    arguments = parser.parse_args()
    hardness = Hardness(cut=1.0 if arguments.cut else 0.0)
    photographs = Photographs.of(arguments.data, held_out=True) if arguments.data else None
    for seed in range(arguments.seed, arguments.seed + arguments.count):
        if photographs is None:
            clip = shipped_clip(seed, hardness)
        else:
            clip = drawn_clip(photographs, seed, hardness=hardness)
        write(clip, arguments.out, f"seed{seed:05d}", frames=arguments.frames)


if __name__ == "__main__":
    main()
