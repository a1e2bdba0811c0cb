"""The lane of keyframe work: copies there and back, on a CPU and, where there is one, a card."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from promptmatte.models.lane import Lane

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")


def frame(seed: int, *shape: int) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    pixels.flags.writeable = False
    return pixels


def test_a_read_only_frame_goes_up_unharmed() -> None:
    pixels = frame(0, 4, 5, 3)
    with Lane("cpu") as lane:
        tensor = lane.upload(pixels)
        assert tensor.device.type == "cpu"
        assert np.array_equal(tensor.numpy(), pixels)
        tensor += 1
    assert np.array_equal(pixels, frame(0, 4, 5, 3))


def test_a_turned_and_cropped_frame_goes_up_as_it_looks() -> None:
    pixels = frame(1, 6, 8, 3)[::-1, 2:7]
    assert np.array_equal(Lane("cpu").upload(pixels).numpy(), pixels)


def test_what_comes_down_is_the_callers_own() -> None:
    tensor = torch.randn(2, 3, requires_grad=True)
    array = Lane("cpu").download(tensor)
    assert np.array_equal(array, tensor.detach().numpy())
    array += 1
    assert not np.array_equal(array, tensor.detach().numpy())


def test_a_lane_can_be_entered_again_after_an_error() -> None:
    lane = Lane("cpu")
    with pytest.raises(ValueError, match="stop"), lane:
        raise ValueError("stop")
    with lane as again:
        assert again is lane


@pytest.mark.gpu
@needs_cuda
def test_on_a_card_work_runs_on_the_lanes_stream_and_comes_back() -> None:
    lane = Lane("cuda")
    outside = torch.cuda.current_stream()
    with lane:
        assert torch.cuda.current_stream() != outside
        sums = []
        for seed in range(6):
            # Sizes up and down, one after the other, without waiting between them.
            pixels = frame(seed, 300 + 100 * (seed % 3), 400, 3)
            sums.append((int(pixels.sum()), lane.upload(pixels).long().sum()))
        found = [(want, int(lane.download(total))) for want, total in sums]
    assert torch.cuda.current_stream() == outside
    assert all(want == got for want, got in found)


@pytest.mark.gpu
@needs_cuda
def test_on_a_card_buffers_are_used_again_and_results_are_not_overwritten() -> None:
    lane = Lane("cuda")
    with lane:
        lane.upload(frame(0, 500, 400, 3))
        reserved = torch.cuda.memory_reserved()
        first = lane.download(lane.upload(frame(1, 500, 400, 3)))
        second = lane.download(lane.upload(frame(2, 500, 400, 3)))
        assert torch.cuda.memory_reserved() == reserved
    assert np.array_equal(first, frame(1, 500, 400, 3))
    assert np.array_equal(second, frame(2, 500, 400, 3))
