"""What several test modules share: a small network with random weights, a link, a picture."""

from __future__ import annotations

import copy
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from links_testing import free_address
from promptmatte.models.embedded import save_weights
from promptmatte.models.embedded_network import EmbeddedNetwork
from promptmatte.models.embedded_words import EmbeddedArchitecture

torch.set_num_threads(1)

TINY = EmbeddedArchitecture(
    concepts=("car", "cat", "disc", "dog", "face", "hair", "horse", "person", "sky", "tree"),
    backbone="tf_efficientnet_lite0",
    input_side=96,
    dim=32,
)


@pytest.fixture(scope="session")
def tiny_network() -> EmbeddedNetwork:
    torch.manual_seed(7)
    return EmbeddedNetwork(TINY).eval()


@pytest.fixture(scope="session")
def tiny_weights(tiny_network: EmbeddedNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file of the real format; what it keys means nothing."""
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(tiny_network, path, {"made_by": "tests"})
    return path


@pytest.fixture(scope="session")
def sure_weights(tiny_network: EmbeddedNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights that are sure of themselves, so that the alpha is not empty."""
    network = copy.deepcopy(tiny_network)
    with torch.no_grad():
        network.presence_bias.fill_(4.0)
        network.word_bias.fill_(0.0)
    path = tmp_path_factory.mktemp("weights") / "sure.safetensors"
    save_weights(network, path, {})
    return path


@pytest.fixture
def session() -> str:
    """A shared-memory address that is free."""
    return free_address("shm")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A still of noise, 160x90."""
    path = tmp_path / "still.png"
    cv2.imwrite(str(path), np.random.default_rng(2).integers(0, 256, (90, 160, 3), np.uint8))
    return path
