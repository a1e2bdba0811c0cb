import math
from typing import Any

import pytest
from promptmatte.config import PipelineConfig
from promptmatte.errors import ConfigError


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"flow_side_px": 20}, "a whole number of 64 to 1920; got 20"),
        ({"flow_side_px": 320.5}, "got 320.5"),
        ({"history_frames": True}, "got True"),
        ({"correction_hz": 0.5}, "from 1; got 0.5"),
        ({"correction_hz": math.nan}, "got nan"),
        ({"retry_s": (2.0, 1.0)}, "0 < first <= longest"),
    ],
)
def test_a_setting_out_of_range_says_what_was_expected(
    setting: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as refusal:
        PipelineConfig(**setting)
    assert message in str(refusal.value)


def test_settings_at_their_ends_are_taken() -> None:
    config = PipelineConfig(flow_side_px=64, history_frames=600)
    assert (config.flow_side_px, config.history_frames) == (64, 600)


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(TypeError, match="flow_side"):
        PipelineConfig(flow_side=320)
