"""Sentences about words that a model does not know, or takes for others."""

from __future__ import annotations

from moving_scene import ColourModel
from promptmatte.models.lexicon import Lexicon
from promptmatte.notes import OPEN_MODEL, notes_on
from promptmatte.prompts import Prompt, PromptSet

OTHER = "; sam-vit-b would look for it (promptmatte model sam-vit-b)"


class LexiconModel(ColourModel):
    """A ColourModel that has the words of a lexicon."""

    name = "embedded"

    def __init__(self) -> None:
        super().__init__()
        self._lexicon = Lexicon(("person", "dog", "car", "hair", "sky"))

    def unknown_words(self, text: str) -> tuple[str, ...]:
        return self._lexicon.meaning(text).unknown

    def taken_as(self, text: str) -> str | None:
        return self._lexicon.meaning(text).taken_as


class OpenModel(ColourModel):
    """A ColourModel that looks for any words."""

    def unknown_words(self, text: str) -> tuple[str, ...]:
        return ()

    def taken_as(self, text: str) -> str | None:
        return None


def notes(*texts: str) -> list[str]:
    prompts = PromptSet(prompts=tuple(Prompt.parse(text) for text in texts))
    assert notes_on(prompts, OpenModel()) == []
    return notes_on(prompts, LexiconModel())


def test_what_is_known_needs_no_note() -> None:
    assert notes("person + dog - hair", "red car", "everything but the sky", "一切") == []
    assert notes_on(PromptSet(), LexiconModel()) == []


def test_an_unknown_word_is_named_with_a_model_that_would_look_for_it() -> None:
    assert OPEN_MODEL == "sam-vit-b"
    assert notes("dragon") == [
        f'embedded does not know "dragon": its matte stays empty{OTHER}'
    ]  # fmt: skip
    assert notes("a red Stage Light") == [
        f'embedded does not know "Stage Light": its matte stays empty{OTHER}'
    ]
    assert notes("lorem ipsum") == [
        f'embedded does not know "lorem" and "ipsum": its matte stays empty{OTHER}'
    ]


def test_a_word_that_is_one_of_several_says_what_that_does() -> None:
    assert notes("person + dragon - unicorn", "guitar + dog") == [
        f'embedded does not know "dragon": it adds nothing{OTHER}',
        f'embedded does not know "unicorn": nothing is left out for it{OTHER}',
        f'embedded does not know "guitar": it adds nothing{OTHER}',
    ]
    assert notes("everything but the dragon") == [
        f'embedded does not know "dragon": nothing is left out for it{OTHER}'
    ]


def test_a_word_that_is_taken_for_another_is_named_with_it() -> None:
    assert notes("persn", "guitarist + poodle", "sky") == [
        '"persn" taken as "person"',
        '"guitarist" taken as "person"',
        '"poodle" taken as "dog"',
    ]
    assert notes("asdf car") == [
        f'embedded does not know "asdf": "asdf car" taken as "car"{OTHER}'
    ]  # fmt: skip


def test_each_note_is_there_once_and_short() -> None:
    assert len(notes("dragon", "dragon", "persn", "persn")) == 2
    [note] = notes("zzyzx" * 40)
    assert len(note) < 200
    assert '..."' in note
    [note] = notes(" ".join(f"zzyzx{index}" for index in range(20)))
    assert note.count("zzyzx") == 3


def test_another_way_to_change_the_model_can_be_named() -> None:
    prompts = PromptSet(prompts=(Prompt(text="dragon"),))
    [note] = notes_on(prompts, LexiconModel(), change="--model")
    assert note.endswith("(--model sam-vit-b)")
