"""promptmatte web and serve --web as commands: what they refuse, what they begin and end."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from browser_testing import fetched, wait_for
from promptmatte.endpoint import Endpoint
from promptmatte.web.address import bound_socket
from server_testing import Server, promptmatte, status_of


@pytest.mark.parametrize("command", [["web", "--port"], ["serve", "--web"]])
def test_another_address_without_a_password_is_refused(command: list[str], tmp_path: Path) -> None:
    without = {k: v for k, v in os.environ.items() if k != "PROMPTMATTE_WEB_PASSWORD"}
    pytest.importorskip("gradio", reason="needs the extra web")
    done = promptmatte(*command, "0.0.0.0:0", cwd=tmp_path, env=without)
    assert done.returncode == 2
    assert "expected a password for a page that others reach at 0.0.0.0" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("command", [["web", "--port"], ["serve", "--source", "test:", "--web"]])
def test_a_taken_port_is_known_at_once(command: list[str]) -> None:
    pytest.importorskip("gradio", reason="needs the extra web")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = promptmatte(*command, port)
    assert done.returncode == 2
    assert f"cannot have 127.0.0.1:{port}" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "gradio.py").write_text("raise ImportError('no gradio here')\n", encoding="utf-8")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = promptmatte("web", "--port", "0", env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == 2
    assert "python -m pip install 'promptmatte[web]'" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_serve_begins_its_page_and_ends_it(
    session: str, picture: Path, tiny_weights: Path, tmp_path: Path
) -> None:
    pytest.importorskip("gradio", reason="needs the extra web")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    show = tmp_path / "show.toml"
    show.write_text(f"web = {port}\n", encoding="utf-8")
    with Server(
        "--config", show, "--source", picture, "--prompt", "person", "--weights", tiny_weights,
        "--out", session, log=tmp_path / "log",
    ) as server:  # fmt: skip
        wait_for(lambda: f"page: http://127.0.0.1:{port}" in server.said())
        assert fetched(f"http://127.0.0.1:{port}/config")
        links = [entry["address"] for entry in status_of(session, server)["links"]]
        assert links == [session]  # the page's own takes no mattes
        assert promptmatte("stop", "--link", session).returncode == 0
        assert server.process.wait(60) == 0
    bound_socket(Endpoint(port=port)).close()
