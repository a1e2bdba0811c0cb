"""The dictionary that all lexicons share: what each word may be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache

from promptmatte.errors import DataError
from promptmatte.models.lexicon.files import Line, Sense, groups_of, lines_of, read_text, sense_of
from promptmatte.models.lexicon.meaning import COLOURS
from promptmatte.models.lexicon.plurals import plurals
from promptmatte.models.lexicon.tokens import key_of, tokens_of
from promptmatte.models.vocabulary import vocabulary

ROLES = (
    "determiner", "adjective", "before", "view", "amount", "thing", "everything", "except",
    "leave out", "excepted", "covered", "of", "possessive", "join", "about", "elsewhere",
    "complexion", "hair colour",
)  # fmt: skip
"""The lines of grammar.txt."""

PLURAL_ROLES = ("view", "amount")


@dataclass(frozen=True, kw_only=True)
class Word:
    """All that a word may be.

    sense: what can be keyed for it, narrower: it is a kind of that; colour: one of COLOURS;
    other: a thing that cannot be keyed; roles: of ROLES.
    """

    sense: Sense | None = None
    narrower: bool = False
    colour: str | None = None
    other: bool = False
    roles: frozenset[str] = frozenset()


UNPLACED = Word()


@dataclass(frozen=True, kw_only=True)
class Dictionary:
    """words: by key. phrases: those of several words, with spaces between. real: words that are
    no misspelling, whatever they are. irregular: singular -> plurals."""

    words: Mapping[str, Word]
    phrases: frozenset[str]
    real: frozenset[str]
    irregular: Mapping[str, tuple[str, ...]]

    @property
    def longest(self) -> int:
        """Words of the longest phrase."""
        return max(phrase.count(" ") + 1 for phrase in self.phrases)


@cache
def dictionary() -> Dictionary:
    """The shipped files; DataError if one of them is not as it should be."""
    groups = groups_of(read_text("groups.txt"), "groups.txt")
    irregular = {line.head: line.words for line in _shipped("plurals.txt")}
    book = Book(irregular)
    for name in ("english.txt", "chinese.txt"):
        book.add_senses(_shipped(name), groups)
    book.add_colours(_shipped("colours.txt"))
    book.add_roles(_shipped("grammar.txt"))
    book.add_others(word for line in _shipped("others.txt") for word in line.words)
    book.add_others(vocabulary())
    near = read_text("near_words.txt").splitlines()
    real = {word for line in near if not line.startswith("#") for word in line.split()}
    return Dictionary(
        words=book.words,
        phrases=frozenset(book.phrases),
        real=frozenset(real),
        irregular=irregular,
    )


def _shipped(name: str) -> list[Line]:
    return list(lines_of(read_text(name), name))


class Book:
    """Collects words; a word that one file names twice is a DataError."""

    def __init__(self, irregular: Mapping[str, tuple[str, ...]]) -> None:
        self.words: dict[str, Word] = {}
        self.phrases: set[str] = set()
        self._irregular = irregular
        self._names: dict[object, str] = {}
        self._own: dict[str, Sense] = {}

    def add_senses(self, lines: Iterable[Line], groups: Mapping[str, tuple[str, ...]]) -> None:
        """Words of lines such as those of english.txt, and the names of their concepts."""
        made: list[tuple[str, Word]] = []
        seen: dict[str, Line] = {}
        for line in lines:
            sense = self._named(sense_of(line, groups))
            self._note_concepts(sense)
            for word, narrower in (
                *((word, False) for word in line.words),
                *((word, True) for word in line.narrower),
            ):
                self._claim(word, line, seen)
                meant = Word(sense=sense, narrower=narrower)
                self._put(word, meant)
                made += [(plural, meant) for plural in plurals(word, self._irregular)]
        for concept, sense in self._own.items():
            meant = Word(sense=sense)
            self._put(concept, meant, unless_there=True)
            made += [(plural, meant) for plural in plurals(concept, self._irregular)]
        for plural, meant in made:
            self._put(plural, meant, unless_there=True)

    def _note_concepts(self, sense: Sense) -> None:
        """What each concept means by its own name: itself, or what stands in for it."""
        for concept in {concept for choice in sense.choices for concept in choice}:
            if sense.choices[0] == (concept,) and len(sense.choices) > 1:
                self._own[concept] = sense
            else:
                self._own.setdefault(concept, Sense(choices=((concept,),)))

    def _named(self, sense: Sense) -> Sense:
        """The sense with the name that the first file has for it; names are English."""
        name = sense.name if sense.name.isascii() else ""
        key = (sense.choices, sense.without)
        return replace(sense, name=self._names.setdefault(key, name))

    def add_colours(self, lines: Iterable[Line]) -> None:
        """Words of lines such as those of colours.txt."""
        seen: dict[str, Line] = {}
        for line in lines:
            if line.head not in COLOURS:
                raise DataError(f"expected a colour of {', '.join(COLOURS)} in {line.place}")
            for word in (line.head, *line.words):
                self._claim(word, line, seen)
                self._put(word, Word(colour=line.head))

    def add_roles(self, lines: Iterable[Line]) -> None:
        """Words of lines such as those of grammar.txt."""
        for line in lines:
            if line.head not in ROLES:
                raise DataError(f"expected a role of {', '.join(ROLES)} in {line.place}")
            seen: dict[str, Line] = {}
            for word in line.words:
                self._claim(word, line, seen)
                role = Word(roles=frozenset({line.head}))
                self._put(word, role)
                if line.head in PLURAL_ROLES:
                    for plural in plurals(word, self._irregular):
                        self._put(plural, role)

    def add_others(self, words: Iterable[str]) -> None:
        """Words of things that cannot be keyed, as far as they mean nothing that can."""
        other = Word(other=True)
        for word in words:
            for form in (word, *plurals(word, self._irregular)):
                self._put(form, other, unless_there=True)

    def _claim(self, word: str, line: Line, seen: dict[str, Line]) -> None:
        key = _key(word)
        if not key:
            raise DataError(f"expected words in {line.place}; got {word!r}")
        if key in seen:
            raise DataError(
                f"expected each word once; {word!r} stands in {seen[key].place} and {line.place}"
            )
        seen[key] = line

    def _put(self, word: str, meant: Word, *, unless_there: bool = False) -> None:
        """Adds what a word may be to what it is already; a thing only if it is none yet, when
        so asked."""
        key, there = _key(word), self.words.get(_key(word), UNPLACED)
        if unless_there and (there.sense or there.other):
            return
        self.words[key] = replace(
            there,
            sense=meant.sense or there.sense,
            narrower=meant.narrower or there.narrower,
            colour=meant.colour or there.colour,
            other=meant.other or there.other,
            roles=there.roles | meant.roles,
        )
        parts = [token.key for token in tokens_of(word)]
        if len(parts) > 1:
            self.phrases.add(" ".join(parts))


def _key(word: str) -> str:
    return word if word == "&" else key_of(word)
