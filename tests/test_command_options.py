"""Options of prompts and controls, and the show file they win over."""

from __future__ import annotations

from pathlib import Path

import pytest
from promptmatte.cli import build_parser
from promptmatte.commands.options import choice_from, controls_from, model_options, prompts_from
from promptmatte.commands.show_file import ShowFile
from promptmatte.controls import CONTROLS, Controls
from promptmatte.errors import ConfigError, ControlError, ModelError, PromptError
from promptmatte.models.choice import ModelChoice
from promptmatte.prompts import Prompt


def given(*arguments: str) -> tuple[tuple[Prompt, ...], Controls]:
    """What serve makes of these options."""
    parsed = build_parser().parse_args(["serve", *arguments])
    return prompts_from(parsed), controls_from(parsed, Controls())


def test_every_control_has_an_option() -> None:
    for row in CONTROLS.values():
        option = "--" + row.name.replace("_", "-")
        if row.kind == "bool":
            _, controls = given(option)
        elif row.kind == "choice":
            _, controls = given(option, row.choices[-1])
        else:
            _, controls = given(option, f"{row.high:g}")
        assert controls != Controls(), row.name


def test_control_options_are_for_the_prompt_before_or_for_all() -> None:
    prompts, controls = given(
        "--threshold", "0.4", "--invert", "--prompt", "person + dog", "--expand", "-2",
        "--negative", "hair", "--overlap", "exclusive", "--prompt", "sky", "--no-invert",
        "--also", "cloud", "--threshold=0.6",
    )  # fmt: skip
    assert prompts == (
        Prompt(text="person", also=("dog",), negative=("hair",)),
        Prompt(text="sky", also=("cloud",)),
    )
    assert [c.threshold for c in controls.channels] == [0.4, 0.6, 0.4, 0.4]
    assert [c.expand for c in controls.channels] == [-2.0, 0.0, 0.0, 0.0]
    assert [c.invert for c in controls.channels] == [True, False, True, True]
    assert controls.stream.overlap == "exclusive"


def test_two_command_lines_share_nothing() -> None:
    given("--threshold", "0.4", "--prompt", "a", "--expand", "3")
    assert given("--prompt", "a") == ((Prompt(text="a"),), Controls())


def test_an_option_that_cannot_be_used_is_refused() -> None:
    with pytest.raises(ControlError, match="expected threshold as a number"):
        given("--prompt", "a", "--threshold", "high")
    with pytest.raises(PromptError, match="a thing to each side"):
        given("--prompt", "a -")
    with pytest.raises(SystemExit):
        given("--also", "dog", "--prompt", "person")


SHOW = """
source = "test:"
out = ["shm:stage", "zmq:tcp://127.0.0.1:5599"]

[controls]
encode_hz = 5
threshold = 0.4
overlap = "exclusive"

[[prompt]]
text = "person - hair"
also = ["dog"]
expand = -2

[[prompt]]
text = "sky"
invert = true
"""


@pytest.fixture
def show(tmp_path: Path) -> Path:
    path = tmp_path / "show.toml"
    path.write_text(SHOW, encoding="utf-8")
    return path


def test_a_show_is_read(show: Path) -> None:
    read = ShowFile.read(show)
    assert read.settings == {
        "source": "test:", "out": ["shm:stage", "zmq:tcp://127.0.0.1:5599"],
    }  # fmt: skip
    assert read.prompts == (
        Prompt(text="person", also=("dog",), negative=("hair",)),
        Prompt(text="sky"),
    )
    assert read.shared == Controls().replaced(
        {"threshold": 0.4, "overlap": "exclusive", "encode_hz": 5}
    )
    own = read.shared.replaced({"expand": -2}, channel=0).replaced({"invert": True}, channel=1)
    assert read.controls == own


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sorce = 'test:'", "expected a key of source, out,"),
        ("source = 5", "expected source as text; got 5"),
        ("out = 'shm:a'", "expected out as a list of texts; got 'shm:a'"),
        ("seconds = true", "expected seconds as a number; got True"),
        (
            "[controls]\nencode_hz = true",
            "expected encode_hz as a number of 0.1 to 120 Hz; got True",
        ),
        ("[controls]\nthreshold = 9", "expected threshold as a number of 0.05 to 0.95; got 9"),
        ("[controls]\ntreshold = 0.4", "expected a control of threshold"),
        ("controls = 5", "expected a [controls] table; got 5"),
        ("prompt = 'person'", "expected prompts as [[prompt]] tables; got 'person'"),
        ("[prompt]\ntext = 'person'", "expected prompts as [[prompt]] tables"),
        ("[[prompt]]\ninvert = true", "expected a text in every [[prompt]]; got None"),
        ("[[prompt]]\ntext = 'a -'", "a thing to each side"),
        ("[[prompt]]\ntext = 'a'\nalso = 'b'", "expected also as a list of texts; got 'b'"),
        ("[[prompt]]\ntext = 'a'\noverlap = 'exclusive'", "a key of [[prompt]] of text,"),
        ("[[prompt]]\ntext = 'a'\nfeather = 99", "expected feather"),
        ("[[prompt]]\ntext = 'a'\n" * 5, "at most 4 prompts"),
        ("source = ", "expected TOML"),
    ],
)
def test_a_show_that_cannot_be_used_is_named_in_one_line(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "show.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as refusal:
        ShowFile.read(path)
    assert message in str(refusal.value)
    assert "show.toml" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_show_that_is_missing_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the show"):
        ShowFile.read(tmp_path / "absent.toml")
    noise = tmp_path / "noise.toml"
    noise.write_bytes(b"\xff\xfe\x00source")
    with pytest.raises(ConfigError, match="expected TOML"):
        ShowFile.read(noise)


def test_a_choice_of_model_survives_the_way_to_another_process(tmp_path: Path) -> None:
    for name in ("sam.pth", "p.safetensors"):
        (tmp_path / name).touch()
    choice = ModelChoice(
        name="sam-vit-l", device="cpu", weights=tmp_path / "sam.pth", clip="ViT-L-14",
        prompter="projection", projection=tmp_path / "p.safetensors", precision="bf16",
        compiled=True,
    )  # fmt: skip
    for made in (choice, ModelChoice(device="cpu")):
        parsed = build_parser().parse_args(["serve", *model_options(made)])
        assert choice_from(parsed) == made


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "sam-vit-z"], "expected a model of embedded, sam-vit-b"),
        (["--model", "sam-vit-b", "--clip", "ViT-Z"], "expected a CLIP of ViT-B-16"),
        (["--prompter", "magic"], "expected a prompter of dense, projection; got 'magic'"),
        (["--precision", "fp8"], "expected a precision of auto"),
        (["--projection", "p"], "--projection together with --prompter projection"),
        (["--weights", "nowhere.pth"], "expected weights in nowhere.pth"),
        (["--device", "quantum"], "expected a device"),
    ],
)
def test_a_model_that_cannot_be_is_refused(options: list[str], message: str) -> None:
    with pytest.raises((ConfigError, ModelError), match=message):
        choice_from(build_parser().parse_args(["serve", *options]))
