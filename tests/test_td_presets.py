"""Presets are kept in the component's own dictionary and come back at once or gliding."""

from __future__ import annotations

from typing import Any

import pytest
from promptmatte_td.parameters import KEPT_IN_PRESETS
from promptmatte_td.presets import Glide, PresetError, Presets


def settings(**values: Any) -> dict[str, Any]:
    return dict.fromkeys(KEPT_IN_PRESETS, 0) | values


def test_a_preset_holds_prompts_and_controls_but_no_server() -> None:
    kept: dict[str, dict[str, Any]] = {}
    Presets(kept).save(" red ", settings(Prompt1="red jacket", Threshold2=0.7))
    assert kept["red"]["Prompt1"] == "red jacket"
    assert kept["red"]["Threshold2"] == 0.7
    assert {"Session", "Model", "Encodehz", "Fadetime"}.isdisjoint(kept["red"])
    assert Presets(kept).recall("red")["Threshold2"] == 0.7
    assert Presets(kept).names == ["red"]


def test_what_is_not_a_parameter_any_more_is_left_out() -> None:
    assert Presets({"old": {"Gone": 1, "Prompt1": "sky"}}).recall("old") == {"Prompt1": "sky"}


def test_no_name_and_an_unknown_name_say_what_to_do() -> None:
    presets = Presets({"blue": {}, "red": {}})
    with pytest.raises(PresetError, match="type one, then save"):
        presets.save("  ", settings())
    with pytest.raises(PresetError, match="blue, red"):
        presets.recall("green")
    with pytest.raises(PresetError):
        presets.delete("green")
    presets.delete("red")
    assert presets.names == ["blue"]


def test_numbers_glide_and_the_rest_switches() -> None:
    start = settings(Threshold1=0.2, Prompt1="a", Invert1=False, Smoothness1=1)
    target = settings(Threshold1=0.6, Prompt1="b", Invert1=True, Smoothness1=5)
    glide = Glide(start=start, target=target, begun_s=10.0, duration_s=4.0)
    assert glide.at_once["Prompt1"] == "b"
    assert glide.at_once["Invert1"] is True
    assert glide.at_once["Smoothness1"] == 5
    assert "Threshold1" not in glide.at_once
    assert glide.at(10.0) == {"Threshold1": 0.2}
    assert glide.at(12.0)["Threshold1"] == pytest.approx(0.4)
    assert not glide.done(13.9)
    assert glide.at(99.0) == {"Threshold1": 0.6}
    assert glide.done(14.0)
    assert Glide(start=start, target=target, begun_s=10.0, duration_s=0.0).at(10.0) == {
        "Threshold1": 0.6
    }
