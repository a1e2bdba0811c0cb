"""promptmatte config: the example is whole and true to the defaults, and a check finds faults."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from promptmatte.cli import main
from promptmatte.commands.config import checked_show, serve_parser
from promptmatte.commands.serve_show import Show
from promptmatte.commands.show_example import example_show, toml_value
from promptmatte.commands.show_file import SETTINGS, ShowFile
from promptmatte.controls import CONTROLS, Controls
from promptmatte.errors import ConfigError

HAVE_A_VALUE = ("source", "model", "device", "clip", "prompter", "precision", "compiled")


def uncommented(text: str, pattern: str) -> str:
    return re.sub(rf"^#(?={pattern})", "", text, flags=re.MULTILINE)


def written(text: str, folder: Path) -> Path:
    path = folder / "show.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_commented_value_is_the_default(tmp_path: Path) -> None:
    text = example_show(serve_parser())
    path = written(uncommented(text, "[a-z_]+ ="), tmp_path)
    show = ShowFile.read(path)
    assert set(HAVE_A_VALUE) <= set(show.settings)
    assert show.shared == show.controls == Controls()
    assert show.prompts == ()
    assert set(tomllib.loads(path.read_text(encoding="utf-8"))["controls"]) == set(CONTROLS)
    with_file = serve_parser().parse_args(["--config", str(path)])
    without = serve_parser().parse_args([])
    Show.read(with_file)
    Show.read(without)
    for name in SETTINGS:
        default = getattr(without, name)
        assert getattr(with_file, name) == (["shm:promptmatte"] if name == "out" else default)


def test_the_examples_of_what_has_no_default_are_valid_too(tmp_path: Path) -> None:
    text = example_show(serve_parser())
    path = written(uncommented(text, r" ?(\[\[|[a-z_]+ =)"), tmp_path)
    show = ShowFile.read(path)
    assert set(show.settings) == set(SETTINGS)
    (prompt,) = show.prompts
    assert (prompt.text, prompt.also, prompt.negative) == ("person", ("dog",), ("hair",))
    assert show.controls == Controls()


def test_as_written_it_changes_nothing_and_explains_each_line(tmp_path: Path) -> None:
    text = example_show(serve_parser())
    show = ShowFile.read(written(text, tmp_path))
    assert (show.settings, show.prompts, show.controls) == ({}, (), Controls())
    assert "%(" not in text
    assert "(default" not in text
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    for name, row in CONTROLS.items():
        line = lines.index(f"#{name} = {toml_value(row.default)}")
        above = " ".join(part.removeprefix("# ") for part in lines[line - 3 : line])
        assert row.help in above
        if row.kind in ("int", "float"):
            assert f"{row.low:g} to {row.high:g}" in above
        for choice in row.choices:
            assert choice in above


def test_a_file_is_written_once_and_never_over_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "my show.toml"
    assert main(["config", str(path)]) == 0
    text = path.read_text(encoding="utf-8")
    capsys.readouterr()
    assert main(["config"]) == 0
    assert capsys.readouterr().out == text
    path.write_text("mine", encoding="utf-8")
    assert main(["config", str(path)]) == 2
    assert "which exists: choose another name" in capsys.readouterr().err
    assert path.read_text(encoding="utf-8") == "mine"
    assert main(["config", str(tmp_path / "no" / "show.toml")]) == 2
    assert main(["config", "a", "b"]) == 2


def test_check_says_what_a_show_is_or_what_is_wrong_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "show.toml"
    assert main(["config", str(path)]) == 0
    with path.open("a", encoding="utf-8") as file:
        file.write("[[prompt]]\ntext = 'red car'\n")
    assert main(["config", "check", str(path)]) == 0
    assert "good; keys red car with embedded" in capsys.readouterr().out
    for text, message in (
        ("threshold = 0.4", "expected a key of"),
        ("[controls]\nthreshold = 4", "expected threshold as a number of 0.05 to 0.95"),
        ("model = 'sam-9'", "sam-9"),
        ("out = ['zmq:tcp://127.0.0.1:nine']", "nine"),
        ("source = 'shm:'", "expected a session name"),
        ("[[prompt]\n", "expected TOML"),
        ("[[prompt]]\ntext = 'a'\n" * 5, "4"),
    ):
        path.write_text(text, encoding="utf-8")
        assert main(["config", "check", str(path)]) == 2, text
        said = capsys.readouterr().err
        assert message in said
        assert len(said.splitlines()) == 1
    assert main(["config", "check", str(tmp_path / "none.toml")]) == 2


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    path = written(
        "source = 'test:'\ncompiled = true\n[controls]\nthreshold = 0.4\n[[prompt]]\n"
        "text = 'sky'\nexpand = 3\n",
        tmp_path,
    )
    arguments = serve_parser().parse_args(["--config", str(path), "--source", "camera:1"])
    [show] = checked_show(arguments)
    assert (arguments.source, arguments.compiled) == ("camera:1", True)
    assert [c.expand for c in show.controls.channels] == [3.0, 0.0, 0.0, 0.0]
    arguments = serve_parser().parse_args(["--config", str(path), "--prompt", "car"])
    [show] = checked_show(arguments)
    assert [p.text for p in show.prompts] == ["car"]
    assert {c.threshold for c in show.controls.channels} == {0.4}
    assert {c.expand for c in show.controls.channels} == {0.0}


@pytest.mark.parametrize(
    "value",
    ['a "quote" \\ and \ttab', "ünïcödé 红", "\x7f\x01", True, 3, 0.1, 1e-7, ["a", "b"], []],
)
def test_values_are_written_as_toml_reads_them(value: object) -> None:
    assert tomllib.loads(f"x = {toml_value(value)}") == {"x": value}


def test_a_value_that_toml_cannot_have_is_refused() -> None:
    with pytest.raises(ConfigError, match="got None"):
        toml_value(None)
