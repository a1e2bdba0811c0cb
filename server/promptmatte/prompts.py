"""Prompts as people type them, checked once, and the immutable set the engine works from."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from promptmatte.errors import PromptError
from promptmatte.frame import MAX_CHANNELS

MAX_PROMPT_CHARS = 200
MAX_ALSO = 4
MAX_NEGATIVES = 4

OPERATORS = {"+": "also", **dict.fromkeys(("-", "–", "−", "but not", "without"), "negative")}
"""What joins the things of one prompt, with a space to each side. Both dashes are what some
systems make of a typed hyphen."""

_OPERATOR = re.compile(
    rf"(?<!\S)({'|'.join(re.escape(sign) for sign in OPERATORS)})(?!\S)", re.IGNORECASE
)


def clean_text(text: str) -> str:
    """The text with control characters and doubled spaces removed; PromptError if unusable."""
    printable = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text)
    cleaned = " ".join(printable.split())
    if not cleaned:
        raise PromptError(
            f"expected a prompt such as 'person' or 'red car'; got {text[:40]!r}: "
            "type the name of the thing to key"
        )
    if len(cleaned) > MAX_PROMPT_CHARS:
        raise PromptError(
            f"expected a prompt of at most {MAX_PROMPT_CHARS} characters; "
            f"got {len(cleaned)}: shorten it to the name of the thing"
        )
    return cleaned


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What one matte keys: a thing and the things in `also`, without those in `negative`."""

    text: str
    also: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", clean_text(self.text))
        for name, most in (("also", MAX_ALSO), ("negative", MAX_NEGATIVES)):
            things: tuple[str, ...] = getattr(self, name)
            if len(things) > most:
                title = "more things" if name == "also" else "negatives"
                raise PromptError(f"expected at most {most} {title} a prompt; got {len(things)}")
            object.__setattr__(self, name, tuple(clean_text(thing) for thing in things))

    @classmethod
    def parse(cls, text: str, *, also: Sequence[str] = (), negative: Sequence[str] = ()) -> Prompt:
        """The prompt that one line of text says: "person + dog", "person - hair".

        "but not" and "without" are other words for the minus. Signs and words count with a
        space to each side only, in any order; also and negative are added to what the text
        says. PromptError for a sign with nothing before or after it.
        """
        first, *rest = _OPERATOR.split(clean_text(text))
        things = {"also": list[str](), "negative": list[str]()}
        for sign, thing in zip(rest[::2], rest[1::2], strict=True):
            things[OPERATORS[sign.lower()]].append(thing)
        if rest and not all(part.strip() for part in (first, *rest[1::2])):
            raise PromptError(
                f"expected a thing to each side of every + and -, such as 'person + dog - hair'; "
                f"got {text[:40]!r}"
            )
        return cls(
            text=first,
            also=(*things["also"], *also),
            negative=(*things["negative"], *negative),
        )

    @property
    def terms(self) -> tuple[str, ...]:
        """Every text that has to be found for this prompt: its own, also, negative."""
        return (self.text, *self.also, *self.negative)


@dataclass(frozen=True, kw_only=True)
class PromptSet:
    """Up to four prompts, a matte channel each; version counts up with every change."""

    version: int = 0
    prompts: tuple[Prompt, ...] = ()

    def __post_init__(self) -> None:
        if len(self.prompts) > MAX_CHANNELS:
            raise PromptError(
                f"expected at most {MAX_CHANNELS} prompts, a matte channel each; "
                f"got {len(self.prompts)}"
            )

    @property
    def terms(self) -> tuple[str, ...]:
        """The texts that a model has to find, each once, in order of appearance."""
        return tuple(dict.fromkeys(term for prompt in self.prompts for term in prompt.terms))

    def replaced(self, prompts: tuple[Prompt, ...]) -> PromptSet:
        """A set of these prompts, one version on."""
        return PromptSet(version=self.version + 1, prompts=prompts)
