"""What a service runs, and where what belongs to it lies."""

from __future__ import annotations

import json
import os
import re
import sys
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from promptmatte import user_folders
from promptmatte.errors import ConfigError, ServiceError, shown
from promptmatte.sources.redaction import redacted

DEFAULT_NAME = "promptmatte"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")

CARRIED = ("PYTHONPATH", "PROMPTMATTE_CACHE", "PROMPTMATTE_MIRROR", "CUDA_VISIBLE_DEVICES")
"""Variables that a service gets as they are when it is installed."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One service. ConfigError for what no system's file can say, and for a password.

    options: of `promptmatte serve`. folder: where it runs; paths in a show are taken from there.
    log: the newest file of its log.
    """

    name: str = DEFAULT_NAME
    options: tuple[str, ...]
    folder: Path
    log: Path
    python: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checked_name(self.name)
        for text in (*self.command, str(self.folder), *self.environment.values()):
            if any(unicodedata.category(sign) in ("Cc", "Cs") for sign in text):
                raise ConfigError(
                    f"expected no control characters in what a service runs; got {shown(text)}"
                )
            if redacted(text) != text:
                raise ConfigError(
                    "expected no user name, password or query in a service's options, as every "
                    f"user can list them; got {redacted(text)}: put it into a show file"
                )

    @classmethod
    def here(cls, name: str, options: tuple[str, ...]) -> Job:
        """The job with this Python, folder and environment."""
        python = Path(sys.executable)
        windowless = python.with_name("pythonw.exe")
        return cls(
            name=name,
            options=options,
            folder=Path.cwd(),
            log=log_path(name),
            python=windowless if windowless.is_file() else python,
            environment={n: os.environ[n] for n in CARRIED if os.environ.get(n)},
        )

    @classmethod
    def installed(cls, name: str) -> Job:
        """The job that was recorded; ServiceError when there is none."""
        path = _record_path(checked_name(name))
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            paths = {key: Path(record.pop(key)) for key in ("folder", "log", "python")}
            return cls(**{**record, **paths, "options": tuple(record["options"])})
        except FileNotFoundError as error:
            raise ServiceError(
                f"expected an installed service {name}; there is none: run "
                "`promptmatte service install`"
            ) from error
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise ServiceError(
                f"cannot use the record {path}: {error}: run `promptmatte service install` again"
            ) from error

    def record(self) -> None:
        """Writes down the job for the commands that come later."""
        path = _record_path(self.name)
        values = {**asdict(self), "folder": str(self.folder), "log": str(self.log)}
        text = json.dumps({**values, "python": str(self.python)}, indent=1)
        write_file(path, text.encode())

    def forget(self) -> None:
        """Removes the record; the log stays."""
        _record_path(self.name).unlink(missing_ok=True)

    @property
    def command(self) -> tuple[str, ...]:
        """What the system starts: the supervisor, which starts the server."""
        return (
            str(self.python), "-m", "promptmatte", "service", "run", "--name", self.name,
            "--log-file", str(self.log), "--", *self.options,
        )  # fmt: skip


def checked_name(name: str) -> str:
    """A name of a service; ConfigError for one that cannot be a file's everywhere."""
    if not NAME.fullmatch(name):
        raise ConfigError(
            f"expected a service name of 1 to 40 letters, digits, '_' or '-'; got {shown(name)}"
        )
    return name


def log_path(name: str) -> Path:
    """The newest file of a service's log."""
    return state_folder() / f"{checked_name(name)}.log"


def state_folder() -> Path:
    """Where records and logs lie: PROMPTMATTE_STATE, else the platform's place for them."""
    given = os.environ.get("PROMPTMATTE_STATE")
    if given:
        return Path(given).expanduser().absolute()
    return user_folders.state_folder()


def write_file(path: Path, content: bytes) -> None:
    """Writes a file, whose folder is made; ServiceError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise ServiceError(f"cannot write {path}: {error.strerror}") from error


def _record_path(name: str) -> Path:
    return state_folder() / f"{name}.json"
