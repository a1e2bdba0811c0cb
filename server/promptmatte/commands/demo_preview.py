"""The demo's window, a process of its own: where no window can be opened only it ends."""

from __future__ import annotations

import argparse
import sys

import cv2
import numpy as np
from promptmatte_shm import ClientSession

from promptmatte.commands.demo_panels import Panels
from promptmatte.commands.demo_record import panel_hw, shrunk
from promptmatte.commands.demo_replay import Replay

GONE_S = 5.0
ESCAPE = 27


def show(session: ClientSession, replay: Replay, *, prompt: str) -> None:
    """Shows live mattes until q, Esc, the window's close button or the server's end."""
    title = "PromptMatte demo (q closes this window)"
    while (matte := session.latest_matte(GONE_S)) is not None:
        panels = Panels(panel_hw(matte.size_hw), prompt=prompt)
        picture = shrunk(replay.picture(matte.info.seq), panels.size_hw)
        alpha = shrunk(np.asarray(matte.alpha[..., 0], np.uint8), panels.size_hw)
        row = panels.row(picture, alpha, matte.info.pts_ns / 1e9)
        cv2.imshow(title, panels.strip(row, f"keyframe {matte.age_ms:.0f} ms old")[..., ::-1])
        if cv2.waitKey(1) & 0xFF in (ord("q"), ESCAPE):
            return
        if cv2.getWindowProperty(title, cv2.WND_PROP_VISIBLE) < 1:
            return


def main() -> int:
    """0 when the window was shown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--session", required=True)
    parser.add_argument("--source", required=True)
    parser.add_argument("--prompt", required=True)
    arguments = parser.parse_args()
    replay = Replay(arguments.source)
    with ClientSession(arguments.session) as session:
        show(session, replay, prompt=arguments.prompt)
    return 0


if __name__ == "__main__":
    sys.exit(main())
