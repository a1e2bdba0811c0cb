"""A typed text as a list of words, in one spelling."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from importlib import resources

from promptmatte.errors import DataError

MAX_TOKENS = 200
"""More are not read: a prompt has 200 characters at most."""

COMMAS = frozenset(",;/+|、。")
MINUS = "-"

_IDEOGRAPHS = "\u3400-\u9fff\uf900-\ufaff\u3005\u3007"
_PIECE = re.compile(
    rf"[{_IDEOGRAPHS}]"
    rf"|(?:(?![{_IDEOGRAPHS}])[^\W_])+(?:'(?:(?![{_IDEOGRAPHS}])[^\W_])+)*'?"
    rf"|[,;/+|、。&]"
    rf"|(?<!\S)[-–—−](?!\S)"
)
_APOSTROPHES = str.maketrans(dict.fromkeys("‘’`´ʼ′", "'"))
_DOTTED = re.compile(r"(?<=\b\w)\.(?=\w\b)")
_SHORT_WITH = re.compile(r"(?<!\S)w/(o\b)?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Token:
    """One word, ideograph or sign.

    text: as typed. key: in lower case without accents and possessive s, simplified when
    Chinese. possessive: it ended in 's or s'. attached: no space before it.
    """

    text: str
    key: str
    possessive: bool = False
    attached: bool = False

    @property
    def is_ideograph(self) -> bool:
        """True for a Chinese character."""
        return bool(re.fullmatch(rf"[{_IDEOGRAPHS}]", self.key))

    @property
    def is_sign(self) -> bool:
        """True for a comma and the like, and for a minus."""
        return self.key in COMMAS or self.key in (MINUS, "&")


def tokens_of(text: str) -> list[Token]:
    """The words and signs of a text in order; other characters part words."""
    plain = unicodedata.normalize("NFKC", text).translate(_APOSTROPHES)
    plain = _SHORT_WITH.sub(lambda found: "without " if found[1] else "with ", plain)
    plain = _DOTTED.sub("", plain)
    found = []
    end = -1
    for piece in _PIECE.finditer(plain):
        token = _token(piece[0], attached=piece.start() == end)
        end = piece.end()
        if token.key:
            found.append(token)
            if len(found) == MAX_TOKENS:
                break
    return found


def key_of(text: str) -> str:
    """What the words of a text are looked up by: their keys without spaces, signs left out."""
    return "".join(token.key for token in tokens_of(text) if not token.is_sign)


def _token(piece: str, *, attached: bool) -> Token:
    if piece in "–—−":
        return Token(text=piece, key=MINUS)
    folded = unicodedata.normalize("NFD", piece.casefold())
    key = "".join(c for c in folded if unicodedata.category(c) != "Mn").translate(_simplified())
    key = unicodedata.normalize("NFC", key)
    possessive = key.endswith(("'s", "s'"))
    key = key.removesuffix("'s").replace("'", "")
    return Token(text=piece.strip("'"), key=key, possessive=possessive, attached=attached)


@cache
def _simplified() -> dict[int, str]:
    """traditional.txt: traditional character -> simplified one; DataError."""
    text = resources.files(__package__).joinpath("traditional.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    pairs = [pair for line in lines for pair in line.split()]
    wrong = next((pair for pair in pairs if len(pair) != 2), None)
    if wrong is not None:
        raise DataError(f"expected pairs of characters in traditional.txt; got {wrong!r}")
    return {ord(pair[0]): pair[1] for pair in pairs}
