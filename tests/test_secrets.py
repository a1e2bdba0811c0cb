"""Passwords and keys of a running server are in nothing that it shows."""

import json
from pathlib import Path

import pytest
from links_testing import free_address, free_zmq_address, port_of
from promptmatte.links import open_client_link
from promptmatte.links.keys import KeyFolder
from server_testing import Server, status_of

SECRET = "hunter2-not-to-be-seen"


def test_no_secret_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = KeyFolder(tmp_path / "keys")
    keys.make_server()
    monkeypatch.setenv("PROMPTMATTE_KEYS", str(keys.path))
    monkeypatch.setenv("PROMPTMATTE_WEB_PASSWORD", SECRET + "-web")
    port = port_of(free_zmq_address())
    address, log, report = free_address("shm"), tmp_path / "log", tmp_path / "report.json"
    show = tmp_path / "show.toml"
    source = f"rtsp://user:{SECRET}-user@127.0.0.1:{port + 1}/live?token={SECRET}-token"
    show.write_text(f'source = "{source}"\n')
    arguments = ["--config", show, "--out", address, "--out", f"zmq:tcp://0.0.0.0:{port}"]
    with Server(*arguments, "--report", report, "--seconds", "600", log=log) as server:
        status = status_of(address, server)
        link = open_client_link(address)
        try:
            told = [link.request({"command": name}, 30.0) for name in ("controls", "hello")]
            title = Path(f"/proc/{server.process.pid}/cmdline")
            shown = title.read_text() if title.exists() else ""
            assert link.request({"command": "stop"}, 30.0)["ok"]
        finally:
            link.close()
        server.process.wait(60)
        assert "***@127.0.0.1" in server.said()
    everything = json.dumps([status, told]) + shown + server.said() + report.read_text()
    assert SECRET not in everything
    assert keys.server_pair().secret.decode() not in everything
