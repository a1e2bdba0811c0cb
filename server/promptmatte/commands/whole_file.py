"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av

from promptmatte.errors import PromptMatteError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A file beside `path`, of the same suffix, to write: it becomes `path` at the end.

    When the block fails or is interrupted it is removed and `path` stays as it was.
    PromptMatteError when it cannot be written, at once if the folder forbids it.
    """
    partial = path.with_name(f".promptmatte-{os.getpid()}{path.suffix}")
    try:
        partial.write_bytes(b"")
        yield partial
        partial.replace(path)
    except PromptMatteError:
        raise
    except (OSError, av.FFmpegError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PromptMatteError(
            f"cannot write {path}: {reason}; nothing was kept: check the folder's rights and room"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
