"""Who competes with whom, how it comes out, and which words are somewhere in a picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from promptmatte.models.clip import ClipNetwork
from promptmatte.models.prompters import presence
from promptmatte.models.prompters.background import background, is_related, stems
from promptmatte.models.prompters.competition import (
    LIMIT,
    Competition,
    Contest,
    near_synonyms,
    opponents,
    standing,
)
from promptmatte.models.vocabulary import vocabulary
from promptmatte.prompts import Prompt, PromptSet
from tiny_clip import tiny_clip
from torch import Tensor


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> ClipNetwork:
    return tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.mark.parametrize(
    ("phrase", "words"),
    [
        ("dog", {"animal"}),
        ("Puppies", {"animal"}),
        ("red jacket", {"person", "clothing", "cloth"}),
        ("singers", {"person", "clothing"}),
        ("sports-car", {"vehicle"}),
        ("skies", {"sky", "cloud"}),
        ("doorway", {"door"}),
        ("brick walls", {"wall"}),
        ("carpet", {"floor"}),
        ("bus", {"vehicle"}),
        ("glasses", {"person", "clothing", "cloth", "window", "bottle"}),
        ("unicorn", set()),
        ("猫", set()),
    ],
)
def test_a_phrase_does_not_compete_with_itself_in_other_words(phrase: str, words: set[str]) -> None:
    assert {word for word in background() if is_related(phrase, word)} == words


def test_the_background_is_a_list_of_plain_words() -> None:
    words = background()
    assert 35 <= len(words) <= 60
    assert all(word == word.strip().lower() and "@" not in word for word in words)
    assert all("@" not in relative for relatives in words.values() for relative in relatives)
    assert {"sky", "wall", "person", "animal"} <= set(words)


def test_plurals_are_the_same_word() -> None:
    assert stems("Dogs") == {"dog"}
    assert stems("a t-shirt") == {"a", "t-shirt", "t", "shirt"}
    assert stems("buses of glass") == {"buse", "of", "glass"}
    assert stems("benches, berries") == {"bench", "berry"}


def test_everything_competes_with_nothing() -> None:
    given = PromptSet(prompts=(Prompt.parse("everything + dog - sky"),))
    assert opponents(given) == {"dog": {"sky"}, "sky": {"dog"}}


def test_things_and_negatives_of_a_prompt_compete_and_prompts_do_not() -> None:
    given = PromptSet(prompts=(Prompt.parse("person + dog - hair - hat"), Prompt(text="jacket")))
    assert opponents(given) == {
        "person": {"hair", "hat"},
        "dog": {"hair", "hat"},
        "hair": {"person", "dog"},
        "hat": {"person", "dog"},
        "jacket": set(),
    }


def test_a_contest_has_terms_first_and_leaves_out_what_is_related(clip: ClipNetwork) -> None:
    words = list(background())
    given = PromptSet(prompts=(Prompt.parse("dog - tail"), Prompt(text="sky")))
    contest = Competition(clip).contest(given)
    assert contest.vectors.shape == (3 + len(words), clip.dim)
    assert contest.rivals.shape == (3, 3 + len(words))
    assert torch.equal(contest.vectors[:3], clip.texts(["dog", "tail", "sky"]))
    rivals = contest.rivals.numpy()
    assert rivals[:, :3].tolist() == [[False, True, False], [True, False, False], [False] * 3]
    assert not rivals[0, 3 + words.index("animal")]
    assert not rivals[2, 3 + words.index("sky")]
    # Random weights know no synonyms, so most words compete.
    assert rivals[0, 3:].mean() > 0.5


def cone(count: int, seed: int) -> Tensor:
    """Unit vectors in a narrow cone, as CLIP's texts: any two have a cosine of about 0.75."""
    noise = F.normalize(torch.randn(count, 256, generator=torch.Generator().manual_seed(seed)))
    middle = torch.zeros(256)
    middle[0] = 1.0
    return F.normalize(middle * 0.75**0.5 + noise * 0.25**0.5, dim=1)


