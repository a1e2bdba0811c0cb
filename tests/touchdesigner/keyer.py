"""A server without a model, that answers all commands: python keyer.py ADDRESS."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from promptmatte.control.commands import command_handler
from promptmatte.controls import Controls
from promptmatte.links import open_server_link
from promptmatte.links.protocol import CommandHandler, ServerLink
from promptmatte.prompts import Prompt, PromptSet
from promptmatte_shm import Frame, Matte


class Keyer:
    """A server without a model: the matte of its n-th prompt is the picture's red channel
    divided by n. Answers all commands and keeps them in `asked`."""

    def __init__(self, link: ServerLink, *, prepare: Any = lambda handler: handler) -> None:
        self.link = link
        self.prompts, self.controls, self.model = PromptSet(), Controls(), "embedded"
        self.asked: list[Mapping[str, Any]] = []
        self._stop = threading.Event()
        handler = prepare(command_handler(self, threading.Event()))
        link.serve(self._noted(handler))
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _noted(self, handler: CommandHandler) -> CommandHandler:
        def handle(command: Mapping[str, Any]) -> dict[str, Any]:
            self.asked.append(command)
            return handler(command)

        return handle

    def set_prompts(self, prompts: tuple[Prompt, ...]) -> PromptSet:
        if prompts != self.prompts.prompts:
            self.prompts = self.prompts.replaced(prompts)
        return self.prompts

    def notes(self) -> list[str]:
        return []

    def set_controls(self, controls: Controls) -> None:
        self.controls = controls

    def choose_model(self, **changes: Any) -> None:
        self.model = changes["name"]

    def suggest(self, words: Any) -> None:
        pass

    def suggestions(self, limit: int) -> dict[str, Any]:
        found = [{"text": text, "confidence": 0.5} for text in ("sky", "tree")]
        return {"done": True, "error": None, "suggestions": found}

    def status(self) -> dict[str, Any]:
        return {"state": "running", "model": self.model, "prompts": [{}], "dropped": {}}

    def _work(self) -> None:
        while not self._stop.is_set():
            frame = self.link.latest_frame(0.05)
            if frame is not None:
                self.link.send_matte(self.matte(frame))

    def matte(self, frame: Frame) -> Matte:
        red = np.asarray(frame.pixels[..., 0])
        count = len(self.prompts.prompts)
        alpha = np.zeros((*red.shape, 1 if count < 2 else 4), np.uint8)
        for channel in range(count):
            alpha[..., channel] = red // (channel + 1)
        fill = frame.pixels[..., :3].copy() if self.controls.stream.fill == "picture" else None
        return Matte(
            info=frame.info, alpha=alpha, anchor_seq=frame.info.seq, age_ms=1.0,
            confidence=(0.9, 0.8, 0.7, 0.6)[:count], prompts_version=self.prompts.version,
            fill=fill,
        )  # fmt: skip

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self.link.close()


if __name__ == "__main__":
    running = Keyer(open_server_link(sys.argv[1]))
    print("ready", flush=True)
    sys.stdin.read()  # until the program that started it is gone
    running.close()
