"""What to tell who types prompts: words that the model does not know, or takes for others."""

from __future__ import annotations

from collections.abc import Iterator

from promptmatte.models.choice import SAM_NAMES
from promptmatte.models.protocol import Model
from promptmatte.prompts import Prompt, PromptSet, is_everything

OPEN_MODEL = SAM_NAMES[0]
"""The smallest of the catalogue's models that look for any words."""

MOST_CHARS = 60
"""Of a text in a note."""

MOST_WORDS = 3
"""Unknown words of one text that are named."""


def notes_on(prompts: PromptSet, model: Model, *, change: str = "promptmatte model") -> list[str]:
    """A short sentence for each term that the model knows nothing or only some of, or takes for
    something else; in order of appearance, each once. Quick, from any thread.

    change: what to type before the name of another model.
    """
    notes = [note for prompt in prompts.prompts for note in _notes_on(prompt, model, change)]
    return list(dict.fromkeys(notes))


def _notes_on(prompt: Prompt, model: Model, change: str) -> Iterator[str]:
    alone = not prompt.also
    for term, outcome in (
        (prompt.text, "its matte stays empty" if alone else "it adds nothing"),
        *((term, "it adds nothing") for term in prompt.also),
        *((term, "nothing is left out for it") for term in prompt.negative),
    ):
        note = None if is_everything(term) else _note_on(term, outcome, model, change)
        if note is not None:
            yield note


def _note_on(term: str, outcome: str, model: Model, change: str) -> str | None:
    unknown, taken_as = model.unknown_words(term), model.taken_as(term)
    taken = f"{_quoted(term)} taken as {_quoted(taken_as)}" if taken_as is not None else None
    if not unknown:
        return taken
    words = " and ".join(_quoted(word) for word in unknown[:MOST_WORDS])
    other = f"{OPEN_MODEL} would look for it ({change} {OPEN_MODEL})"
    return f"{model.name} does not know {words}: {taken or outcome}; {other}"


def _quoted(text: str) -> str:
    return f'"{text}"' if len(text) <= MOST_CHARS else f'"{text[: MOST_CHARS - 3]}..."'
