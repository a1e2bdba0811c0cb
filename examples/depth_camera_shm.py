"""A depth camera for promptmatte points: depth_camera_shm.py [SERVER [DEPTH [COUNT]]].

Sends a picture to the server and its XYZ to `promptmatte points --xyz shm:DEPTH`, and counts
the points that come back. Put your camera in the place of `camera`.
"""

import sys
import time

import numpy as np
from promptmatte_shm import ClientSession, Frame, FrameInfo


def camera(seq: int, height: int = 240, width: int = 320) -> tuple[np.ndarray, np.ndarray]:
    """A picture, uint8 [H, W, 3], and x, y, z in metres, float32 [H, W, 4]: a tilted wall."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    picture = np.dstack([rows, columns, rows + seq]).astype(np.uint8)
    z = 2 + rows / height
    x, y = (columns - width / 2) * z / 300, (rows - height / 2) * z / 300
    return picture, np.dstack([x, y, z, np.ones_like(z)])


server, depth, count = (*sys.argv[1:], *("promptmatte", "depth", "100")[len(sys.argv) - 1 :])
stream_id = time.monotonic_ns()
with (
    ClientSession(server.removeprefix("shm:")) as colour_link,
    ClientSession(depth.removeprefix("shm:")) as points_link,
):
    seq = shown = 0
    deadline_s = time.monotonic() + 20 + 0.1 * int(count)
    while shown < int(count):
        if time.monotonic() > deadline_s:
            sys.exit("expected points back; got none: do the server and promptmatte points run?")
        picture, xyz = camera(seq)
        info = FrameInfo(
            stream_id=stream_id, seq=seq, pts_ns=0, captured_ns=time.monotonic_ns()
        )  # the same for both, so that they find each other
        colour_link.send_frame(Frame(info=info, pixels=picture))
        points_link.send_frame(Frame(info=info, pixels=xyz))
        seq += 1
        texture = points_link.latest_matte(timeout_s=0.033)
        if texture is not None and texture.info.stream_id == stream_id:
            kept = texture.alpha[..., 3] > 0
            print(f"seq {texture.info.seq}: {np.count_nonzero(kept)} of {kept.size} points")
            shown += 1
