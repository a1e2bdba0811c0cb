"""Prompts are checked and cleaned once, with a line that says what to do."""

import pytest
from promptmatte.errors import PromptError
from promptmatte.prompts import MAX_PROMPT_CHARS, Prompt, PromptSet, is_everything


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
    with pytest.raises(PromptError, match="at most 4 more things"):
        Prompt.parse("a + b + c + d + e + f")


def test_a_change_counts_the_version_up_and_leaves_the_old_set_alone() -> None:
    first = PromptSet()
    second = first.replaced((Prompt(text="person"),))
    assert (first.version, second.version) == (0, 1)
    assert first.prompts == ()


@pytest.mark.parametrize(
    ("text", "also", "negative"),
    [
        ("person", (), ()),
        ("person + dog", ("dog",), ()),
        ("person - hair", (), ("hair",)),
        ("person – hair", (), ("hair",)),
        ("person but not hair", (), ("hair",)),
        ("person  WITHOUT \n hair", (), ("hair",)),
        ("person but hair", (), ("hair",)),
        ("person except hair", (), ("hair",)),
        ("person Except For hair", (), ("hair",)),
        ("person + dog - hair", ("dog",), ("hair",)),
        ("person but hair except collar", (), ("hair", "collar")),
        ("person - hair + dog but not red collar", ("dog",), ("hair", "red collar")),
    ],
)
def test_one_line_says_union_and_difference(
    text: str, also: tuple[str, ...], negative: tuple[str, ...]
) -> None:
    assert Prompt.parse(text) == Prompt(text="person", also=also, negative=negative)


@pytest.mark.parametrize(
    "text",
    [
        "t-shirt",
        "black-and-white cat",
        "person+dog",
        "c++ book",
        "butter",
        "exceptional dog",
        "nothing but hair",
        "Nothing but hair",
        "nothing except for hair",
    ],
)
def test_a_sign_inside_a_word_is_part_of_it(text: str) -> None:
    assert Prompt.parse(text) == Prompt(text=text)


@pytest.mark.parametrize(
    "text",
    [
        "person -",
        "- hair",
        "+",
        "person + - hair",
        "without",
        "but not hair",
        "except the sky",
        "person but",
        "all except for",
    ],
)
def test_a_sign_with_nothing_beside_it_is_refused(text: str) -> None:
    with pytest.raises(PromptError, match=r"a thing to each side of every \+ and -"):
        Prompt.parse(text)


def test_fields_are_added_to_what_the_text_says() -> None:
    prompt = Prompt.parse("person + dog", also=["cat"], negative=["hair"])
    assert prompt == Prompt(text="person", also=("dog", "cat"), negative=("hair",))


@pytest.mark.parametrize(
    ("text", "first", "negative"),
    [
        ("everything but the sky", "everything", "the sky"),
        ("everything but not the sky", "everything", "the sky"),
        ("everything except for the sky", "everything", "the sky"),
        ("everything except the sky", "everything", "the sky"),
        ("all but the car", "all", "the car"),
        ("anything but people", "anything", "people"),
    ],
)
def test_everything_but_a_thing_is_a_difference(text: str, first: str, negative: str) -> None:
    prompt = Prompt.parse(text)
    assert prompt == Prompt(text=first, negative=(negative,))
    assert is_everything(prompt.text)
    assert PromptSet(prompts=(prompt,)).terms == (negative,)


def test_everything_is_a_term_that_no_model_is_asked_for() -> None:
    for term in ("Everything", "all", "the whole picture", "Entire Image", "一切", "所有"):
        assert is_everything(term)
    for term in ("everything red", "all cars", "picture", "sky", "the", "所有的人"):
        assert not is_everything(term)
    prompts = PromptSet(
        prompts=(Prompt.parse("everything + dog - sky"), Prompt.parse("person - everything"))
    )
    assert prompts.terms == ("dog", "sky", "person")
    assert prompts.prompts[0].terms == ("everything", "dog", "sky")


def test_terms_are_named_once_in_order() -> None:
    prompts = PromptSet(prompts=(Prompt.parse("person + dog - hair"), Prompt.parse("hair - dog")))
    assert prompts.terms == ("person", "dog", "hair")
