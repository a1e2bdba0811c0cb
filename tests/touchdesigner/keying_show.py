"""The whole way: build, start the server, key, change prompts, kill -9, another size, the end."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from show import SETTINGS, Show, answers, np, overlap


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.is_file() or state.read_text().split()[2] != "Z"


def watched(show: Show, truths: np.ndarray, frames: int) -> dict[str, Any]:
    """Whether picture and delay agree in every frame, and how mattes fit their own frames."""
    wrong, fits, flipped, delays, numbers = [], [], [], [], set()
    for turn in range(frames):
        show.run(1)
        number = show.number_shown()
        now = int(show.bench.session.frame)
        if number != now - round(show.info("delay_frames")):
            wrong.append((number, now, show.info("delay_frames")))
        delays.append(show.info("delay_frames"))
        numbers.add(number)
        if turn % 8 == 0:
            truth = truths[number % len(truths)]
            alpha = show.shown(1)[..., 0]
            fits.append(overlap(alpha, truth))
            flipped.append(overlap(alpha[::-1], truth))
    return {
        "wrong": wrong[:5],
        "fit": float(np.mean(fits)),
        "fit_flipped": float(np.mean(flipped)),
        "delay_frames": float(np.median(delays)),
        "different_frames": len(numbers),
        "frames": frames,
    }


def has_opposite(show: Show) -> bool:
    """Whether the second channel is the first one inverted, and neither is everything."""
    red, green = show.shown(1)[..., 0], show.shown(1)[..., 1]
    return bool(0.02 < red.mean() < 0.9 and np.abs(red + green - 1).mean() < 0.05)


def composite_error(show: Show) -> dict[str, float]:
    """How the server's foreground differs from the picture where the matte is full."""
    composite, picture = show.shown(3), show.shown(2)
    solid = composite[..., 3] > 0.99
    straight = np.abs(composite[solid][:, :3] - picture[solid][:, :3]).mean()
    swapped = np.abs(composite[solid][:, 2::-1] - picture[solid][:, :3]).mean()
    return {"straight": float(straight), "swapped": float(swapped), "solid": int(solid.sum())}


def main() -> None:
    with np.load(SETTINGS["pictures"]) as kept:
        pictures, truths = kept["pictures"], kept["truths"]
    show = Show(pictures)
    results: dict[str, Any] = {"first_status": ""}
    show.run(60)
    results["first_status"] = show.status
    show.set(Session=SETTINGS["session"], Program=SETTINGS["program"], Workingsize="input",
             Serveroptions=SETTINGS["options"], Prompt1="person", Encodehz=5.0)  # fmt: skip
    show.press("Start")
    show.run_until(lambda: show.info("fps") > 5, "mattes after Start")
    results["keying"] = watched(show, truths, 240)
    results["status"] = show.status
    results["models"] = show.component.par.Model.menuNames

    show.set(Fill="foreground")
    show.run_until(
        lambda: float(show.component.op("switch_composite").par.index) == 1, "foreground"
    )
    show.run(20)
    results["composite"] = composite_error(show)
    show.set(Fill="none")
    show.run_until(lambda: float(show.component.op("switch_composite").par.index) == 0, "cut out")
    results["cut_out"] = composite_error(show)

    show.set(Prompt2="person", Invert2=True)
    show.run_until(lambda: has_opposite(show), "the opposite in green")
    results["confidence2"] = show.info("confidence2")

    pid = show.server_pid
    os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    show.run_until(
        lambda: show.shown(1)[..., :3].max() == 0, "an empty matte once the server is gone"
    )
    results["lost"] = {"live": show.number_shown() == int(show.bench.session.frame)}
    show.run_until(lambda: show.server_pid not in (None, pid), "another server")
    show.run_until(lambda: has_opposite(show), "both prompts after the restart")
    results["after_restart"] = watched(show, truths, 60)
    results["log"] = show.log[-60:]

    show.pictures = np.ascontiguousarray(pictures[:, ::-1, ::-1][:, :140, :240])
    show.run_until(lambda: show.shown(1).shape[:2] == (140, 240), "mattes of another size")
    results["after_resize"] = watched(show, np.zeros((1, 140, 240), bool), 60)

    pid = show.server_pid
    show.component.destroy()
    deadline_s = time.monotonic() + 60
    while alive(pid) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    results["server_ended"] = not alive(pid)
    results["refusals"] = [str(r) for r in show.bench.refusals]
    results["late_frames"] = show.bench.late_frames
    results["code_ms"] = float(np.median(show.bench.frame_ms))
    show.bench.close()
    answers(results)


main()
