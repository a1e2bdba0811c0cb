"""Understands prompts: English and Chinese, for a model that knows a list of concepts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, lru_cache

from promptmatte.models.lexicon.files import Sense
from promptmatte.models.lexicon.items import Item, items_of
from promptmatte.models.lexicon.joining import joined
from promptmatte.models.lexicon.meaning import Meaning
from promptmatte.models.lexicon.plurals import plurals
from promptmatte.models.lexicon.reading import Reader, Thing
from promptmatte.models.lexicon.spelling import Speller
from promptmatte.models.lexicon.tokens import Token, key_of, tokens_of
from promptmatte.models.lexicon.words import UNPLACED, Word, dictionary

KEPT_MEANINGS = 2048
MOST_MISSPELT = 3
"""A text with more unknown words than this is not taken for a misspelt one."""

CORRECTED_ROLES = frozenset({"everything", "except"})
"""Words about a thing that are put right; without the others a text means the same."""

_key_of_concept = cache(key_of)
"""For the names in the data files, which are few."""


class Lexicon:
    """What texts mean in these concepts; used from any thread.

    A concept that the data files do not name goes by its own name and the plural of that. Case,
    spaces and hyphens of names do not count: "T-Shirt" is the files' "t-shirt".
    """

    def __init__(self, concepts: Sequence[str]) -> None:
        self._concepts = dict.fromkeys(concepts)
        self._names = {concept.casefold().strip(): concept for concept in self._concepts}
        self._by_key = {key_of(concept): concept for concept in self._concepts}
        self._dictionary = dictionary()
        self._words: Mapping[str, Word] = {**self._dictionary.words, **self._own_words()}
        self._phrases = self._dictionary.phrases | {
            " ".join(token.key for token in tokens_of(concept) if not token.is_sign)
            for concept in self._concepts
        }
        self._longest = max(phrase.count(" ") + 1 for phrase in self._phrases)
        self._reader = Reader(self._thing)
        self._parts = frozenset(self._parts_of_phrases())
        self._speller = Speller(self._spellings())
        self._known = lru_cache(maxsize=KEPT_MEANINGS)(self._meaning)

    @property
    def concepts(self) -> tuple[str, ...]:
        """The concepts there are."""
        return tuple(self._concepts)

    def meaning(self, text: str) -> Meaning:
        """What a text asks for; the same text has the same Meaning."""
        return self._known(text)

    def _meaning(self, text: str) -> Meaning:
        tokens = tokens_of(text)
        found = joined(self._reader.read(self._items(tokens)))
        if found.unknown:
            right = self._respelt(tokens, found.unknown)
            if right is not None:
                found = joined(self._reader.read(self._items(right)), respelt=True)
        name = self._names.get(text.casefold().strip())
        if name is not None and name not in found.any_of:  # such as "cup/mug", or of signs only
            return Meaning(any_of=(name,))
        nothing = not (found.any_of or found.everything or found.unknown)
        return replace(found, unknown=(text.strip(),)) if nothing and text.strip() else found

    def _items(self, tokens: Sequence[Token]) -> list[Item]:
        return items_of(tokens, self._words.get, phrases=self._phrases, longest=self._longest)

    def _own_words(self) -> dict[str, Word]:
        """The names of the concepts as words, unless a line of the files says what they mean."""
        shipped = self._dictionary.words
        own: dict[str, Word] = {}
        for concept in self._concepts:
            there = shipped.get(key_of(concept), UNPLACED)
            if there.sense and any(concept in self._of(choice) for choice in there.sense.choices):
                continue
            sense = Sense(choices=((concept,),))
            for form in (concept, *plurals(concept, self._dictionary.irregular)):
                meant = shipped.get(key_of(form), UNPLACED)
                if meant.sense is None or meant.sense == there.sense:
                    own[key_of(form)] = replace(meant, sense=sense, narrower=False, other=False)
        return own

    def _thing(self, word: Word) -> Thing | None:
        """What a word stands for among the concepts there are; None when it is not known."""
        sense = word.sense
        if sense is None:
            return None
        if sense.whole:
            return Thing(whole=True, without=self._of(sense.without), name=sense.name)
        for place, choice in enumerate(sense.choices):
            concepts = self._of(choice)
            if concepts:
                name = sense.name if len(choice) > 1 else ""
                name = name or " + ".join(concepts)
                return Thing(concepts=concepts, name=name, loose=word.narrower or place > 0)
        return None

    def _of(self, concepts: Iterable[str]) -> tuple[str, ...]:
        keys = (_key_of_concept(concept) for concept in concepts)
        return tuple(self._by_key[key] for key in keys if key in self._by_key)

    def _spellings(self) -> Iterator[str]:
        """Every word that a misspelt one could be meant to be, and what phrases are made of."""
        together = {phrase.replace(" ", "") for phrase in self._phrases if " " in phrase}
        for key, word in self._words.items():
            if word.sense or word.other or key not in together:
                yield key
        yield from (part for phrase in self._phrases for part in phrase.split())
        yield from self._dictionary.real

    def _parts_of_phrases(self) -> Iterator[str]:
        """The words of all phrases of which something is known."""
        for phrase in self._phrases:
            if self._thing(self._words.get(phrase.replace(" ", ""), UNPLACED)) is not None:
                yield from phrase.split()

    def _respelt(self, tokens: Sequence[Token], unknown: Sequence[str]) -> list[Token] | None:
        """The text with its misspelt words put right; None if there are none, or too many."""
        strange = [t for t in tokens if t.text in unknown and t.key not in self._words]
        if len(strange) > MOST_MISSPELT:
            return None
        right = {t.key: word for t in strange for word in [self._nearest(t.key)] if word}
        changed = [replace(t, key=right.get(t.key, t.key)) for t in tokens]
        return changed if right else None

    def _nearest(self, key: str) -> str | None:
        """The one word that a misspelt one must be; None for a word that is right, or when
        it may be one of several or one of another thing."""
        if key in self._dictionary.real:
            return None
        words = self._speller.nearest(key)
        meanings = {self._aim(word) for word in words}
        return words[0] if len(meanings) == 1 and None not in meanings else None

    def _aim(self, word: str) -> object:
        """What a word is good for as a correction: equal for words that come to the same, None
        for one of another thing."""
        known = self._words.get(word, UNPLACED)
        thing = self._thing(known)
        if thing is not None:
            return (thing.concepts, thing.whole)
        if word in self._parts:
            return word
        if known.other or known.sense:
            return None
        return known.colour or next(iter(known.roles & CORRECTED_ROLES), None)
