"""The projection prompter on small networks with seeded random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from promptmatte.errors import ModelError
from promptmatte.models.clip import ClipNetwork
from promptmatte.models.prompters.projection import ProjectionPrompter
from promptmatte.models.prompters.projection_network import (
    PADDING_LOGIT,
    GridFeatures,
    ProjectionArchitecture,
    ProjectionNetwork,
)
from promptmatte.models.prompters.projection_weights import Fit, load_projection, save_projection
from promptmatte.models.prompters.protocol import SamClipFeatures
from promptmatte.models.sam import SamNetwork
from promptmatte.prompts import Prompt, PromptSet
from tiny_clip import tiny_clip
from tiny_sam import tiny_sam

PROMPTS = PromptSet(
    prompts=(Prompt(text="dog", negative=("tail",)), Prompt(text="cat", also=("dog", "bird")))
)


def sam_network(seed: int = 0, *, precision: str = "fp32") -> SamNetwork:
    return SamNetwork(tiny_sam(seed), kind="sam-vit-b", device="cpu", precision=precision)


@pytest.fixture(scope="module")
def sam() -> SamNetwork:
    return sam_network()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> ClipNetwork:
    return tiny_clip(tmp_path_factory.mktemp("clip"))


def projection(
    sam: SamNetwork, clip: ClipNetwork, *, seed: int = 3, conditioned: bool = True, tokens: int = 1
) -> ProjectionNetwork:
    torch.manual_seed(seed)
    architecture = ProjectionArchitecture(
        text_dim=clip.dim, prompt_dim=sam.dim, image_conditioned=conditioned, tokens=tokens
    )
    return ProjectionNetwork(architecture).eval()


def opened(network: ProjectionNetwork) -> ProjectionNetwork:
    """The network as after training: what the picture adds is no longer nothing."""
    network.gates.data[:] = 1.0
    torch.nn.init.normal_(network.condition[-1].weight, std=0.05)
    return network


def encoded(sam: SamNetwork, clip: ClipNetwork, shape: tuple[int, int], seed: int = 0):
    pixels = np.random.default_rng(seed).integers(0, 255, (*shape, 3), np.uint8)
    features = sam.encode(pixels)
    rows, columns = features.grid_hw
    dense = clip.dense(pixels, guide=features.embedding[..., :rows, :columns])
    return SamClipFeatures(sam=features, clip=dense)


def on_grid(features: SamClipFeatures) -> GridFeatures:
    return GridFeatures.of(
        image=features.sam.embedding, clip=features.clip, grid_hw=features.sam.grid_hw
    )


def test_training_starts_from_text_alone(sam: SamNetwork, clip: ClipNetwork) -> None:
    seen = on_grid(encoded(sam, clip, (40, 64)))
    words = torch.nn.functional.normalize(torch.randn(3, clip.dim), dim=1)
    text_only = projection(sam, clip, conditioned=False)
    conditioned = projection(sam, clip, seed=9)
    conditioned.load_state_dict(text_only.state_dict(), strict=False)
    with torch.no_grad():
        ours = conditioned.decode(sam, seen, words)
        theirs = text_only.decode(sam, seen, words)
        changed = opened(conditioned).decode(sam, seen, words)
    torch.testing.assert_close(ours.masks, theirs.masks)
    torch.testing.assert_close(ours.quality, theirs.quality)
    assert theirs.coarse is None
    assert (changed.masks - theirs.masks).abs().max() > 0.1


@pytest.mark.parametrize("tokens", [1, 4])
def test_a_batch_of_pictures_is_each_by_itself(
    sam: SamNetwork, clip: ClipNetwork, tokens: int
) -> None:
    network = opened(projection(sam, clip, tokens=tokens))
    pictures = [
        on_grid(encoded(sam, clip, shape, i)) for i, shape in enumerate([(36, 64), (64, 50)])
    ]
    words = torch.nn.functional.normalize(torch.randn(3, clip.dim), dim=1)
    rows = torch.tensor([1, 0, 1])
    with torch.no_grad():
        together = network.decode(sam, GridFeatures.stacked(pictures), words, rows)
        for index, row in enumerate(rows.tolist()):
            alone = network.decode(sam, pictures[row], words[index : index + 1])
            torch.testing.assert_close(together.masks[index], alone.masks[0], atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(together.quality[index], alone.quality[0])
            torch.testing.assert_close(together.coarse[index], alone.coarse[0])


def test_the_padding_shows_nothing_and_has_no_say(sam: SamNetwork, clip: ClipNetwork) -> None:
    network = opened(projection(sam, clip))
    seen = on_grid(encoded(sam, clip, (32, 64)))
    words = torch.nn.functional.normalize(torch.randn(2, clip.dim), dim=1)
    other = GridFeatures(
        image=seen.image, clip=torch.where(seen.inside, seen.clip, 5.0), inside=seen.inside
    )
    with torch.no_grad():
        found, again = (network.decode(sam, each, words) for each in (seen, other))
    height = found.coarse.shape[-2]
    assert (found.coarse[:, height // 2 :] == PADDING_LOGIT).all()
    assert (found.coarse[:, : height // 2] != PADDING_LOGIT).all()
    torch.testing.assert_close(found.masks, again.masks)
    torch.testing.assert_close(found.quality, again.quality)


def test_gradients_reach_the_projection_and_not_the_networks(
    sam: SamNetwork, clip: ClipNetwork
) -> None:
    network = opened(projection(sam, clip, tokens=2))
    seen = on_grid(encoded(sam, clip, (64, 64)))
    words = network.words(clip.texts(["dog", "cat"]))
    found = network.decode(sam, seen, words)
    (found.masks.mean() + found.quality_logits.mean() + found.coarse.mean()).backward()
    without = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []
    assert not sam.no_mask.requires_grad


@pytest.mark.parametrize("conditioned", [True, False])
def test_prompts_give_masks_of_the_picture_and_a_confidence(
    sam: SamNetwork, clip: ClipNetwork, conditioned: bool
) -> None:
    prompter = ProjectionPrompter(
        sam=sam, clip=clip, network=projection(sam, clip, conditioned=conditioned)
    )
    features = encoded(sam, clip, (27, 64))
    decoded = prompter.decode(features, PROMPTS, prompter.embed(PROMPTS))
    assert prompter.name == "projection"
    assert decoded.logits.shape == (2, *features.sam.mask_hw)
    assert decoded.logits.dtype == np.float32
    assert np.isfinite(decoded.logits).all()
    assert all(0 <= confidence <= 1 for confidence in decoded.confidence)
    nothing = prompter.decode(features, PromptSet(), prompter.embed(PromptSet()))
    assert nothing.confidence == ()


def test_the_best_candidate_for_the_text_is_kept(sam: SamNetwork, clip: ClipNetwork) -> None:
    network = projection(sam, clip)
    prompter = ProjectionPrompter(sam=sam, clip=clip, network=network)
    features = encoded(sam, clip, (64, 64))
    prompts = PromptSet(prompts=(Prompt(text="dog"),))
    words = prompter.embed(prompts)
    with torch.no_grad():
        found = network.decode(sam, on_grid(features), words)
    best = int(found.quality[0].argmax())
    decoded = prompter.decode(features, prompts, words)
    np.testing.assert_array_equal(decoded.logits[0], found.masks[0, best].numpy())
    assert decoded.confidence[0] == pytest.approx(float(found.quality[0, best]), abs=1e-4)


def test_a_new_prompt_encodes_no_picture(clip: ClipNetwork) -> None:
    model = tiny_sam()
    sam = SamNetwork(model, kind="sam-vit-b", device="cpu")
    features = encoded(sam, clip, (64, 64))
    calls: list[int] = []
    model.image_encoder.register_forward_hook(lambda *_: calls.append(1))
    model.image_encoder.neck.register_forward_hook(lambda *_: calls.append(1))
    prompter = ProjectionPrompter(sam=sam, clip=clip, network=projection(sam, clip))
    for text in ("dog", "cat"):
        prompts = PromptSet(prompts=(Prompt(text=text),))
        prompter.decode(features, prompts, prompter.embed(prompts))
    assert calls == []
    sam.encode(np.zeros((64, 64, 3), np.uint8))
    assert calls != []


def test_weights_come_back_as_they_were_saved(
    sam: SamNetwork, clip: ClipNetwork, tmp_path: Path
) -> None:
    network = opened(projection(sam, clip, tokens=3))
    path = tmp_path / "projection.safetensors"
    save_projection(network, path, fit=Fit.of(sam, clip), metadata={"steps": 1})
    again = load_projection(path, fit=Fit.of(sam, clip))
    assert again.architecture == network.architecture
    for name, value in network.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, atol=1e-3, rtol=1e-3)
    prompter = ProjectionPrompter.load(path, sam=sam, clip=clip)
    features = encoded(sam, clip, (64, 64))
    decoded = prompter.decode(features, PROMPTS, prompter.embed(PROMPTS))
    plain = ProjectionPrompter(sam=sam, clip=clip, network=network)
    expected = plain.decode(features, PROMPTS, plain.embed(PROMPTS))
    np.testing.assert_allclose(decoded.logits, expected.logits, atol=0.05)


def test_precision_does_not_change_what_weights_fit_but_training_does(
    sam: SamNetwork, clip: ClipNetwork, tmp_path: Path
) -> None:
    fit = Fit.of(sam, clip)
    assert Fit.of(sam_network(precision="bf16"), tiny_clip(tmp_path, precision="fp16")) == fit
    assert Fit.of(sam_network(1), clip).sam_fingerprint != fit.sam_fingerprint
    assert Fit.of(sam, tiny_clip(tmp_path, seed=8)).clip_fingerprint != fit.clip_fingerprint


def test_weights_for_other_models_are_refused_with_both_named(
    sam: SamNetwork, clip: ClipNetwork, tmp_path: Path
) -> None:
    path = tmp_path / "projection.safetensors"
    save_projection(projection(sam, clip), path, fit=Fit.of(sam, clip), metadata={})
    other = SamNetwork(tiny_sam(5), kind="sam-vit-l", device="cpu")
    with pytest.raises(ModelError, match=r"for sam-vit-l .* fits sam-vit-b .*train projection"):
        ProjectionPrompter.load(path, sam=other, clip=clip)
    with pytest.raises(ModelError, match="fits sam-vit-b"):
        ProjectionPrompter.load(path, sam=sam, clip=tiny_clip(tmp_path / "clip", seed=11))


def test_files_that_are_no_projection_are_refused(
    sam: SamNetwork, clip: ClipNetwork, tiny_weights: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="promptmatte train projection --data DIR --sam sam-vit-b"):
        ProjectionPrompter.load(tmp_path / "absent.safetensors", sam=sam, clip=clip)
    with pytest.raises(ModelError, match="got 'promptmatte-embedded-2'"):
        ProjectionPrompter.load(tiny_weights, sam=sam, clip=clip)
    path = tmp_path / "projection.safetensors"
    save_projection(projection(sam, clip), path, fit=Fit.of(sam, clip), metadata={})
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match="cannot read them"):
        ProjectionPrompter.load(path, sam=sam, clip=clip)


def test_only_one_to_four_tokens_are_made(sam: SamNetwork, clip: ClipNetwork) -> None:
    for tokens in (0, 5):
        with pytest.raises(ModelError, match="1 to 4"):
            projection(sam, clip, tokens=tokens)
