"""What people may type for concepts, which trains a projection; and the colours of things."""

from __future__ import annotations

import random

import cv2
import numpy as np
import numpy.typing as npt

from promptmatte.models.lexicon import COLOURS as COLOURS

SYNONYMS: dict[str, tuple[str, ...]] = {
    "person": ("human", "people", "man", "woman", "performer", "dancer", "someone", "figure",
               "body", "persons", "humans", "singer", "actor", "girl", "boy", "guy", "player"),
    "face": ("head of a person", "faces", "human face"),
    "skin": ("bare skin", "human skin"),
    "hair": ("hairs", "hairstyle", "head of hair"),
    "eyes": ("eye",),
    "nose": (),
    "mouth": ("lips",),
    "clothes": ("clothing", "outfit", "garments", "costume", "apparel"),
    "jacket": ("blazer", "jackets"),
    "coat": ("coats", "overcoat"),
    "shirt": ("blouse", "shirts"),
    "t-shirt": ("tshirt", "tee shirt", "tee"),
    "sweater": ("jumper", "pullover", "cardigan"),
    "dress": ("dresses", "gown"),
    "skirt": ("skirts",),
    "pants": ("trousers", "slacks"),
    "jeans": ("denim", "denims"),
    "shorts": ("short pants",),
    "leggings": ("tights", "stockings"),
    "shoes": ("shoe", "footwear", "boots", "sneakers", "heels", "sandals"),
    "bag": ("handbag", "purse", "bags"),
    "hat": ("cap", "hats"),
    "glasses": ("sunglasses", "spectacles"),
    "belt": (),
    "scarf": ("scarves",),
    "sky": ("skies", "heaven", "clouds"),
    "road": ("street", "asphalt", "roadway", "tarmac"),
    "pavement": ("sidewalk", "footpath", "walkway"),
    "building": ("buildings", "house", "houses", "architecture", "facade"),
    "tree": ("trees",),
    "vegetation": ("plants", "greenery", "foliage", "bushes"),
    "grass": ("lawn", "meadow", "grassland"),
    "water": ("sea", "lake", "river", "ocean"),
    "mountain": ("mountains", "hill"),
    "window": ("windows", "glass window"),
    "door": ("doors", "car door"),
    "fence": ("fences", "railing"),
    "pole": ("poles", "column", "lamp post"),
    "sign": ("signs", "signboard", "traffic sign"),
    "car": ("cars", "automobile", "vehicle", "auto"),
    "wheel": ("wheels", "tyre", "tire"),
    "headlight": ("car light", "lights", "headlights"),
    "bumper": ("bumpers",),
    "windscreen": ("windshield", "car glass"),
    "hood": ("bonnet", "car hood"),
    "mirror": ("wing mirror", "side mirror"),
    "cyclist": ("bicyclist", "person on a bicycle", "bike rider"),
    "bicycle": ("bike", "bicycles", "bikes"),
    "motorcycle": ("motorbike", "motorcycles"),
    "airplane": ("aeroplane", "plane", "aircraft", "airplanes", "jet"),
    "boat": ("boats", "ship"),
    "bus": ("buses", "coach"),
    "truck": ("lorry", "trucks"),
    "train": ("trains", "locomotive"),
    "horse": ("horses", "pony", "stallion"),
    "cow": ("cows", "cattle", "bull"),
    "sheep": ("lamb", "lambs"),
    "cat": ("cats", "kitten", "kitty"),
    "dog": ("dogs", "puppy"),
    "bird": ("birds", "duck"),
    "flower": ("flowers", "blossom"),
    "book": ("books",),
    "chair": ("chairs", "seat"),
    "couch": ("sofa",),
    "tv": ("television", "monitor", "screen"),
    "cup": ("mug", "coffee cup", "teacup"),
    "bottle": ("bottles", "water bottle"),
    "cell phone": ("phone", "mobile phone", "smartphone"),
    "potted plant": ("plant", "house plant"),
    "dining table": ("table", "desk"),
    "teddy bear": ("stuffed toy", "plush toy"),
    "sports ball": ("ball",),
    "tennis racket": ("racket", "racquet"),
}  # fmt: skip
"""Concept -> other words for it. A concept that is not listed goes by its own name."""

TEMPLATES = ("{}",) * 6 + ("the {}", "a {}", "a photo of {}", "this {}", "all {}", "my {}")

COLOURED = frozenset({
    "car", "bus", "truck", "train", "boat", "bicycle", "motorcycle", "airplane", "jacket",
    "coat", "shirt", "t-shirt", "sweater", "dress", "skirt", "pants", "jeans", "shorts",
    "leggings", "shoes", "bag", "hat", "scarf", "clothes", "hair", "horse", "cow", "dog", "cat",
    "bird", "flower", "book", "chair", "couch", "cup", "bottle", "building", "door", "sign",
    "umbrella", "suitcase", "backpack",
})  # fmt: skip
"""Concepts that people pick out by colour ("red car")."""

NONSENSE = (
    "unicorn", "submarine", "volcano", "keyboard solo", "asdf", "qwertz", "dragon", "spaceship",
    "penguin", "pyramid", "accordion", "lighthouse", "octopus", "helicopter", "robot", "castle",
    "saxophone", "waterfall", "cactus", "snowman", "tractor", "violin", "xyz", "lorem ipsum",
)  # fmt: skip
"""Words for things that none of the pictures is expected to show: prompts with an empty answer."""


def phrase(concept: str, rng: random.Random, *, colour: str | None = None) -> str:
    """A prompt somebody might type for a concept, e.g. "the red automobile"."""
    words = (concept, concept, *SYNONYMS.get(concept, ()))
    noun = rng.choice(words)
    if colour:
        noun = f"{'gray' if colour == 'grey' and rng.random() < 0.3 else colour} {noun}"
    text = rng.choice(TEMPLATES).format(noun)
    return text.capitalize() if rng.random() < 0.1 else text


def colour_indices(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The nearest colour name of each pixel: indices into COLOURS, uint8 [H, W], of uint8 RGB."""
    hue, saturation, value = cv2.split(cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV))
    names = np.full(hue.shape, COLOURS.index("grey"), np.uint8)
    names[value >= 190] = COLOURS.index("white")
    coloured = saturation >= 70
    dark = value < 150
    for low, high, name in (
        (0, 8, "red"), (8, 21, "orange"), (21, 35, "yellow"), (35, 85, "green"),
        (85, 130, "blue"), (130, 150, "purple"), (150, 171, "pink"), (171, 181, "red"),
    ):  # fmt: skip
        names[coloured & (hue >= low) & (hue < high)] = COLOURS.index(name)
    names[coloured & dark & (hue >= 5) & (hue < 24)] = COLOURS.index("brown")
    names[value < 55] = COLOURS.index("black")
    return names


def dominant_colour(
    names: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_], *, share: float = 0.55
) -> str | None:
    """The colour name of at least this share of the mask's pixels; None when it is mixed."""
    counts = np.bincount(names[mask], minlength=len(COLOURS))
    best = int(counts.argmax())
    return COLOURS[best] if counts[best] >= share * max(1, counts.sum()) else None