def test_near_synonyms_are_told_apart_inside_the_cone() -> None:
    words = cone(45, seed=0)
    cosines = words @ words.T
    assert float(cosines.min()) > 0.6
    # A synonym as CLIP has it: cosine 0.93 or so with its word; a thing of the same sort: 0.83.
    own = cone(1, seed=1)
    synonym = F.normalize(words[:1] * 0.85 + own * 0.3, dim=1)
    relative = F.normalize(words[:1] * 0.5 + own * 0.9, dim=1)
    assert 0.9 < float(synonym @ words[0]) < 0.99
    assert 0.8 < float(relative @ words[0]) < 0.9
    near = near_synonyms(torch.cat([synonym, relative, own]), words, centre=words)
    assert near[0].tolist() == [True] + [False] * 44
    assert not near[1:].any()


def test_odds_are_those_of_the_softmax_over_term_and_rivals() -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = F.normalize(torch.randn(14, 24, generator=generator), dim=1)
    features = F.normalize(torch.randn(1, 24, 3, 5, generator=generator), dim=1)
    rivals = torch.rand(10, 14, generator=generator) > 0.5
    rivals.fill_diagonal_(False)
    found = standing(features, Contest(vectors=vectors, rivals=rivals), scale=7.0)
    assert found.odds.shape == found.margin.shape == (10, 3, 5)
    logits = torch.einsum("vc,chw->vhw", vectors, features[0]) * 7.0
    for term in range(10):
        others = logits[rivals[term]]
        shares = torch.cat([logits[term : term + 1], others]).softmax(dim=0)[0]
        torch.testing.assert_close(found.odds[term].sigmoid(), shares, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found.margin[term], logits[term] - others.amax(dim=0))


def test_odds_stay_finite_without_rivals_and_far_apart() -> None:
    vectors = torch.eye(3)
    rivals = torch.tensor([[False, True, False], [False, False, False]])
    features = torch.eye(3).T.reshape(1, 3, 1, 3)
    found = standing(features, Contest(vectors=vectors, rivals=rivals), scale=1000.0)
    assert found.odds[0, 0].tolist() == [LIMIT, -LIMIT, 0.0]
    assert found.odds[1].min() == LIMIT


def test_presence_ranks_what_is_there_over_what_is_not() -> None:
    """Axis 0 fills a corner, axis 1 the rest; axis 2 is nowhere; 3 is all that is around."""
    vectors = F.normalize(torch.eye(16) + 0.3, dim=1)
    features = vectors[1][:, None, None].repeat(1, 6, 8)
    features[:, :2, :3] = vectors[0][:, None, None]
    found = presence(features[None], vectors[:3], scale=30.0, background=vectors[3:])
    assert found[0] > 0.95
    assert found[1] > 0.95
    assert found[2] < 0.05
    assert presence(features[None], vectors[:0], scale=30.0) == []


def test_presence_of_one_word_needs_the_background() -> None:
    vectors = F.normalize(torch.eye(16) + 0.3, dim=1)
    features = vectors[1][:, None, None].repeat(1, 6, 8)
    alone = presence(features[None], vectors[:1], scale=30.0, background=vectors[1:])
    assert alone[0] < 0.05


def test_synonyms_do_not_share_a_place_out_among_them() -> None:
    words = cone(20, seed=2)
    twin = F.normalize(words[:1] + 0.05 * cone(1, seed=3), dim=1)
    features = words[0][:, None, None].repeat(1, 4, 4)
    found = presence(
        features[None], torch.cat([words[:5], twin]), scale=100.0, background=words[5:]
    )
    assert found[0] > 0.95
    assert found[5] > 0.9
    assert max(found[1:5]) < 0.05


def test_the_vocabulary_is_a_list_of_many_words_each_once() -> None:
    words = vocabulary()
    assert 200 <= len(words) <= 400
    assert len(set(words)) == len(words)
    assert all(word and word == word.strip() for word in words)
    assert np.mean([word.isascii() for word in words]) == 1.0
