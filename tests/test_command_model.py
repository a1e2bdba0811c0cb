"""Models of a running server, changed and asked by command: real processes, small weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from links_testing import free_address
from promptmatte.links import open_client_link
from server_testing import Server, next_matte, promptmatte, status_of, wait_for
from tiny_clip import tiny_clip_folder
from tiny_sam import tiny_sam


@pytest.fixture
def pair(tmp_path: Path) -> list[str]:
    """Options of serve for a tiny Sam and a tiny CLIP."""
    torch.save(tiny_sam().state_dict(), tmp_path / "sam.pth")
    clip = tiny_clip_folder(tmp_path / "clip")
    return [
        "--model=sam-vit-b", f"--weights={tmp_path / 'sam.pth'}", f"--clip=local-dir:{clip}",
    ]  # fmt: skip


def test_a_running_server_changes_its_model_and_suggests_prompts(
    session: str, picture: Path, pair: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPTMATTE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PROMPTMATTE_MIRROR", "http://127.0.0.1:9")  # nobody is there
    words = tmp_path / "words.txt"
    words.write_text("# mine\nred wall\n\nzebra\nsky\n", encoding="utf-8")
    with Server(
        "--source", picture, "--prompt", "person", "--confidence-floor", "0", *pair,
        "--out", session, log=tmp_path / "log",
    ) as server:  # fmt: skip
        link = open_client_link(session)
        try:
            wait_for(lambda: status_of(session, server)["mattes_out"])
            assert status_of(session, server)["model"] == "sam-vit-b"

            changed = promptmatte("model", "embedded", "--link", session)
            assert (changed.returncode, changed.stdout) == (0, "embedded on cpu\n"), changed.stderr
            asked = promptmatte("suggest", "--json", "--limit", "3", "--link", session)
            found = json.loads(asked.stdout)
            assert len(found) == 3
            assert found[0]["confidence"] >= found[2]["confidence"]

            said = promptmatte(
                "prompt", "persn", "dragon", "everything but the sky", "--link", session
            )
            assert said.returncode == 0, said.stderr
            notes = said.stdout.splitlines()
            assert notes == [
                '"persn" taken as "person"',
                'embedded does not know "dragon": its matte stays empty; sam-vit-b would look for '
                "it (promptmatte model sam-vit-b)",
            ]
            status = status_of(session, server)
            assert status["notes"] == notes
            assert status["prompts"][2]["negative"] == ["the sky"]
            assert status["errors"] is None

            failed = promptmatte("model", "mobile-sam", "--link", session)
            assert failed.returncode == 2
            assert "embedded goes on" in failed.stderr
            assert len(failed.stderr.strip().splitlines()) == 1
            assert next_matte(link).alpha.shape[:2] == (90, 160)

            for arguments, message in (
                (["model", "sam-vit-z"], "expected a model of embedded"),
                (["model", "sam-vit-b", "--clip", "/etc/passwd"], "expected clip as one of"),
                (["model", "sam-vit-b", "--prompter", "projection"], "started with --projection"),
                (["suggest", "--words", "absent.txt"], "expected a text file of words"),
                (["suggest", "--limit", "0"], "limit as a number"),
            ):
                refused = promptmatte(*arguments, "--link", session, cwd=tmp_path)
                assert refused.returncode == 2, refused.stdout
                assert message in refused.stderr
                assert len(refused.stderr.strip().splitlines()) == 1

            assert promptmatte("model", "sam-vit-b", "--link", session).returncode == 0
            asked = promptmatte("suggest", "--words", words, "--link", session)
            assert {line.rsplit(maxsplit=1)[0].strip() for line in asked.stdout.splitlines()} == {
                "red wall", "zebra", "sky",
            }  # fmt: skip
            status = status_of(session, server)
            assert (status["notice"], status["notes"]) == (None, [])
        finally:
            link.close()


def test_a_model_that_cannot_be_fetched_gives_way_to_the_embedded_one(
    session: str, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMPTMATTE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PROMPTMATTE_MIRROR", "http://127.0.0.1:9")
    with Server(
        "--source", picture, "--prompt", "person", "--model", "sam-vit-l", "--out", session,
        log=tmp_path / "log",
    ) as server:  # fmt: skip
        wait_for(lambda: status_of(session, server)["mattes_out"])
        status = status_of(session, server)
        assert status["model"] == "embedded"
        assert status["notice"].startswith("sam-vit-l: ")
        assert status["notice"].endswith("went on with embedded")
    assert "went on with embedded" in server.said()


def test_weights_that_are_none_end_the_server_with_one_line(picture: Path, tmp_path: Path) -> None:
    junk = tmp_path / "junk.pth"
    junk.write_bytes(b"PK" + bytes(300))
    done = promptmatte(
        "serve", "--source", picture, "--model", "sam-vit-b", "--weights", junk,
        "--clip", f"local-dir:{tmp_path}", "--out", free_address("shm"),
    )  # fmt: skip
    assert done.returncode == 1
    lines = done.stderr.strip().splitlines()
    assert lines[-1].startswith("promptmatte: ")
    assert "junk.pth" in lines[-1]
