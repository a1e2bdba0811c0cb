"""The test pictures: the same every time, and their truth is the matte they were made with."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from promptmatte.errors import ConfigError
from promptmatte.sources import TestPictures

BUSY = (60, 110, 345, 380, 770)  # both things in the picture; 345: the cat is before the person


@pytest.fixture(scope="module")
def pictures() -> TestPictures:
    return TestPictures()


def test_they_are_what_they_say(pictures: TestPictures) -> None:
    picture, truth = pictures.frame_at(60), pictures.truth_at(60)
    assert (picture.shape, picture.dtype) == ((540, 960, 3), np.uint8)
    assert set(truth) == {"person", "cat"}
    for alpha in truth.values():
        assert (alpha.shape, alpha.dtype) == ((540, 960), np.float32)
        assert alpha.min() >= 0
        assert alpha.max() <= 1
    assert 0.15 < truth["person"].mean() < 0.5
    assert 0.03 < truth["cat"].mean() < 0.3


def test_the_same_index_gives_the_same_picture(pictures: TestPictures) -> None:
    again = TestPictures()
    again.frame_at(7)
    for index in (0, 345):
        assert (again.frame_at(index) == pictures.frame_at(index)).all()
        assert (again.truth_at(index)["cat"] == pictures.truth_at(index)["cat"]).all()
    assert (pictures.frame_at(0) != pictures.frame_at(1)).any()


@pytest.mark.parametrize("index", BUSY)
def test_the_picture_is_background_where_all_truth_is_zero(
    pictures: TestPictures, index: int
) -> None:
    truth = pictures.truth_at(index)
    empty = (truth["person"] == 0) & (truth["cat"] == 0)
    assert 0.3 < empty.mean() < 0.9
    picture, background = pictures.frame_at(index), pictures.background_at(index)
    assert (picture[empty] == background[empty]).all()
    covered = (truth["person"] + truth["cat"]) > 0.99
    assert np.abs(picture[covered].astype(int) - background[covered]).mean() > 20


@pytest.mark.parametrize("index", BUSY)
def test_each_thing_shows_its_own_colours_where_its_truth_is_full(
    pictures: TestPictures, index: int
) -> None:
    truth, picture = pictures.truth_at(index), pictures.frame_at(index)
    for thing in ("person", "cat"):
        alone = TestPictures(things=(thing,))
        full = truth[thing] > 0.999
        difference = np.abs(picture[full].astype(int) - alone.frame_at(index)[full])
        assert difference.max() <= 1
        assert (truth[thing] <= alone.truth_at(index)[thing] + 1e-6).all()
    assert (truth["person"] + truth["cat"]).max() <= 1 + 1e-5


def test_each_thing_hides_the_other_at_times(pictures: TestPictures) -> None:
    alone = {thing: TestPictures(things=(thing,)) for thing in ("person", "cat")}
    hidden = {"person": 0.0, "cat": 0.0}
    for index in range(0, 960, 12):
        truth = pictures.truth_at(index)
        for thing, source in alone.items():
            lost = float((source.truth_at(index)[thing] - truth[thing]).sum())
            hidden[thing] = max(hidden[thing], lost)
    assert min(hidden.values()) > 2000  # pixels


def test_no_cut_edge_of_a_photograph_shows() -> None:
    """The person rises from the lower edge of every picture, the cat hangs from the upper."""
    size_hw = (270, 480)
    person, cat = (TestPictures(things=(t,), size_hw=size_hw) for t in ("person", "cat"))
    seen = 0
    for index in range(0, 1200, 10):
        alpha = person.truth_at(index)["person"]
        assert alpha[0].max() == 0
        columns = np.flatnonzero(alpha.max(axis=0) > 0.5)
        assert (alpha[-1, columns[0] : columns[-1] + 1] > 0.5).mean() > 0.9
        alpha = cat.truth_at(index)["cat"]
        assert alpha[-1].max() == 0
        below = alpha[10] > 0.5
        if below.sum() > 20:
            seen += 1
            assert (alpha[0, below] > 0.5).mean() > 0.9
    assert seen > 40


def test_motion_is_smooth_and_below_a_pixel_at_times() -> None:
    person = TestPictures(things=("person",), size_hw=(270, 480))

    def centre(index: int) -> tuple[float, float]:
        alpha = person.truth_at(index)["person"]
        ys, xs = np.mgrid[: alpha.shape[0], : alpha.shape[1]]
        return float((ys * alpha).sum() / alpha.sum()), float((xs * alpha).sum() / alpha.sum())

    steps = np.diff([centre(i) for i in range(100, 160)], axis=0)
    lengths = np.hypot(*steps.T)
    assert lengths.max() < 6
    assert lengths.min() > 0
    assert (lengths % 1 > 0.05).any()


@pytest.mark.parametrize("size_hw", [(1080, 1920), (480, 640), (640, 360), (33, 47)])
def test_other_sizes_work(size_hw: tuple[int, int]) -> None:
    pictures = TestPictures(size_hw=size_hw)
    assert pictures.frame_at(40).shape == (*size_hw, 3)
    assert pictures.truth_at(40)["person"].shape == size_hw
    assert pictures.truth_at(40)["person"].mean() > 0.1


@pytest.mark.parametrize(
    "options", [{"things": ("dragon",)}, {"things": ()}, {"size_hw": (0, 5)}, {"fps": 0}]
)
def test_what_cannot_be_shown_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        TestPictures(**options)


def test_without_scikit_image_the_extra_is_named() -> None:
    program = (
        "import sys; sys.modules['skimage'] = None\n"
        "from promptmatte.errors import SourceError\n"
        "from promptmatte.sources import TestPictures\n"
        "try:\n    TestPictures()\n"
        "except SourceError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True
    )
    assert "promptmatte[demo]" in done.stdout
    assert done.stdout.count("\n") == 1
