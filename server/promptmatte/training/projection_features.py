"""What SAM and CLIP make of training pictures, kept on disk: encoding is nearly all of the work."""

from __future__ import annotations

import errno
import hashlib
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from promptmatte.errors import DataError
from promptmatte.models.clip import ClipNetwork
from promptmatte.models.prompters import SamClipFeatures
from promptmatte.models.prompters.projection_weights import Fit
from promptmatte.models.sam import SamNetwork
from promptmatte.training.augment import jittered, random_crop
from promptmatte.training.datasets import Dataset, Picture
from promptmatte.training.projection_regions import regions_of
from promptmatte.training.samples import Labelled, read_labelled

LONG_SIDE_PX = 1024
"""Pictures are read at most this large; SAM's own input."""

CROP_SHAPES_HW = ((9, 16), (1, 1), (4, 3))


@dataclass(frozen=True, kw_only=True, eq=False)
class Variant:
    """One training picture, plain (index 0) or cropped, mirrored and in other light (1 and up)."""

    dataset: Dataset
    picture: Picture
    index: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Encoded:
    """One Variant as both networks see it.

    image float16 [dim, g, g], SAM's embedding with its padding; clip float16 [dim, rows,
    columns], of the cells with picture. Over the picture at the size of SAM's masks: labels uint8
    [h, w], and regions bool [R, h, w], things to ask for by vectors float16 [R, dim], CLIP's
    image embeddings of them.
    """

    image: npt.NDArray[np.float16]
    clip: npt.NDArray[np.float16]
    labels: npt.NDArray[np.uint8]
    regions: npt.NDArray[np.bool_]
    vectors: npt.NDArray[np.float16]


NAMES = ("image", "clip", "labels", "regions", "vectors")


class FeatureStore:
    """Encoded variants of pictures in a folder, one file each; those that are there and whole
    are not made anew. A folder for each pair of networks and seed."""

    def __init__(self, folder: Path, *, sam: SamNetwork, clip: ClipNetwork, seed: int) -> None:
        self._sam = sam
        self._clip = clip
        self._seed = seed
        fit = Fit.of(sam, clip)
        self._folder = folder / f"{fit.sam_fingerprint}-{fit.clip_fingerprint}-{seed}"
        self._folder.mkdir(parents=True, exist_ok=True)

    def fill(self, variants: Sequence[Variant], progress: Callable[[int, int], None]) -> None:
        """Makes what is missing; progress is told how many there are and shall be. DataError
        when the disk has no room for them."""
        missing = [variant for variant in variants if not self._is_whole(self.path(variant))]
        done = len(variants) - len(missing)
        progress(done, len(variants))
        for index, variant in enumerate(missing):
            path = self.path(variant)
            self._write(path, self._made(variant))
            if index == 0:
                self._check_room(path.stat().st_size, len(missing) - 1)
            progress(done + index + 1, len(variants))

    def read(self, variant: Variant) -> Encoded:
        """The Encoded of one variant, which `fill` has made."""
        with safe_open(self.path(variant), framework="np") as file:
            values = {name: file.get_tensor(name) for name in NAMES}
        return Encoded(**(values | {"regions": values["regions"].astype(np.bool_)}))

    def vectors(self, variant: Variant) -> npt.NDArray[np.float32]:
        """The vectors [R, dim] of one variant alone."""
        with safe_open(self.path(variant), framework="np") as file:
            return np.asarray(file.get_tensor("vectors"), np.float32)

    def path(self, variant: Variant) -> Path:
        """The file of a variant; another one once the picture or its mask changes."""
        picture = variant.picture
        facts = [picture.dataset, picture.image.name, variant.index]
        for path in (picture.image, picture.mask):
            facts += [path.stat().st_size, path.stat().st_mtime_ns]
        digest = hashlib.sha256(repr(facts).encode()).hexdigest()[:12]
        return self._folder / f"{picture.image.stem}-{variant.index}-{digest}.safetensors"

    def _is_whole(self, path: Path) -> bool:
        try:
            with safe_open(path, framework="np") as file:
                return set(NAMES) <= set(file.keys())
        except (OSError, SafetensorError):
            return False

    def _made(self, variant: Variant) -> Encoded:
        rng = random.Random(f"{self._seed} {self.path(variant).name}")
        labelled = read_labelled(variant.dataset, variant.picture, long_side=LONG_SIDE_PX)
        if variant.index > 0:
            labelled = _changed(labelled, rng)
        features = SamClipFeatures.of(labelled.pixels, sam=self._sam, clip=self._clip)
        size_hw = features.sam.mask_hw
        regions = regions_of(labelled, rng)
        vectors = np.zeros((0, self._clip.dim), np.float16)
        if regions:
            crops = np.stack([region.crop(self._clip.image_side) for region in regions])
            found = self._clip.images(torch.from_numpy(crops).permute(0, 3, 1, 2))
            vectors = found.cpu().numpy().astype(np.float16)
        masks = [_small(region.mask.astype(np.uint8), size_hw) > 0 for region in regions]
        return Encoded(
            image=features.sam.embedding[0].cpu().numpy().astype(np.float16),
            clip=features.clip[0].cpu().numpy().astype(np.float16),
            labels=_small(labelled.labels, size_hw),
            regions=np.stack(masks) if masks else np.zeros((0, *size_hw), np.bool_),
            vectors=vectors,
        )

    def _write(self, path: Path, encoded: Encoded) -> None:
        values = {name: getattr(encoded, name) for name in NAMES}
        values["regions"] = encoded.regions.astype(np.uint8)
        content = save({name: np.ascontiguousarray(value) for name, value in values.items()})
        partial = path.with_suffix(".partial")
        try:
            partial.write_bytes(content)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            partial.unlink(missing_ok=True)
            raise DataError(
                f"expected room for features in {self._folder}; the disk is full: make room and "
                "start again, what is there is kept"
            ) from error
        partial.replace(path)

    def _check_room(self, bytes_each: int, count: int) -> None:
        free = shutil.disk_usage(self._folder).free
        if bytes_each * count > free:
            raise DataError(
                f"expected {bytes_each * count / 1e9:.1f} GB of room for features in "
                f"{self._folder}; {free / 1e9:.1f} GB are free: make room, choose another --out, "
                "or take fewer --variants"
            )


def _changed(labelled: Labelled, rng: random.Random) -> Labelled:
    """A random part of the picture, in other light."""
    long_side = max(labelled.labels.shape)
    height, width = rng.choice(CROP_SHAPES_HW)
    scale = long_side / max(height, width)
    size_hw = (round(height * scale), round(width * scale))
    pixels, labels = random_crop(labelled.pixels, labelled.labels, size_hw, rng)
    return Labelled(dataset=labelled.dataset, pixels=jittered(pixels, rng), labels=labels)


def _small(labels: npt.NDArray[np.uint8], size_hw: tuple[int, int]) -> npt.NDArray[np.uint8]:
    size_wh = (size_hw[1], size_hw[0])
    return np.asarray(cv2.resize(labels, size_wh, interpolation=cv2.INTER_NEAREST), np.uint8)
