"""Union and difference of masks whose terms were found more or less surely."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from promptmatte.models.combine import combined
from promptmatte.models.protocol import Decoded
from promptmatte.prompts import Prompt, PromptSet

LEFT, RIGHT, TOP = (np.full((4, 8), -9.0, np.float32) for _ in range(3))
LEFT[:, :4] = RIGHT[:, 4:] = TOP[:2] = 9.0
MASKS = {"left": LEFT, "right": RIGHT, "top": TOP}


def decoded(*texts: str, **confidence: float) -> Decoded:
    """What is found of prompts made of left, right and top; each is found with 0.9."""
    prompts = PromptSet(prompts=tuple(Prompt.parse(text) for text in texts))
    logits = np.stack([MASKS[term] for term in prompts.terms] or [LEFT])[: len(prompts.terms)]
    return combined(prompts, logits, [confidence.get(term, 0.9) for term in prompts.terms])


def inside(found: Decoded, prompt: int = 0) -> npt.NDArray[np.bool_]:
    return found.logits[prompt] > 0


def test_a_single_term_is_itself() -> None:
    found = decoded("left", left=0.1)
    assert np.array_equal(found.logits[0], LEFT)
    assert found.confidence == (0.1,)
    assert found.logits.dtype == np.float32


def test_a_union_has_all_its_things_and_the_best_confidence() -> None:
    found = decoded("left + right", left=0.5, right=0.8)
    assert inside(found).all()
    assert found.confidence == (0.8,)


def test_a_difference_leaves_out_and_keeps_the_confidence() -> None:
    found = decoded("left - top", left=0.7, top=0.9)
    assert np.array_equal(inside(found), (LEFT > 0) & (TOP < 0))
    assert found.confidence == (0.7,)


def test_an_absent_thing_adds_nothing() -> None:
    assert np.array_equal(inside(decoded("left + right", right=0.1)), LEFT > 0)
    assert np.array_equal(inside(decoded("left + right", left=0.1)), RIGHT > 0)
    assert decoded("left + right", left=0.0, right=0.0).confidence == (0.0,)


def test_an_absent_negative_eats_nothing_but_an_unsure_part_does() -> None:
    assert np.array_equal(inside(decoded("left - top", top=0.05)), LEFT > 0)
    part = decoded("left - top", left=0.79, top=0.21)  # hair of a person, as measured
    assert np.array_equal(inside(part), (LEFT > 0) & (TOP < 0))


@pytest.mark.parametrize("text", ["left + right", "left - top"])
def test_a_confidence_that_hovers_moves_the_logits_little(text: str) -> None:
    steps = np.arange(0.0, 0.9, 0.002)
    each = np.stack([decoded(text, right=c, top=c).logits[0] for c in steps])
    assert np.abs(np.diff(each, axis=0)).max() < 1.2
    assert np.abs(each[-1] - each[0]).max() > 10.0


def test_prompts_that_share_a_term_share_its_mask() -> None:
    found = decoded("left - top", "top", "right + top - left")
    assert np.array_equal(inside(found, 1), TOP > 0)
    assert np.array_equal(inside(found, 2), RIGHT > 0)  # top's left half goes
    assert len(found.confidence) == 3


def test_everything_is_everywhere_without_being_asked_for() -> None:
    found = decoded("everything", "left")
    assert (found.logits[0] == 10.0).all()
    assert found.confidence == (1.0, 0.9)
    assert np.array_equal(found.logits[1], LEFT)
    alone = combined(PromptSet(prompts=(Prompt(text="everything"),) * 2))
    assert alone.logits.shape == (2, 1, 1)
    assert (alone.logits == 10.0).all()
    assert alone.logits.dtype == np.float32
    assert alone.confidence == (1.0, 1.0)


@pytest.mark.parametrize("confidence", [0.3, 0.5, 0.9])
def test_what_is_found_at_all_is_left_out_of_everything_in_full(confidence: float) -> None:
    found = decoded("everything but top", top=confidence)
    assert np.array_equal(inside(found), TOP < 0)
    assert found.logits[0].min() == -9.0
    assert found.confidence == (1.0,)


def test_an_absent_thing_is_not_left_out_of_everything() -> None:
    assert inside(decoded("everything but top", top=0.1)).all()
    assert inside(decoded("everything but top - left", top=0.1, left=0.4))[:, 4:].all()
    steps = np.arange(0.0, 0.9, 0.002)
    each = np.stack([decoded("all but top", top=c).logits[0] for c in steps])
    assert np.abs(np.diff(each, axis=0)).max() < 1.2


def test_everything_in_a_union_and_as_what_is_left_out() -> None:
    assert inside(decoded("left + everything")).all()
    assert not inside(decoded("left - everything")).any()
    assert not inside(decoded("everything - everything")).any()


def test_no_prompts_are_nothing() -> None:
    assert combined(PromptSet()).confidence == ()
    assert len(combined(PromptSet()).logits) == 0


def test_the_terms_are_left_as_they_were() -> None:
    before = LEFT.copy()
    decoded("left + right - top", right=0.3, top=0.2)
    assert np.array_equal(LEFT, before)
