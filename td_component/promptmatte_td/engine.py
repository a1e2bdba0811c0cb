"""What works beside the cooking thread: the link and its two threads, opened and closed as one."""

from __future__ import annotations

import threading
from pathlib import Path

from promptmatte_td.conversation import Conversation
from promptmatte_td.links import LinkChoice, Modules, open_link
from promptmatte_td.mixing import Mixes
from promptmatte_td.pictures import PictureThread


class Engine:
    """One link at work. LinkUnavailableError from the constructor where it cannot be opened."""

    def __init__(self, choice: LinkChoice, *, modules: Modules, folder: Path) -> None:
        self.choice = choice
        self._link = open_link(choice, modules=modules, folder=folder)
        mixes = Mixes()
        self.pictures = PictureThread(self._link, mixes)
        self.conversation = Conversation(self._link, mixes)

    def close(self) -> threading.Thread:
        """Ends the threads and the link on a thread of its own, which may be waited for."""
        closing = threading.Thread(target=self._close, name="promptmatte-td-closing", daemon=True)
        closing.start()
        return closing

    def _close(self) -> None:
        self.pictures.close()
        self.conversation.close()
        self._link.close()
