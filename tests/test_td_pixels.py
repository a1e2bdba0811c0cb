"""The one conversion between TouchDesigner's floats and the links' bytes, and reused arrays."""

from __future__ import annotations

import gc
import itertools
import threading

import numpy as np
import pytest
from promptmatte_td.pixels import BytesPool, FloatsToBytes, opaque, upright


@pytest.mark.parametrize("shape", [(1, 1, 4), (7, 5, 4), (720, 1280, 4), (3, 40_000, 4)])
def test_floats_become_rounded_bytes(shape: tuple[int, int, int]) -> None:
    floats = np.random.default_rng(1).random(shape, np.float32) * 1.2 - 0.1
    out = np.empty(shape, np.uint8)
    FloatsToBytes().convert(floats, out)
    expected = np.floor(np.clip(floats, 0, 1) * np.float32(255) + np.float32(0.5))
    np.testing.assert_array_equal(out, expected.astype(np.uint8))


def test_every_byte_comes_back_from_its_float() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(8, 8, 4)
    out = np.empty_like(levels)
    FloatsToBytes().convert(levels.astype(np.float32) / np.float32(255), out)
    np.testing.assert_array_equal(out, levels)


def test_no_number_and_beyond_all_bounds() -> None:
    floats = np.array([[[np.nan, np.inf, -np.inf, 1e30]]], np.float32)
    out = np.empty((1, 1, 4), np.uint8)
    FloatsToBytes().convert(floats, out)
    assert out.tolist() == [[[0, 255, 0, 255]]]


def test_a_steady_stream_uses_the_same_few_arrays_again() -> None:
    pool = BytesPool()
    held = [pool.take((90, 160, 4)) for _ in range(3)]
    places = {array.ctypes.data for array in held}
    for turn in range(1000):
        held.append(pool.take((90, 160, 4)))
        places.add(held[-1].ctypes.data)
        del held[0]
        assert all(a.ctypes.data != b.ctypes.data for a, b in itertools.pairwise(held)), turn
    assert len(places) <= 5


def test_an_array_that_is_held_is_never_lent_again() -> None:
    pool = BytesPool()
    kept = pool.take((4, 4, 4))
    kept[:] = 9
    view = upright(kept)
    for _ in range(50):
        pool.take((4, 4, 4))[:] = 1
    assert (kept == 9).all()
    assert (view == 9).all()


def test_another_size_lets_the_old_arrays_go() -> None:
    pool = BytesPool()
    pool.take((4, 4, 4))
    first = pool.take((8, 8, 4))
    gc.collect()
    assert first.shape == (8, 8, 4)
    assert pool.take((4, 4, 4)).shape == (4, 4, 4)


def test_threads_never_share_an_array() -> None:
    pool, clashes = BytesPool(), []

    def work(mark: int) -> None:
        for _ in range(3000):
            array = pool.take((16, 16, 4))
            array[:] = mark
            if not (array == mark).all():
                clashes.append(mark)

    threads = [threading.Thread(target=work, args=(mark,)) for mark in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clashes == []


def test_a_picture_without_alpha_becomes_opaque() -> None:
    picture = np.random.default_rng(2).integers(0, 256, (3, 4, 3), np.uint8)
    out = np.empty((3, 4, 4), np.uint8)
    opaque(picture, out)
    np.testing.assert_array_equal(out[..., :3], picture)
    assert (out[..., 3] == 255).all()
