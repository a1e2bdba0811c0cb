"""How the server's channels become the component's, and how one prompt fades into another."""

from __future__ import annotations

import numpy as np
import pytest
from promptmatte_td.mixing import (
    COMING,
    LEAVING,
    STEADY,
    Mix,
    Mixes,
    Part,
    Places,
    PromptText,
    crossfade,
    fade_steps,
    steady,
)


class Clock:
    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s


def places(*texts: str) -> Places:
    return tuple(PromptText(text=t) for t in (*texts, "", "", "", "")[:4])  # type: ignore[return-value]


def planes(*levels: int) -> np.ndarray:
    alpha = np.zeros((3, 5, 4 if len(levels) > 1 else 1), np.uint8)
    alpha[..., : len(levels)] = levels
    return alpha


def mixed(mix: Mix, alpha: np.ndarray) -> list[int]:
    out = np.full((3, 5, 4), 77, np.uint8)
    mix.mixed(alpha, out)
    assert (out == out[0, 0]).all()
    return out[0, 0].tolist()


def texts(mix: Mix) -> list[tuple[str, int, str]]:
    return [(part.prompt.text, part.place, part.role) for part in mix.parts]


def test_prompts_without_gaps_need_no_mixing() -> None:
    assert Mix(steady(places("jacket", "hair"))).plain
    assert Mix([]).plain


def test_a_gap_moves_channels_to_their_places() -> None:
    mix = Mix(steady(places("", "jacket", "", "hair")))
    assert not mix.plain
    assert texts(mix) == [("jacket", 1, STEADY), ("hair", 3, STEADY)]
    assert mixed(mix, planes(10, 20, 0, 0)) == [0, 10, 0, 20]
    assert mix.confidence((0.5, 0.25)) == (0.0, 0.5, 0.0, 0.25)


def test_one_channel_is_mixed_as_well_as_four() -> None:
    assert mixed(Mix(steady(places("", "sky"))), planes(200)) == [0, 200, 0, 0]


def test_a_prompt_is_a_command_with_negatives_parted_by_commas() -> None:
    prompt = PromptText(text=" person ", negative="hair, ,red hat ")
    assert prompt.entry() == {"text": "person", "negative": ["hair", "red hat"]}
    assert PromptText(text="  ").empty


def test_a_crossfade_keys_both_and_ends_with_the_new_alone() -> None:
    clock = Clock()
    steps = fade_steps(places("jacket", "sky"), places("hair", "sky"), 2.0)
    assert [texts(step) for step in steps] == [
        [("jacket", 0, LEAVING), ("hair", 0, COMING), ("sky", 1, STEADY)],
        [("hair", 0, STEADY), ("sky", 1, STEADY)],
    ]
    fade = Mix(steps[0].parts, fade_s=2.0, clock=clock)
    alpha = planes(200, 100, 50, 0)
    clock.s += 10.0
    assert mixed(fade, alpha) == [200, 50, 0, 0], "nothing fades before it is begun"
    assert not fade.done
    fade.begin()
    clock.s += 0.5
    assert mixed(fade, alpha) == [150 + 25, 50, 0, 0]
    assert fade.confidence((1.0, 0.5, 0.25)) == (0.875, 0.25, 0.0, 0.0)
    fade.begin()
    clock.s += 1.5
    assert fade.done
    assert mixed(fade, alpha) == [100, 50, 0, 0]


@pytest.mark.parametrize("share", [0.0, 0.001, 0.25, 0.3333, 0.5, 0.75, 0.998, 1.0])
def test_a_fade_between_two_full_mattes_stays_full_within_a_step(share: float) -> None:
    clock = Clock()
    parts = [Part(prompt=PromptText(text=t), place=0, role=r)
             for t, r in (("a", LEAVING), ("b", COMING))]  # fmt: skip
    fade = Mix(parts, fade_s=1.0, clock=clock)
    fade.begin()
    clock.s += share
    assert 253 <= mixed(fade, planes(255, 255))[0] <= 255


def test_without_a_free_channel_it_fades_out_and_then_in() -> None:
    old, new = places("a", "b", "c", "d"), places("a", "b", "c", "e")
    assert crossfade(old, new) is None
    steps = fade_steps(old, new, 3.0)
    assert [[role for _, _, role in texts(step)] for step in steps] == [
        [STEADY, STEADY, STEADY, LEAVING],
        [STEADY, STEADY, STEADY, COMING],
        [STEADY] * 4,
    ]
    clock = Clock()
    out = Mix(steps[0].parts, fade_s=1.5, clock=clock)
    out.begin()
    clock.s += 1.5
    assert out.done
    assert mixed(out, planes(9, 9, 9, 200)) == [9, 9, 9, 0]


def test_no_time_and_no_change_cut() -> None:
    for old, new, fade_s in ((places("a"), places("b"), 0.0), (places("a"), places("a"), 2.0)):
        steps = fade_steps(old, new, fade_s)
        assert len(steps) == 1
        assert not steps[0].fades


def test_a_prompt_that_comes_from_nothing_or_goes_fades_alone() -> None:
    assert texts(fade_steps(places(), places("a"), 1.0)[0]) == [("a", 0, COMING)]
    assert texts(fade_steps(places("a"), places(), 1.0)[0]) == [("a", 0, LEAVING)]


def test_mixes_of_the_last_versions_are_known() -> None:
    mixes = Mixes()
    assert mixes.of(1) is None
    told = [Mix([]) for _ in range(10)]
    for version, mix in enumerate(told):
        mixes.tell(version, mix)
    assert mixes.of(9) is told[9]
    assert mixes.of(6) is told[6]
    assert mixes.of(2) is None
    mixes.forget()
    assert mixes.of(9) is None
