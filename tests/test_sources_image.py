"""Images and folders of images."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from promptmatte.errors import SourceEnded, SourceError
from promptmatte.sources import open_source, read_image
from promptmatte.sources.image import ImageSource
from sources_testing import SimulatedClock


def write_image(path: Path, bgr: np.ndarray, exif_orientation: int = 0) -> Path:
    data = cv2.imencode(path.suffix, bgr)[1].tobytes()
    if exif_orientation:  # an APP1 segment with one tag, 0x0112
        tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0" + bytes([exif_orientation])
        body = b"Exif\0\0" + tiff + bytes(6)
        data = data[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + data[2:]
    path.write_bytes(data)
    return path


def test_an_image_is_rgb_without_its_alpha(tmp_path: Path) -> None:
    bgra = np.full((4, 6, 4), (10, 20, 200, 0), np.uint8)
    frame = read_image(write_image(tmp_path / "写真 ä.png", bgra))
    assert frame.pixels.shape == (4, 6, 3)
    assert (frame.pixels == (200, 20, 10)).all()


def test_grey_and_16_bit_images_become_rgb8(tmp_path: Path) -> None:
    grey = np.arange(24, dtype=np.uint8).reshape(4, 6)
    assert (read_image(write_image(tmp_path / "grey.png", grey)).pixels == grey[..., None]).all()
    deep = np.full((4, 6, 3), (0x1000, 0x8000, 0xFF00), np.uint16)
    pixels = read_image(write_image(tmp_path / "deep.png", deep)).pixels
    assert np.abs(pixels.astype(int) - (0xFF, 0x80, 0x10)).max() <= 1


def test_a_turned_photograph_stands_upright(tmp_path: Path) -> None:
    bgr = np.zeros((32, 64, 3), np.uint8)
    bgr[:16, :16] = 255
    frame = read_image(write_image(tmp_path / "turned.jpg", bgr, exif_orientation=6))
    assert frame.size_hw == (64, 32)
    assert frame.pixels[4, -4].min() > 200
    assert frame.pixels[4, 4].max() < 50


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\nand then nothing", b"text" * 100])
def test_a_damaged_image_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"broken\.png") as caught:
        open_source(str(path), clock=SimulatedClock())
    assert "\n" not in str(caught.value)


def test_a_missing_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"absent\.png"):
        read_image(tmp_path / "absent.png")


def test_one_image_repeats_at_30_fps_without_copies(tmp_path: Path) -> None:
    clock = SimulatedClock()
    path = write_image(tmp_path / "still.png", np.full((4, 6, 3), 7, np.uint8))
    source = open_source(str(path), clock=clock)
    frames = [source.read(1.0) for _ in range(31)]
    assert clock.now_ns() == 2_000_000_000
    assert source.read(0.01) is None
    assert all(frame.pixels is frames[0].pixels for frame in frames)
    assert [frame.info.seq for frame in frames] == list(range(31))
    assert frames[30].info.pts_ns == 1_000_000_000
    source.close()


def test_a_folder_plays_in_order_skips_damage_and_loops(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        write_image(tmp_path / f"shot{number}.png", np.full((4, 6, 3), number, np.uint8))
    (tmp_path / "shot3.png").write_bytes(b"damaged")
    (tmp_path / "notes.txt").write_text("no image")
    source = ImageSource(tmp_path, clock=SimulatedClock())
    levels = [int(source.read(1.0).pixels[0, 0, 0]) for _ in range(7)]
    assert levels == [1, 2, 10, 1, 2, 10, 1]
    assert source.damaged == 2
    once = ImageSource(tmp_path, clock=SimulatedClock(), loop=False)
    assert [int(once.read(1.0).pixels[0, 0, 0]) for _ in range(3)] == [1, 2, 10]
    with pytest.raises(SourceEnded):
        once.read(1.0)


def test_a_folder_with_nothing_to_show_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="expected images"):
        ImageSource(tmp_path, clock=SimulatedClock())
    (tmp_path / "a.png").write_bytes(b"damaged")
    source = ImageSource(tmp_path, clock=SimulatedClock())
    with pytest.raises(SourceError, match="none of the 1 images"):
        source.read(1.0)
