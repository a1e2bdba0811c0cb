"""The log of a service: bounded, stamped, without passwords, read while it is written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from promptmatte.service.log_file import LogFile, LogReader


def test_lines_are_stamped_once_and_passwords_are_gone(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "a.log"
    log = LogFile(path)
    log.write("plain 100% \n")
    log.write("2026-11-26 10:00:00,000 WARNING x: y")
    log.write("cannot open rtsp://me:se@cret@10.0.0.1/live?key=secret: timed out")
    log.close()
    lines = path.read_text(encoding="utf-8").splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d plain 100%", lines[0])
    assert lines[1] == "2026-11-26 10:00:00,000 WARNING x: y"
    assert "cannot open rtsp://***@10.0.0.1/live?***" in lines[2]
    assert "secret" not in path.read_text(encoding="utf-8").replace("se@cret", "secret")


def test_files_are_bounded_in_size_and_number(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    log = LogFile(path, file_bytes=2000, files=3)
    for number in range(500):
        log.write(f"line {number} ü")
    log.close()
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["a.log", "a.log.1", "a.log.2"]
    assert all(0 < file.stat().st_size <= 2000 for file in files)
    last = LogReader(path).last(60)
    assert [line.split()[3] for line in last] == [str(number) for number in range(440, 500)]


def test_a_reader_misses_nothing_across_rotations(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    reader = LogReader(path)
    assert reader.last(10) == []
    assert list(reader.new()) == []
    log = LogFile(path, file_bytes=1500, files=5)
    seen = []
    for number in range(200):
        log.write(f"line {number} é")
        if number % 7 == 0:
            seen += list(reader.new())
    seen += list(reader.new())
    log.close()
    assert [line.split()[3] for line in seen] == [str(number) for number in range(200)]


def test_a_line_that_is_not_whole_yet_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"old\n")
    reader = LogReader(path)
    assert reader.last(1) == ["old"]
    with path.open("ab") as file:
        file.write(b"hal")
        file.flush()
        assert list(reader.new()) == []
        file.write("f é\nnext\n".encode())
    assert list(reader.new()) == ["half é", "next"]
    assert list(reader.new()) == []


def test_a_log_that_cannot_be_written_disturbs_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.log"
    path.mkdir()
    log = LogFile(path)
    log.write("lost")
    log.close()
    assert capsys.readouterr().err == ""


def test_a_file_that_cannot_be_moved_costs_no_line_and_no_older_file(tmp_path: Path) -> None:
    """Windows renames no file that another program has open; here its place is taken."""
    path = tmp_path / "a.log"
    log = LogFile(path, file_bytes=500, files=3)
    for number in range(60):
        log.write(f"line {number}")
    older = (tmp_path / "a.log.2").read_bytes()
    hindrance = tmp_path / "a.log.0"
    (hindrance / "full").mkdir(parents=True)
    for number in range(60, 90):
        log.write(f"line {number}")
    seen = [line.split()[3] for line in LogReader(path).last(30)]
    assert seen == [str(number) for number in range(60, 90)]
    assert (tmp_path / "a.log.2").read_bytes() == older
    (hindrance / "full").rmdir()
    hindrance.rmdir()
    log.write("line 90")
    log.close()
    assert path.stat().st_size < 500
    assert LogReader(path).last(2)[0].endswith("line 89")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, as Linux has it")
def test_a_full_disk_costs_the_lines_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.log"
    path.symlink_to("/dev/full")
    log = LogFile(path, file_bytes=500)
    for number in range(50):
        log.write(f"line {number}")
    log.close()
    path.unlink()
    log = LogFile(path)
    log.write("room again")
    log.close()
    assert path.read_text(encoding="utf-8").endswith("room again\n")
    assert capsys.readouterr().err == ""


def test_a_log_folder_that_cannot_be_made_disturbs_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    log = LogFile(tmp_path / "file" / "a.log")
    log.write("lost")
    log.close()
    assert LogReader(tmp_path / "file" / "a.log").last(5) == []


def test_a_reader_that_looks_late_sees_all_files_in_order(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    log = LogFile(path, file_bytes=1500, files=5)
    log.write("line 0")
    reader = LogReader(path)
    assert len(reader.last(10)) == 1
    for number in range(1, 100):  # two rotations and more between two looks
        log.write(f"line {number}")
    log.close()
    assert [line.split()[3] for line in reader.new()] == [str(number) for number in range(1, 100)]
    assert reader.new() == []
