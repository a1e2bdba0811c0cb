"""Another program that uses NDI, through cyndilib alone. Usage: receive NAME | send NAME SIZE.

receive: prints the name of the source it found, then its size, and pixels at four places, for
every picture that differs in one of these. send: sends until it is killed; at the left alpha 0,
at the right 255; red above, blue below.
"""

import json
import sys
import time
from fractions import Fraction

import numpy as np
from cyndilib import (
    Finder,
    FourCC,
    Receiver,
    RecvBandwidth,
    RecvColorFormat,
    Sender,
    VideoFrameSync,
    VideoSendFrame,
)

PATIENCE_S = 60.0


def receive(name: str) -> None:
    finder = Finder()
    deadline_s = time.monotonic() + PATIENCE_S
    while not (found := [n for n in finder.update_sources() if n.endswith(f"({name})")]):
        if time.monotonic() > deadline_s:
            sys.exit("no source came")
        time.sleep(0.05)
    print(found[0], flush=True)
    receiver = Receiver(
        color_format=RecvColorFormat.BGRX_BGRA, bandwidth=RecvBandwidth.highest,
        allow_video_fields=False,
    )  # fmt: skip
    picture = VideoFrameSync()
    receiver.frame_sync.set_video_frame(picture)
    receiver.set_source(finder.get_source(found[0]))
    told = None
    while True:
        receiver.frame_sync.capture_video()
        if not picture.get_data_size():
            time.sleep(0.02)
            continue
        width, height = picture.get_resolution()
        rows = picture.get_array().reshape(height, picture.get_line_stride())
        bgra = rows[:, : 4 * width].reshape(height, width, 4)
        places = [(height // 4, width // 4), (height // 4, 3 * width // 4)]
        places += [(3 * y, x) for y, x in places]
        corners = [bgra[y, x, [2, 1, 0, 3]].tolist() for y, x in places]
        saw = {"size": [height, width], "fourcc": picture.get_fourcc().name, "rgba": corners}
        if saw != told:
            told = saw
            print(json.dumps(saw), flush=True)
        time.sleep(0.02)


def send(name: str, size: str) -> None:
    height, width = map(int, size.split("x"))
    picture = VideoSendFrame()
    picture.set_resolution(width, height)
    picture.set_fourcc(FourCC.RGBA)
    picture.set_frame_rate(Fraction(30, 1))
    sender = Sender(ndi_name=name)  # whose pictures keep their rate
    sender.set_video_frame(picture)
    sender.open()
    print(sender.name, flush=True)
    rgba = np.zeros((height, width, 4), np.uint8)
    rgba[: height // 2, :, 0] = rgba[height // 2 :, :, 2] = rgba[:, width // 2 :, 3] = 255
    while True:
        sender.write_video(rgba.reshape(-1))


if __name__ == "__main__":
    {"receive": receive, "send": send}[sys.argv[1]](*sys.argv[2:])
