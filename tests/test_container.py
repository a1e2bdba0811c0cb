"""The container's files, checked and carried out as far as it goes without an engine."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from links_testing import free_zmq_address
from promptmatte.cli import main
from promptmatte.commands.config import checked_show, serve_parser
from promptmatte.links.zmq_sockets import ZmqAddress
from promptmatte.service.ports import ports_of
from server_testing import DEADLINE_S, Server, status_of

ROOT = Path(__file__).parents[1]
DOCKER = ROOT / "docker"
PASSWORD = "/run/secrets/web_password"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Step:
    """One instruction of a Dockerfile."""

    word: str
    rest: str

    @property
    def words(self) -> list[str]:
        """Of the form that no shell sees: ["a", "b"]."""
        return [str(word) for word in json.loads(self.rest[self.rest.index("[") :])]


def dockerfile() -> list[Step]:
    text = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    whole = "\n".join(lines).replace("\\\n", " ")
    return [Step(*line.split(maxsplit=1)) for line in whole.splitlines()]


def only(word: str) -> Step:
    (step,) = (step for step in dockerfile() if step.word == word)
    return step


def copied() -> list[Path]:
    """What the Dockerfile takes from the repository."""
    sources = [step.rest.split()[:-1] for step in dockerfile() if step.word == "COPY"]
    return [ROOT / name for names in sources if "--from=build" not in names for name in names]


def is_ignored(path: Path) -> bool:
    """Whether an engine leaves a file out (the last pattern that fits it or a folder of it)."""
    name = path.relative_to(ROOT).as_posix()
    ignored = False
    for line in (DOCKER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = re.escape(line.removeprefix("!")).replace(r"\*\*/", "(?:.*/)?")
        pattern = pattern.replace(r"\*", "[^/]*").replace(r"\[", "[").replace(r"\]", "]")
        if re.fullmatch(f"{pattern}(?:/.*)?", name):
            ignored = not line.startswith("!")
    return ignored


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
    return found


def tool(name: str) -> str:
    """A program that the dev group brings, beside this Python or on PATH; else a skip."""
    folders = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    found = shutil.which(name, path=folders)
    if found is None:
        pytest.skip(f"needs {name}, which is not here")
    return found


@pytest.mark.parametrize(
    ("linter", "file"),
    [(("hadolint",), "Dockerfile"), (("compose-lint", "check"), "compose.yaml")],
)
def test_linters_find_nothing(linter: tuple[str, ...], file: str) -> None:
    done = subprocess.run(
        [tool(linter[0]), *linter[1:], file], cwd=DOCKER, capture_output=True, text=True,
        encoding="utf-8", check=False, timeout=DEADLINE_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_copied_is_there_and_not_ignored() -> None:
    files = [file for path in copied() for file in (path.rglob("*") if path.is_dir() else [path])]
    kept = [file for file in files if file.is_file() and not is_ignored(file)]
    assert all(path.exists() for path in copied())
    assert ROOT / "pyproject.toml" in kept
    assert ROOT / "server/promptmatte/models/weights/embedded.safetensors" in kept
    assert not any(file.suffix == ".pyc" for file in kept)
    for private in (
        "docker/web-password.txt",
        ".git/config",
        "docker/show/show.toml",
        "tests/a.py",
    ):
        assert is_ignored(ROOT / private)


def test_the_package_can_be_built_of_what_is_copied(tmp_path: Path) -> None:
    """The step `uv pip install --no-deps .`, whose work is hatchling's."""
    pytest.importorskip("hatchling")
    context = tmp_path / "src"
    for path in copied():
        for file in path.rglob("*") if path.is_dir() else [path]:
            if file.is_file() and not is_ignored(file):
                target = context / file.relative_to(ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(command, cwd=context, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    shutil.unpack_archive(wheel, tmp_path / "wheel", "zip")
    for package in ("promptmatte", "promptmatte_shm", "promptmatte_td"):
        assert (tmp_path / "wheel" / package / "__init__.py").is_file()
    assert (tmp_path / "wheel/promptmatte/models/weights/embedded.safetensors").is_file()


def test_torch_and_the_extras_are_chosen_as_uv_and_the_project_know_them() -> None:
    steps = [step.rest for step in dockerfile() if step.word == "RUN"]
    install = next(step for step in steps if "--requirements pyproject.toml" in step)
    extras = re.findall(r"--extra (\S+)", install)
    assert {"demo", "metrics", "osc", "web"} <= set(extras)
    assert set(extras) <= set(PROJECT["project"]["optional-dependencies"])
    # OpenCV without windows in place of the one that needs X11 and GL.
    (overridden,) = re.findall(
        r"^(\S+);", (DOCKER / "overrides.txt").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert overridden in " ".join(PROJECT["project"]["dependencies"])
    assert "--overrides overrides.txt" in install
    assert f"{overridden}-headless" in install
    assert '--torch-backend="${TORCH_BACKEND}"' in install
    backends = {service["build"]["args"]["TORCH_BACKEND"] for service in services().values()}
    assert backends == {"cpu", "cu128"}
    uv = os.environ.get("UV") or tool("uv")
    shown = subprocess.run(
        [uv, "pip", "install", "--help"], capture_output=True, text=True, check=True
    ).stdout
    known = re.split(r"[\s,\]]+", shown[shown.index("--torch-backend") :])
    assert backends <= set(known)


def services() -> dict[str, Any]:
    found: dict[str, Any] = compose()["services"]
    return found


def test_services_differ_in_torch_and_the_card_alone() -> None:
    gpu, cpu = services()["gpu"], services()["cpu"]
    (card,) = gpu.pop("deploy")["resources"]["reservations"]["devices"]
    assert card == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    for name, service in (("gpu", gpu), ("cpu", cpu)):
        assert service.pop("profiles") == [name]
        assert (DOCKER / service["build"]["context"]).resolve() == ROOT
        assert (ROOT / service["build"]["dockerfile"]).is_file()
        arguments = service["build"].pop("args")
        declared = {step.rest.partition("=")[0] for step in dockerfile() if step.word == "ARG"}
        assert set(arguments) <= declared
        service.pop("image")
    assert gpu == cpu
    assert cpu["ipc"] == "host"
    assert cpu["restart"] == "unless-stopped"
    assert "/dev/video0:/dev/video0" in cpu["devices"]
    assert "cache" in compose()["volumes"]


def test_every_port_is_published_to_this_machine_alone() -> None:
    arguments = serve_parser().parse_args(compose_words("/show/show.toml", PASSWORD))
    listening = {(port.number, port.protocol) for port in ports_of(vars(arguments))}
    exposed = {(int(port.partition("/")[0]), port.partition("/")[2] or "tcp")
               for port in only("EXPOSE").rest.split()}  # fmt: skip
    published = set()
    for line in services()["cpu"]["ports"]:
        host, outside, inside = line.split(":")
        assert host == "127.0.0.1"
        number, _, protocol = inside.partition("/")
        assert number == outside
        published.add((int(number), protocol or "tcp"))
    # The ZeroMQ link stays within the container: it is on its loopback.
    assert published == exposed == listening
    assert ZmqAddress.parse(entrypoint()[-1]).host == "127.0.0.1"


def entrypoint() -> list[str]:
    return only("ENTRYPOINT").words


def compose_words(show: object, password: object) -> list[str]:
    """The command of compose.yaml with the paths of this machine."""
    there = {"/show/show.toml": str(show), PASSWORD: str(password)}
    return [there.get(word, word) for word in services()["cpu"]["command"]]


def test_the_show_and_the_whole_command_are_good(capsys: pytest.CaptureFixture[str]) -> None:
    show = DOCKER / "show" / "show.toml"
    assert main(["config", "check", str(show)]) == 0
    assert "good; keys person" in capsys.readouterr().out
    program, command, *options = entrypoint()
    assert program in PROJECT["project"]["scripts"]
    assert command == "serve"
    arguments = serve_parser().parse_args([*options, *compose_words(show, "password")])
    [stream] = checked_show(arguments)
    assert [prompt.text for prompt in stream.prompts] == ["person"]
    assert arguments.out == ["zmq:tcp://127.0.0.1:5571", "shm:promptmatte"]
    volumes = [line.split(":") for line in services()["cpu"]["volumes"]]
    assert (DOCKER / volumes[1][0]).resolve() == show.parent
    # A folder that is mounted, where the show is and where the models are kept.
    assert volumes[1][1] == "/show"
    assert volumes[0][1] == "/cache"
    assert only("VOLUME").words == ["/cache"]
    assert "PROMPTMATTE_CACHE=/cache" in " ".join(s.rest for s in dockerfile() if s.word == "ENV")


def test_the_user_is_not_root_and_has_a_number() -> None:
    assert only("USER").rest == "${PROMPTMATTE_UID}:${PROMPTMATTE_UID}"
    assert "PROMPTMATTE_UID=1000" in [step.rest for step in dockerfile() if step.word == "ARG"]


def test_the_health_check_fails_without_a_server_and_after_its_end(
    session: str, picture: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    """The entry point and the command of compose.yaml, as a process here."""
    address = free_zmq_address()
    inside = entrypoint()[-1]
    health = only("HEALTHCHECK").words
    assert inside in health

    def is_healthy() -> bool:
        words = [word.replace(inside, address) for word in health[1:]]
        done = subprocess.run([sys.executable, "-m", "promptmatte", *words], check=False,
                              capture_output=True, timeout=DEADLINE_S)  # fmt: skip
        return done.returncode == 0

    password = tmp_path / "web-password.txt"
    password.write_text("a password\n", encoding="utf-8")
    show = tmp_path / "show.toml"
    shutil.copyfile(DOCKER / "show" / "show.toml", show)
    # The container's network is its own; here any free port of loopback does.
    given = [
        re.sub(r"^0\.0\.0\.0:\d+$", "127.0.0.1:0", word)
        .replace(inside, address)
        .replace("shm:promptmatte", session)
        for word in [*entrypoint()[2:], *compose_words(show, password)]
    ]
    assert not is_healthy()
    with Server(
        *given, "--source", picture, "--weights", tiny_weights, log=tmp_path / "log"
    ) as server:
        status_of(address, server)
        assert is_healthy()
        assert [p["text"] for p in status_of(session, server)["prompts"]] == ["person"]
        if os.name != "nt":
            server.process.send_signal(signal.SIGSTOP)
            assert not is_healthy()
            server.process.send_signal(signal.SIGCONT)
            server.process.send_signal(signal.Signals[only("STOPSIGNAL").rest])
            assert server.process.wait(60) == 0, server.said()
            assert not is_healthy()
