from typing import Any

import pytest
from promptmatte.config import PipelineConfig
from promptmatte.errors import ConfigError


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"encode_hz": 0.0}, "expected encode_hz of 0.1 to 120; got 0"),
        ({"encode_hz": 121}, "got 121"),
        ({"encode_hz": float("nan")}, "got nan"),
        ({"encode_hz": "8"}, "as a number of 0.1 to 120; got '8'"),
        ({"flow_side_px": 20}, "a whole number of 64 to 1920; got 20"),
        ({"flow_side_px": 320.5}, "got 320.5"),
        ({"history_frames": True}, "got True"),
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
    config = PipelineConfig(encode_hz=0.1, flow_side_px=64, history_frames=600)
    assert (config.encode_hz, config.history_frames) == (0.1, 600)
    assert PipelineConfig(encode_hz=120).encode_hz == 120


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(TypeError, match="encode_hertz"):
        PipelineConfig(encode_hertz=8)
