"""Picture folders with masks: what each label means, and what its silence means.

A folder holds images/, masks/ and classes.json. Labels are merged into concepts of the
vocabulary. A thing that a data set does not label is unknown there, never absent.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from promptmatte.errors import DataError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
BLOCK = 40
HELD_OUT_PER_BLOCK = 6
SCENES_PER_HELD_OUT = 6


@dataclass(frozen=True, kw_only=True)
class DatasetPolicy:
    """How to read one data set.

    merge: concept -> label names that make it up; None: every label is a concept. unsure:
    concept -> label names whose pixels may or may not be it. dense: every concept of the set
    that is not in a picture's mask is absent from the picture. bystanders: concepts of which
    there may be more in the background, unlabelled. elsewhere: further concepts that never occur
    in this set. scene: what of a file's name tells pictures of one drive or one person, which
    stay together when pictures are held out. weight: share of the training samples. terms:
    licence in a few words.
    """

    merge: dict[str, tuple[str, ...]] | None = None
    unsure: dict[str, tuple[str, ...]] = field(default_factory=dict)
    dense: bool = True
    bystanders: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()
    scene: str = ""
    weight: float = 1.0
    terms: str = "see its SOURCE.md"


_ANIMALS = ("horse", "cow", "sheep", "elephant", "giraffe", "zebra", "bear")
_VEHICLES = ("airplane", "boat", "train")
_SHOES = ("boots", "clogs", "flats", "heels", "loafers", "pumps", "sandals", "shoes", "sneakers",
          "wedges")  # fmt: skip
_GARMENTS = (
    "blazer", "blouse", "bodysuit", "cape", "cardigan", "coat", "dress", "hoodie", "jacket",
    "jeans", "jumper", "leggings", "pants", "romper", "scarf", "shirt", "shorts", "skirt", "socks",
    "stockings", "suit", "sweater", "sweatshirt", "swimwear", "t-shirt", "tie", "tights", "top",
    "vest",
)  # fmt: skip
_PEOPLE_WEAR = ("face", "hair", "clothes", "shirt", "t-shirt", "coat", "jacket", "sweater", "dress",
                "skirt", "pants", "jeans", "shorts", "leggings", "shoes")  # fmt: skip
_CCP_ALL = _GARMENTS + _SHOES + (
    "accessories", "belt", "bra", "bracelet", "earrings", "glasses", "gloves", "hair", "hat",
    "intimate", "necklace", "panties", "ring", "skin", "sunglasses", "watch",
)  # fmt: skip

POLICIES: dict[str, DatasetPolicy] = {
    "camvid11": DatasetPolicy(
        merge={
            "person": ("pedestrian",),
            "cyclist": ("bicyclist",),
            **{c: (c,) for c in ("sky", "building", "pole", "road", "pavement", "tree", "sign",
                                 "fence", "car")},
        },
        unsure={"person": ("bicyclist",), "vegetation": ("tree",)},
        elsewhere=(*_ANIMALS, *_VEHICLES, "couch", "cat", "bottle", "tv"),
        scene="^[^_]+",
        weight=1.3,
        terms="CC BY-NC 4.0, research only",
    ),
    "carparts": DatasetPolicy(
        merge={
            "wheel": ("wheel",),
            "hood": ("hood",),
            "bumper": ("back bumper", "front bumper"),
            "windscreen": ("back glass", "front glass"),
            "door": ("back left door", "back right door", "front left door", "front right door"),
            "headlight": ("back left light", "back right light", "front left light",
                          "front right light"),
            "mirror": ("left mirror", "right mirror"),
        },
        elsewhere=(*_ANIMALS, *_VEHICLES, "couch", "cat", "hair", "face"),
        weight=0.5,
        terms="no licence stated, research use",
    ),
    "ccp": DatasetPolicy(
        merge={
            "person": _CCP_ALL,
            "clothes": _GARMENTS,
            "shoes": _SHOES,
            "hair": ("hair",),
            "skin": ("skin",),
            "jacket": ("jacket", "blazer"),
            "coat": ("coat", "cape"),
            "shirt": ("shirt", "blouse"),
            "t-shirt": ("t-shirt",),
            "sweater": ("sweater", "jumper", "cardigan", "sweatshirt", "hoodie"),
            "dress": ("dress",),
            "skirt": ("skirt",),
            "pants": ("pants",),
            "jeans": ("jeans",),
            "shorts": ("shorts",),
            "leggings": ("leggings", "tights", "stockings"),
            "bag": ("bag", "purse"),
            "hat": ("hat",),
            "glasses": ("glasses", "sunglasses"),
            "belt": ("belt",),
            "scarf": ("scarf",),
        },
        unsure={
            "person": ("bag", "purse", "wallet"),
            "shirt": ("top", "t-shirt"),
            "t-shirt": ("top", "shirt", "blouse"),
            "jacket": ("coat", "vest", "cardigan"),
            "coat": ("jacket", "blazer"),
            "pants": ("jeans", "leggings"),
            "sweater": ("top",),
            "clothes": ("belt", "hat", "gloves", "intimate", *_SHOES),
            "face": ("skin", "hair", "glasses", "sunglasses", "accessories", "earrings"),
        },
        bystanders=("person", "clothes", "hair", "skin", "shoes", "face"),
        elsewhere=(*_ANIMALS, *_VEHICLES, "tv", "couch", "cat"),
        weight=2.2,
        terms="Apache-2.0 repository; rights in the photographs not spelled out",
    ),
    "coco_small": DatasetPolicy(weight=2.5, terms="CC BY 4.0 labels, Flickr photographs"),
    "fasseg": DatasetPolicy(
        merge={
            "hair": ("hair (and eyebrows)",),
            "face": ("skin (face, neck)", "eyes", "nose", "mouth"),
            "eyes": ("eyes",),
            "nose": ("nose",),
            "mouth": ("mouth",),
            "skin": ("skin (face, neck)", "nose"),
            "person": ("skin (face, neck)", "hair (and eyebrows)", "eyes", "nose", "mouth"),
        },
        unsure={"skin": ("eyes", "mouth"), "person": ("background",)},
        elsewhere=(*_ANIMALS, *_VEHICLES, "car", "tree", "road", "bus", "dog", "cat", "sky"),
        scene=r"personne\d\d",
        weight=0.6,
        terms="no licence stated, research use",
    ),
    "human290": DatasetPolicy(
        merge={"person": ("person (main subject)",)},
        bystanders=("person",),
        elsewhere=(*_ANIMALS, *_VEHICLES),
        weight=2.2,
        terms="no licence stated, research only",
    ),
    "labelmefacade": DatasetPolicy(
        merge={
            "building": ("building", "window", "door"),
            **{c: (c,) for c in ("car", "door", "pavement", "road", "sky", "vegetation", "window")},
        },
        unsure={"tree": ("vegetation",)},
        dense=False,
        elsewhere=(*_ANIMALS, *_VEHICLES, "couch", "cat", "tv"),
        weight=0.8,
        terms="non-commercial and research use",
    ),
    "msrc21": DatasetPolicy(
        merge={
            "person": ("face", "body"),
            "airplane": ("aeroplane",),
            **{c: (c,) for c in ("building", "grass", "tree", "cow", "horse", "sheep", "sky",
                                 "mountain", "water", "face", "car", "bicycle", "flower", "sign",
                                 "bird", "book", "chair", "road", "cat", "dog", "boat")},
            "vegetation": ("tree",),
        },
        unsure={"vegetation": ("grass", "flower"), "pavement": ("road",)},
        elsewhere=("elephant", "zebra", "giraffe", "train", "tv"),
        weight=2.6,
        terms="no terms stated, research use",
    ),
    "weizmann_1obj": DatasetPolicy(
        merge={},
        elsewhere=("person", *_PEOPLE_WEAR, "horse", "cow", "sheep", "elephant", "giraffe", "zebra",
                   "car", "bus", "train", "road", "couch", "tv", "dining table", "cell phone"),
        weight=1.2,
        terms="none stated, academic use; a hand is seen in four of them",
    ),
    "weizmann_horse": DatasetPolicy(
        merge={"horse": ("horse",)},
        elsewhere=("airplane", "boat", "couch", "tv", "bus", "cat"),
        weight=0.7,
        terms="academic release",
    ),
}  # fmt: skip
"""By folder name. Folders named in SKIPPED are left out; others get classes.json at its word."""

SKIPPED = frozenset({"davis_tennis", "clips"})


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One photograph and its label mask, by path."""

    dataset: str
    image: Path
    mask: Path


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """One folder: concept -> label ids, and its pictures in a fixed order."""

    name: str
    policy: DatasetPolicy
    concepts: dict[str, tuple[int, ...]]
    unsure: dict[str, tuple[int, ...]]
    ignore: tuple[int, ...]
    pictures: tuple[Picture, ...]

    def split(self) -> tuple[tuple[Picture, ...], tuple[Picture, ...]]:
        """Training and held-out pictures, which share no scene.

        Where names tell the scene, every sixth scene is held out, the smallest first; other
        pictures in blocks, since neighbours are often alike: of each 40 the last 6 (15 %).
        """
        scenes: dict[str, list[Picture]] = {}
        single: list[Picture] = []
        for picture in self.pictures:
            found = re.search(self.policy.scene, picture.image.name) if self.policy.scene else None
            (scenes.setdefault(found[0], []) if found else single).append(picture)
        train: list[Picture] = []
        held_out: list[Picture] = []
        for index, (_, own) in enumerate(sorted(scenes.items(), key=lambda s: (len(s[1]), s[0]))):
            (train if index % SCENES_PER_HELD_OUT else held_out).extend(own)
        for index, picture in enumerate(single):
            late = index % BLOCK >= BLOCK - HELD_OUT_PER_BLOCK
            (held_out if late else train).append(picture)
        return tuple(train), tuple(held_out)


