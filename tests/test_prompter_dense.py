"""The dense prompter on constructed features, where it is known what is where."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from echo_sam import echo_sam
from promptmatte.models.clip import ClipNetwork
from promptmatte.models.prompters import DensePrompter, SamClipFeatures
from promptmatte.models.prompters.calibration import UNAIDED
from promptmatte.models.prompters.competition import LIMIT, Contest
from promptmatte.models.prompters.dense import MOST_DECODED, coarse_maps, soft_iou
from promptmatte.models.protocol import Decoded
from promptmatte.models.sam import SamFeatures, SamNetwork
from promptmatte.prompts import Prompt, PromptSet
from tiny_clip import tiny_clip
from tiny_sam import tiny_sam
from torch import Tensor

ROWS, COLUMNS = 9, 16
LEFT, RIGHT = np.s_[2:6, 2:7], np.s_[3:7, 10:14]
"""Where the cells of two things are."""

Mask = npt.NDArray[np.bool_]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> ClipNetwork:
    return tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def echo(clip: ClipNetwork) -> DensePrompter:
    return DensePrompter(echo_sam(), clip)


@pytest.fixture(scope="module")
def lost(clip: ClipNetwork) -> DensePrompter:
    """With a SAM of random weights, whose masks mean nothing."""
    sam = SamNetwork(tiny_sam(side=256), kind="tiny", device="cpu")
    return DensePrompter(sam, clip)


def axis(number: int) -> Tensor:
    return F.one_hot(torch.tensor(number), 48).float()


def scene(sam_seed: int | None = None) -> SamClipFeatures:
    """Axis 0 in the left cells, axis 1 in the right ones, axis 9 all around."""
    clip = axis(9)[:, None, None].repeat(1, ROWS, COLUMNS)
    for cells, number in ((LEFT, 0), (RIGHT, 1)):
        clip[:, cells[0], cells[1]] = axis(number)[:, None, None]
    embedding = torch.zeros(1, 32, 16, 16)
    if sam_seed is not None:
        embedding = torch.randn(1, 32, 16, 16, generator=torch.Generator().manual_seed(sam_seed))
    sam = SamFeatures(embedding=embedding, size_hw=(144, 256), inside_hw=(144, 256))
    return SamClipFeatures(sam=sam, clip=clip[None])


BACKGROUND = tuple(axis(number) for number in range(9, 40))


def contest(
    *vectors: Tensor,
    rivals: list[list[int]] | None = None,
    background: tuple[Tensor, ...] = BACKGROUND,
) -> Contest:
    """Terms by their vectors against the background; rivals: terms that compete, by row."""
    everything = torch.stack([*vectors, *background])
    table = torch.zeros(len(vectors), len(everything), dtype=torch.bool)
    table[:, len(vectors) :] = True
    for row, others in enumerate(rivals or []):
        table[row, others] = True
    return Contest(vectors=F.normalize(everything, dim=1), rivals=table)


def truth(*parts: Any) -> Mask:
    """The cells at the size of the masks."""
    cells = np.zeros((ROWS, COLUMNS), bool)
    for part in parts:
        cells[part] = True
    return cells.repeat(4, axis=0).repeat(4, axis=1)


def iou(found: Decoded, expected: Mask, prompt: int = 0) -> float:
    mask = found.logits[prompt] > 0
    return float((mask & expected).sum() / (mask | expected).sum())


def prompts(*texts: str) -> PromptSet:
    return PromptSet(prompts=tuple(Prompt.parse(text) for text in texts))


def test_without_sams_help_the_coarse_map_remains(lost: DensePrompter) -> None:
    found = lost.decode(scene(sam_seed=1), prompts("thing"), contest(axis(0)))
    assert found.logits.shape == (1, 36, 64)
    assert found.logits.dtype == np.float32
    assert iou(found, truth(LEFT)) > 0.85
    assert found.confidence[0] == pytest.approx(UNAIDED, abs=0.01)


def test_a_mask_that_agrees_is_taken_and_makes_surer(
    echo: DensePrompter, lost: DensePrompter
) -> None:
    found = echo.decode(scene(), prompts("thing"), contest(axis(0)))
    assert iou(found, truth(LEFT)) > 0.75
    assert found.confidence[0] > 0.95
    coarse = lost.decode(scene(sam_seed=1), prompts("thing"), contest(axis(0)))
    # It is SAM's mask, not the map: SAM's logits know two levels only.
    inside = found.logits[0][truth(LEFT)]
    assert np.median(np.abs(inside - inside.max())) < 0.1
    assert not np.allclose(found.logits, coarse.logits, atol=0.5)


def test_what_is_absent_is_empty_and_unsure(echo: DensePrompter, lost: DensePrompter) -> None:
    for prompter in (echo, lost):
        found = prompter.decode(scene(), prompts("unicorn"), contest(axis(5)))
        assert found.confidence[0] < 0.1
        assert found.logits.max() < 0


def test_a_thing_in_two_places_is_found_in_both_by_one_decode(echo: DensePrompter) -> None:
    sam: Any = echo._sam
    rows: list[int] = []
    hook = sam._decoder.transformer.register_forward_hook(
        lambda _module, inputs, _out: rows.append(len(inputs[0]))
    )
    both = contest(axis(0) + axis(1), axis(0))
    found = echo.decode(scene(), prompts("things", "thing"), both)
    hook.remove()
    assert rows == [3]
    assert iou(found, truth(LEFT, RIGHT)) > 0.75
    assert iou(found, truth(LEFT), prompt=1) > 0.75
    assert min(found.confidence) > 0.9


def test_a_negative_competes_and_is_taken_out(echo: DensePrompter, lost: DensePrompter) -> None:
    both, right = axis(0) + axis(1), axis(1)
    for prompter, features in ((echo, scene()), (lost, scene(sam_seed=1))):
        # In the softmax alone: the term against the negative as a rival.
        rivals = contest(both, right, rivals=[[1], [0]])
        found = prompter.decode(features, prompts("things - other"), rivals)
        assert iou(found, truth(LEFT)) > 0.7
        assert (found.logits[0] > 0)[truth(RIGHT)].mean() < 0.05
        # By subtraction alone: no rivalry between the two.
        found = prompter.decode(features, prompts("things - other"), contest(both, right))
        assert iou(found, truth(LEFT)) > 0.7
        assert (found.logits[0] > 0)[truth(RIGHT)].mean() < 0.05


def test_also_is_a_union(echo: DensePrompter) -> None:
    found = echo.decode(scene(), prompts("one + other"), contest(axis(0), axis(1)))
    assert iou(found, truth(LEFT, RIGHT)) > 0.75


def test_a_less_like_background_makes_less_sure(lost: DensePrompter) -> None:
    """The better a background word fits the same place, the lower the confidence, in order."""
    word = axis(0) * 0.7 + axis(40)
    found = []
    for share in (0.8, 0.72, 0.7, 0.67, 0.6):
        terms = contest(axis(0) * share + axis(41), background=(*BACKGROUND, word))
        found.append(lost.decode(scene(sam_seed=1), prompts("thing"), terms).confidence[0])
    assert found == sorted(found, reverse=True)
    assert found[0] > 0.65
    assert found[2] == pytest.approx(UNAIDED / 2, abs=0.02)
    assert found[-1] < 0.1


def test_the_same_in_gives_the_same_out(lost: DensePrompter) -> None:
    first, second = (
        lost.decode(scene(sam_seed=2), prompts("a + b"), contest(axis(0), axis(1)))
        for _ in range(2)
    )
    assert np.array_equal(first.logits, second.logits)
    assert first.confidence == second.confidence


def test_many_blobs_are_bounded_and_none_is_lost(clip: ClipNetwork) -> None:
    """36 terms that are all there twice: SAM is asked for 24, the rest keep the coarse map."""
    sam = echo_sam()
    prompter = DensePrompter(sam, clip)
    rows: list[int] = []
    network: Any = sam
    network._decoder.transformer.register_forward_hook(
        lambda _module, inputs, _out: rows.append(len(inputs[0]))
    )
    texts = [
        Prompt(
            text=f"t{p}",
            also=tuple(f"a{p}{n}" for n in range(4)),
            negative=tuple(f"n{p}{n}" for n in range(4)),
        )
        for p in range(4)
    ]
    many = PromptSet(prompts=tuple(texts))
    found = prompter.decode(scene(), many, contest(*[axis(0) + axis(1)] * len(many.terms)))
    assert rows == [MOST_DECODED]
    assert found.logits.shape == (4, 36, 64)
    assert np.isfinite(found.logits).all()


def test_padding_is_neither_asked_nor_answered(clip: ClipNetwork) -> None:
    """A tall picture lies in the left of SAM's input; the mask has the picture's shape."""
    prompter = DensePrompter(echo_sam(), clip)
    tall = SamFeatures(
        embedding=torch.zeros(1, 32, 16, 16), size_hw=(256, 144), inside_hw=(256, 144)
    )
    turned = SamClipFeatures(sam=tall, clip=scene().clip.transpose(2, 3))
    found = prompter.decode(turned, prompts("thing"), contest(axis(0)))
    assert found.logits.shape == (1, 64, 36)
    assert iou(found, truth(LEFT).T) > 0.75


def test_words_in_decoded_without_any_encoder_call(clip: ClipNetwork, lost: DensePrompter) -> None:
    """Real words all the way; a changed prompt costs its own text and no picture encoder."""
    network: Any = clip
    sam: Any = lost._sam
    calls: dict[str, int] = {"image": 0, "text": 0, "sam": 0}

    def count(name: str) -> Any:
        def hook(*_: Any) -> None:
            calls[name] += 1

        return hook

    hooks = [
        module.register_forward_hook(count(name))
        for name, module in (
            ("image", network._visual.conv1),
            ("text", network._clip.transformer),
            ("sam", sam._encoder),
        )
    ]
    features = scene(sam_seed=1)
    for texts in (("dog",), ("dog", "red jacket - sleeve"), ("dog",)):
        given = prompts(*texts)
        vectors = lost.embed(given)
        assert vectors is not None
        found = lost.decode(features, given, vectors)
        assert len(found.confidence) == len(texts)
        assert all(0.0 <= value <= 1.0 for value in found.confidence)
    for hook in hooks:
        hook.remove()
    assert calls == {"image": 0, "text": 2, "sam": 0}
    assert lost.embed(PromptSet()) is None
    assert lost.name == "dense"


def test_soft_iou_is_iou_for_hard_masks() -> None:
    mask = torch.zeros(1, 2, 4, 4)
    mask[0, 0, :2], mask[0, 1] = 1.0, 1.0
    region = torch.zeros(1, 1, 4, 4)
    region[0, 0, :, :2] = 1.0
    assert soft_iou(mask, region).tolist() == [[pytest.approx(4 / 12), pytest.approx(8 / 16)]]
    assert soft_iou(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)).item() == 0.0


def test_the_map_of_a_blob_has_none_of_the_others(lost: DensePrompter) -> None:
    from promptmatte.models.prompters.blobs import blobs_of

    odds = np.full((20, 30), -8.0, np.float32)
    odds[2:10, 2:10], odds[12:18, 15:25] = 4.0, 3.0
    terms = [blobs_of(odds, odds, term=0, core_pixels=4)]
    maps = coarse_maps(torch.from_numpy(odds)[None], terms, terms[0].blobs)
    assert maps.shape == (2, 20, 30)
    for own, blob in zip(maps.numpy(), terms[0].blobs, strict=True):
        assert np.array_equal(own > 0, terms[0].labels == blob.label)
        assert own[(terms[0].labels > 0) & (terms[0].labels != blob.label)].max() == -LIMIT
