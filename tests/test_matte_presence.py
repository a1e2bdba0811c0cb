"""A thing that comes, is lost and comes back, frame by frame at 50 frames a second."""

from __future__ import annotations

from itertools import pairwise

import pytest
from promptmatte.controls import Controls
from promptmatte.matte.presence import FADE_S, Presence

FRAME_NS = 20_000_000
CONTROLS = Controls().replaced({"hold": 1.0, "hysteresis": 0.1, "confidence_floor": 0.3})


def played(
    presence: Presence, confidences: list[float], controls: Controls = CONTROLS, *, start: int = 0
) -> list[float]:
    """The gain of one prompt in each frame."""
    return [
        presence.gains((confidence,), controls, (start + index) * FRAME_NS)[0]
        for index, confidence in enumerate(confidences)
    ]


def test_what_the_first_anchor_finds_is_there_at_once() -> None:
    assert played(Presence(), [0.3]) == [1.0]
    assert played(Presence(), [0.29]) == [0.0]


def test_a_thing_that_comes_later_fades_in() -> None:
    gains = played(Presence(), [0.0] * 5 + [0.9] * 12)
    assert gains[:5] == [0.0] * 5
    steps = [after - before for before, after in pairwise(gains)]
    assert gains[-1] == 1.0
    assert max(steps) <= 0.02 / FADE_S + 1e-9
    assert gains[5 + round(FADE_S / 0.02)] == 1.0


def test_confidence_between_the_two_limits_keeps_what_is_shown() -> None:
    presence = Presence()
    assert played(presence, [0.35, *[0.21] * 200]) == [1.0] * 201
    assert presence.found == (True,)
    assert played(Presence(), [0.29] * 200) == [0.0] * 200


def test_a_lost_thing_is_held_then_fades_then_is_gone() -> None:
    presence = Presence()
    gains = played(presence, [0.9] + [0.1] * 60)
    assert presence.found == (False,)
    full = [index for index, gain in enumerate(gains) if gain == 1.0]
    gone = [index for index, gain in enumerate(gains) if gain == 0.0]
    assert full[-1] * 0.02 == pytest.approx(1.0 - FADE_S, abs=0.021)
    assert gone[0] * 0.02 == pytest.approx(1.0, abs=0.021)
    assert gains == sorted(gains, reverse=True)
    drops = [before - after for before, after in pairwise(gains)]
    assert max(drops) <= 0.02 / FADE_S + 1e-9


def test_a_short_hold_is_all_fade_and_none_is_at_once() -> None:
    short = CONTROLS.replaced({"hold": 0.1})
    assert played(Presence(), [0.9] + [0.0] * 6, short) == pytest.approx(
        [1.0, 0.8, 0.6, 0.4, 0.2, 0.0, 0.0]
    )
    assert played(Presence(), [0.9, 0.0], CONTROLS.replaced({"hold": 0.0})) == [1.0, 0.0]


def test_a_thing_that_comes_back_while_it_fades_rises_from_where_it_is() -> None:
    gains = played(Presence(), [0.9] + [0.0] * 47 + [0.9] * 8)
    assert 0.0 < gains[47] < 0.6
    assert gains[47] < gains[48] < 1.0
    assert gains[-1] == 1.0


def test_however_wide_the_hysteresis_an_absent_thing_goes() -> None:
    wide = CONTROLS.replaced({"hysteresis": 0.5})
    assert played(Presence(), [0.9] + [0.02] * 100, wide)[-1] == 1.0
    assert played(Presence(), [0.9] + [0.0] * 100, wide)[-1] == 0.0


def test_a_floor_of_nothing_shows_everything() -> None:
    open_wide = CONTROLS.replaced({"confidence_floor": 0.0})
    assert played(Presence(), [0.0] * 100, open_wide) == [1.0] * 100


def test_each_prompt_has_a_life_and_controls_of_its_own() -> None:
    presence = Presence()
    controls = CONTROLS.replaced({"confidence_floor": 0.6}, channel=1)
    controls = controls.replaced({"hold": 0.0}, channel=3)
    assert presence.gains((0.5, 0.5, 0.5, 0.5), controls, 0) == (1.0, 0.0, 1.0, 1.0)
    gains = presence.gains((0.5, 0.7, 0.1, 0.1), controls, FRAME_NS)
    assert gains == pytest.approx((1.0, 0.02 / FADE_S, 1.0, 0.0))
    assert presence.found == (True, True, False, False)


def test_reset_and_another_number_of_prompts_start_afresh() -> None:
    presence = Presence()
    assert played(presence, [0.9, 0.0]) == [1.0, 1.0]
    presence.reset()
    assert presence.found == ()
    assert played(presence, [0.0], start=2) == [0.0]
    assert presence.gains((0.9, 0.0), CONTROLS, 3 * FRAME_NS) == (1.0, 0.0)
    assert presence.gains((), CONTROLS, 4 * FRAME_NS) == ()


def test_a_clock_that_jumps_back_does_no_harm() -> None:
    presence = Presence()
    played(presence, [0.9], start=1000)
    assert played(presence, [0.0] * 3) == [1.0] * 3
