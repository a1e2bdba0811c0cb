"""Prompts as people type them, checked once, and the immutable set the engine works from."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from promptmatte.errors import PromptError
from promptmatte.frame import MAX_CHANNELS

MAX_PROMPT_CHARS = 200
MAX_ALSO = 4
MAX_NEGATIVES = 4

SPELT_MINUS = ("but not", "without", "except for", "except", "but")
"""Words for the minus. Not after "nothing": "nothing but hair" is hair."""

OPERATORS = {"+": "also", **dict.fromkeys(("-", "–", "−", *SPELT_MINUS), "negative")}
"""What joins the things of one prompt, with a space to each side. Both dashes are what some
systems make of a typed hyphen."""

EVERYTHING = frozenset({
    "everything", "all", "anything", "whole picture", "whole image", "whole frame", "whole screen",
    "entire picture", "entire image", "entire frame", "一切", "所有", "全部", "所有东西",
    "所有東西", "整个画面", "整個畫面",
})  # fmt: skip
"""Terms that stand for the whole picture with every model; "the" may come before them."""

_WORDS = "|".join(sorted(map(re.escape, SPELT_MINUS), key=len, reverse=True))
_SIGNS = "|".join(re.escape(sign) for sign in OPERATORS if sign not in SPELT_MINUS)
_OPERATOR = re.compile(rf"(?<!\S)({_SIGNS}|(?<!\bnothing )(?:{_WORDS}))(?!\S)", re.IGNORECASE)


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


def is_everything(term: str) -> bool:
    """True for a term that stands for the whole picture, for which no model is asked."""
    return term.casefold().removeprefix("the ") in EVERYTHING


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

        "but not", "without", "except", "except for" and "but" are other words for the minus.
        Signs and words count with a space to each side only, in any order; also and negative
        are added to what the text says. PromptError for a sign with nothing before or after it.
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

    @classmethod
    def of_entry(cls, entry: Mapping[str, Any]) -> Prompt:
        """The prompt of an entry; KeyError, TypeError or PromptError for anything else."""
        return cls(text=entry["text"], also=tuple(entry["also"]), negative=tuple(entry["negative"]))

    @property
    def entry(self) -> dict[str, Any]:
        """text, also and negative as JSON values: an entry of the command `prompt`."""
        return {"text": self.text, "also": list(self.also), "negative": list(self.negative)}

    @property
    def typed(self) -> str:
        """The line that says this prompt, as parse takes it."""
        also = "".join(f" + {thing}" for thing in self.also)
        negative = "".join(f" - {thing}" for thing in self.negative)
        return f"{self.text}{also}{negative}"

    @property
    def terms(self) -> tuple[str, ...]:
        """Every text that this prompt is made of: its own, also, negative."""
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
        """The texts that a model has to find, each once, in order of appearance; "everything"
        is none of them."""
        every = dict.fromkeys(term for prompt in self.prompts for term in prompt.terms)
        return tuple(term for term in every if not is_everything(term))

    def replaced(self, prompts: tuple[Prompt, ...]) -> PromptSet:
        """A set of these prompts, one version on."""
        return PromptSet(version=self.version + 1, prompts=prompts)
