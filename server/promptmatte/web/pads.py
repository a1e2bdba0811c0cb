"""Prompt pads: what they hold, kept in a file so that every device shows the same ones."""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path
from typing import Any

from promptmatte.errors import CommandError
from promptmatte.models.store import Store
from promptmatte.prompts import Prompt, PromptSet

logger = logging.getLogger(__name__)

DEFAULT_WORDS = ("person", "face", "hair", "sky", "car", "tree", "dog", "clothes")

Prompts = list[dict[str, Any]]
"""As the command `prompt` takes them."""


def pads_file() -> Path:
    """Where pads are kept: beside the models, see PROMPTMATTE_CACHE."""
    return Store.from_environment().folder.parent / "web-pads.json"


class Pads:
    """Eight sets of prompts, recalled with one tap; from any thread."""

    def __init__(self, path: Path) -> None:
        """A file that is not there or cannot be read leaves the pads with words to start from."""
        self._path = path
        self._lock = threading.Lock()
        self._pads: list[Prompts] = [[Prompt.parse(word).entry] for word in DEFAULT_WORDS]
        try:
            self._pads = _checked(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError, KeyError) as error:
            logger.warning("the prompt pads in %s cannot be used: %s", path, error)

    @property
    def labels(self) -> list[str]:
        """What each pad is called: its prompts as one types them."""
        return [
            " | ".join(Prompt.of_entry(entry).typed for entry in prompts) or "nothing"
            for prompts in self._pads
        ]

    def recall(self, index: int) -> Prompts:
        """The prompts of a pad."""
        return self._pads[index]

    def store(self, index: int, prompts: Prompts) -> None:
        """Keeps these prompts in a pad, in the file too; CommandError if it cannot be written."""
        with self._lock:
            pads = [*self._pads[:index], prompts, *self._pads[index + 1 :]]
            partial = self._path.with_suffix(".partial")
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                partial.write_text(json.dumps(pads, ensure_ascii=False, indent=1), encoding="utf-8")
                partial.replace(self._path)
            except OSError as error:
                raise CommandError(
                    f"cannot keep the pad in {self._path}: {error.strerror}; check the folder's "
                    "rights and room"
                ) from error
            self._pads = pads


def _checked(content: Any) -> list[Prompts]:
    """The pads of a file; ValueError, TypeError or KeyError for anything else."""
    if not isinstance(content, list) or len(content) != len(DEFAULT_WORDS):
        raise ValueError(f"expected a list of {len(DEFAULT_WORDS)} pads")
    return [
        [p.entry for p in PromptSet(prompts=tuple(map(Prompt.of_entry, prompts))).prompts]
        for prompts in content
    ]
