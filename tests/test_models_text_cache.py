"""What was made of texts is kept, up to a number of them."""

from __future__ import annotations

from promptmatte.models.text_cache import KEPT_TEXTS, TextCache


def test_only_fresh_texts_are_made_each_once_and_in_one_go() -> None:
    made: list[list[str]] = []

    def make(texts: list[str]) -> list[str]:
        made.append(texts)
        return [text.upper() for text in texts]

    cache = TextCache(make)
    assert cache.of(["a", "b", "a"]) == ["A", "B", "A"]
    assert cache.of(["b", "c"]) == ["B", "C"]
    assert cache.of([]) == []
    assert made == [["a", "b"], ["c"]]


def test_what_was_not_asked_for_longest_is_forgotten() -> None:
    made: list[str] = []
    cache = TextCache(lambda texts: made.extend(texts) or texts)
    cache.of(["kept", "lost"])
    cache.of([f"{n}" for n in range(KEPT_TEXTS - 2)])
    cache.of(["kept"])
    assert len(cache.of([f"more {n}" for n in range(KEPT_TEXTS + 1)])) == KEPT_TEXTS + 1
    made.clear()
    cache.of(["kept"])
    assert made == ["kept"]
    cache.of(["kept", f"more {KEPT_TEXTS}"])
    assert made == ["kept"]


def test_a_text_asked_for_again_outlives_older_ones() -> None:
    made: list[str] = []
    cache = TextCache(lambda texts: made.extend(texts) or texts)
    cache.of(["kept", "lost"])
    cache.of(["kept"])
    cache.of([f"{n}" for n in range(KEPT_TEXTS - 1)])
    made.clear()
    cache.of(["kept", "lost"])
    assert made == ["lost"]
