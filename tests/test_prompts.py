"""Prompts are checked and cleaned once, with a line that says what to do."""

import pytest
from promptmatte.errors import PromptError
from promptmatte.prompts import MAX_PROMPT_CHARS, Prompt, PromptSet


def test_spaces_and_control_characters_are_cleaned() -> None:
    assert Prompt(text="  red \t\n car\x00 ").text == "red car"


def test_words_in_any_script_are_kept() -> None:
    assert Prompt(text="红色 汽车").text == "红色 汽车"


@pytest.mark.parametrize("text", ["", "   ", "\n\t", "\u200b"])
def test_empty_prompt_is_refused(text: str) -> None:
    with pytest.raises(PromptError, match="expected a prompt such as"):
        Prompt(text=text)


def test_huge_prompt_is_refused() -> None:
    with pytest.raises(PromptError, match=str(MAX_PROMPT_CHARS)):
        Prompt(text="x" * 100_000)


def test_too_many_prompts_and_negatives_are_refused() -> None:
    with pytest.raises(PromptError, match="at most 4 prompts"):
        PromptSet(prompts=tuple(Prompt(text=t) for t in "abcde"))
    with pytest.raises(PromptError, match="at most 4 negatives"):
        Prompt(text="person", negative=tuple("abcde"))


def test_a_change_counts_the_version_up_and_leaves_the_old_set_alone() -> None:
    first = PromptSet()
    second = first.replaced((Prompt(text="person"),))
    assert (first.version, second.version) == (0, 1)
    assert first.prompts == ()
