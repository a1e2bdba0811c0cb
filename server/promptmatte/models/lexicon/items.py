"""A text cut into what it is made of: the longest words and phrases that are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from promptmatte.models.lexicon.tokens import COMMAS, MINUS, Token
from promptmatte.models.lexicon.words import UNPLACED, Word

DESCRIBING = ("ing", "ed", "ly", "ish", "less", "like")
"""Endings of unknown words that describe; the rest of such a word has three letters or more."""

COMMA = Word(roles=frozenset({"comma"}))
EXCEPT = Word(roles=frozenset({"except"}))
GRAMMAR = frozenset({"comma", "join", "possessive", "of", "except", "covered", "about"})


@dataclass(frozen=True, kw_only=True)
class Item:
    """A word or phrase and all that it may be.

    text: as typed. key: its spelling. possessive: it belongs to what comes next ("woman's").
    ideographs: how many Chinese characters it has. attached: no space before it.
    """

    text: str
    key: str
    word: Word
    possessive: bool = False
    ideographs: int = 0
    attached: bool = False

    def __contains__(self, role: str) -> bool:
        return role in self.word.roles

    @property
    def is_unplaced(self) -> bool:
        """True for a word that is in no file."""
        return self.word is UNPLACED

    @property
    def describes(self) -> bool:
        """True for an adjective or a verb, listed or by its ending."""
        if self.is_unplaced:
            return any(
                self.key.endswith(ending) and len(self.key) >= len(ending) + 3
                for ending in DESCRIBING
            )
        return "adjective" in self or "determiner" in self

    @property
    def names(self) -> bool:
        """True for a thing, keyed or not, and for a word that is in no file."""
        if self.is_unplaced:
            return not self.describes
        return self.word.sense is not None or self.word.other


def items_of(
    tokens: Sequence[Token],
    look_up: Callable[[str], Word | None],
    *,
    phrases: frozenset[str],
    longest: int,
) -> list[Item]:
    """The items of a text, longest first; runs of unknown Chinese are one item each."""
    items: list[Item] = []
    start = 0
    while start < len(tokens):
        for count in range(min(longest, len(tokens) - start), 0, -1):
            item = _item(tokens[start : start + count], look_up, phrases)
            if item is not None:
                break
        else:  # not one word of it is known
            count, item = 1, _plain(tokens[start : start + 1], UNPLACED)
        items.append(item)
        start += count
    return _merged(items)


def _item(
    tokens: Sequence[Token], look_up: Callable[[str], Word | None], phrases: frozenset[str]
) -> Item | None:
    """The item that these tokens are together, if they are one."""
    first = tokens[0]
    if len(tokens) == 1 and first.is_sign:
        sign = COMMA if first.key in COMMAS else EXCEPT if first.key == MINUS else None
        return _plain(tokens, sign or look_up(first.key) or UNPLACED)
    if any(token.is_sign for token in tokens) or any(token.possessive for token in tokens[:-1]):
        return None
    word = look_up("".join(token.key for token in tokens))
    if word is None:
        return None
    if len(tokens) > 1 and " ".join(token.key for token in tokens) not in phrases:
        # "back pack" is a backpack, but "green house" no greenhouse and "a live" not alive.
        apart = look_up(first.key)
        if first.key == "a" or (apart is not None and apart.colour and not first.is_ideograph):
            return None
    return _plain(tokens, word)


def _plain(tokens: Sequence[Token], word: Word) -> Item:
    parts = [token.text if token.attached else f" {token.text}" for token in tokens]
    return Item(
        text="".join(parts).strip(),
        key="".join(token.key for token in tokens),
        word=word,
        possessive=tokens[-1].possessive,
        ideographs=sum(token.is_ideograph for token in tokens),
        attached=tokens[0].attached,
    )


def _merged(items: Sequence[Item]) -> list[Item]:
    """The items with unknown Chinese characters in one piece, and with them the single known
    ones that they touch: in a word that is not known, these mean something else."""
    merged: list[Item] = []
    for item in items:
        before = merged[-1] if merged else None
        if (
            before is not None
            and item.attached
            and _may_merge(before)
            and _may_merge(item)
            and (_is_strange(before) or _is_strange(item))
        ):
            merged[-1] = replace(
                before,
                text=before.text + item.text,
                key=before.key + item.key,
                word=UNPLACED,
                ideographs=before.ideographs + item.ideographs,
            )
        else:
            merged.append(item)
    return merged


def _is_strange(item: Item) -> bool:
    return item.is_unplaced and item.ideographs > 0


def _may_merge(item: Item) -> bool:
    return _is_strange(item) or (
        item.ideographs == 1 and len(item.key) == 1 and not item.word.roles & GRAMMAR
    )