def picture_pairs(folder: Path) -> list[tuple[Path, Path]]:
    """(image, mask) paths below images/ and masks/, flat or a folder a clip, sorted.

    Raises DataError when the folder has no pairs.
    """
    images = folder / "images"
    pairs = []
    for image in sorted(images.rglob("*")) if images.is_dir() else []:
        if image.suffix.lower() in IMAGE_SUFFIXES:
            mask = (folder / "masks" / image.relative_to(images)).with_suffix(".png")
            if mask.is_file():
                pairs.append((image, mask))
    if not pairs:
        raise DataError(
            f"expected {folder} to hold images/ and masks/ with files of the same names "
            "(masks as .png); found no pair"
        )
    return pairs


def read_classes(folder: Path) -> tuple[dict[int, str], tuple[int, ...]]:
    """Label names by id, and the ids to ignore, from classes.json; empty without one."""
    path = folder / "classes.json"
    if not path.is_file():
        return {}, ()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        names = {int(key): str(name) for key, name in content["classes"].items()}
        return names, tuple(int(i) for i in content.get("ignore", ()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f'expected {path} as {{"classes": {{"1": "name"}}}}; {error}') from error


def load_dataset(folder: Path) -> Dataset:
    """The data set in a folder, labels merged as POLICIES says; DataError if unusable."""
    names, ignore = read_classes(folder)
    by_name = {name: label for label, name in names.items()}
    policy = POLICIES.get(folder.name, DatasetPolicy(dense=False))
    merge = policy.merge
    if merge is None:
        merge = {n: (n,) for i, n in names.items() if i not in ignore and i != 0}

    def ids(table: dict[str, tuple[str, ...]]) -> dict[str, tuple[int, ...]]:
        return {c: tuple(by_name[n] for n in labels if n in by_name) for c, labels in table.items()}

    return Dataset(
        name=folder.name,
        policy=policy,
        concepts={c: labels for c, labels in ids(merge).items() if labels},
        unsure=ids(policy.unsure),
        ignore=ignore,
        pictures=tuple(
            Picture(dataset=folder.name, image=image, mask=mask)
            for image, mask in picture_pairs(folder)
        ),
    )


def load_datasets(root: Path) -> list[Dataset]:
    """All data sets below a folder, or the folder itself if it is one; DataError if none."""
    if not root.is_dir():
        raise DataError(f"expected a folder of data sets; {root} is not a folder")
    folders = [root] if (root / "images").is_dir() else sorted(root.iterdir())
    found = [
        load_dataset(folder)
        for folder in folders
        if (folder / "images").is_dir() and folder.name not in SKIPPED
    ]
    if not found:
        raise DataError(f"expected folders with images/ and masks/ below {root}; found none")
    return found
