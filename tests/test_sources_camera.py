"""Cameras: absent, unplugged, blocked. A video file behind cv2.VideoCapture stands for one."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from promptmatte.clock import RealClock
from promptmatte.errors import ConfigError, SourceError
from promptmatte.sources import open_source
from promptmatte.sources.camera import CameraSource
from promptmatte.sources.latest_reader import LatestReader
from sources_testing import index_of, play_out, write_video


def test_a_camera_that_is_not_there_says_what_to_do() -> None:
    with pytest.raises(SourceError, match=r"camera:97.*check that it is connected") as caught:
        open_source("camera:97", clock=RealClock())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("spec", ["camera:", "camera:-1"])
def test_a_camera_that_cannot_be_is_refused(spec: str) -> None:
    with pytest.raises(ConfigError, match="expected camera:NUMBER"):
        open_source(spec, clock=RealClock())


def test_the_newest_picture_is_given_and_an_unplugged_camera_is_lost(tmp_path: Path) -> None:
    path = write_video(tmp_path / "camera.avi")
    source = CameraSource(str(path), clock=RealClock(), silence_s=0.3)
    frames, error = play_out(source)
    source.close()
    assert isinstance(error, SourceError)
    assert "gives no pictures any more" in str(error)
    assert index_of(frames[-1]) == 11  # the last picture is never lost
    assert len(frames) + source.skipped == 12
    assert [f.info.seq for f in frames] == list(range(len(frames)))
    assert frames[0].info.pts_ns == 0
    assert (np.diff([f.info.captured_ns for f in frames]) > 0).all()
    assert not any(t.name.endswith(str(path)) for t in threading.enumerate())
    source.close()


class Driver:
    """A driver made to misbehave: gives one picture, then does what `then` says."""

    def __init__(self, then: str) -> None:
        self.then = then
        self.given = 0
        self.unblock = threading.Event()
        self.released = threading.Event()

    def grab(self) -> tuple[npt.NDArray[np.uint8], int | None] | None:
        self.given += 1
        if self.given == 1:
            return np.zeros((2, 2, 3), np.uint8), None
        if self.then == "block":
            self.unblock.wait()
        elif self.then == "raise":
            raise OSError("the driver fell over")
        return None

    def release(self) -> None:
        self.released.set()


def test_a_driver_that_blocks_holds_up_neither_read_nor_close() -> None:
    driver = Driver("block")
    reader = LatestReader(driver, name="stuck", clock=RealClock(), silence_s=0.2)
    frame = reader.read(20)
    assert frame is not None
    assert frame.info.seq == 0
    assert reader.read(0.0) is None
    assert "stuck gives no pictures" in str(play_out(reader)[1])
    reader.close()
    assert not driver.released.is_set()  # freed by its own thread, once it returns
    driver.unblock.set()
    assert driver.released.wait(20)


def test_a_driver_that_raises_ends_the_source_after_the_last_picture() -> None:
    driver = Driver("raise")
    reader = LatestReader(driver, name="broken", clock=RealClock())
    assert driver.released.wait(20)
    frame = reader.read(20)
    assert frame is not None
    assert frame.info.seq == 0
    for _ in range(2):
        with pytest.raises(SourceError, match="broken failed: OSError: the driver fell over"):
            reader.read(0)
    reader.close()


def test_a_camera_that_never_starts_is_lost() -> None:
    driver = Driver("nothing")
    driver.given = 1
    reader = LatestReader(driver, name="dark", clock=RealClock(), first_picture_s=0.2)
    assert "dark gives no pictures" in str(play_out(reader)[1])
    reader.close()
    assert driver.released.is_set()
