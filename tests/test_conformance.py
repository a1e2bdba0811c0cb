"""The conformance suite passes with both clients, and fails with those that break a rule."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from promptmatte.cli import main
from promptmatte.conformance.check import CheckFailedError, CheckResult, Deadline, expect
from promptmatte.conformance.pattern import crc_of, likeness, pattern
from promptmatte.conformance.suite import CHECKS, DEFAULT_JOBS, chosen, run_check, run_suite
from promptmatte.errors import ConfigError
from promptmatte_shm import PixelFormat

ROOT = Path(__file__).parents[1]
PYTHON_CLIENT = [sys.executable, "-m", "promptmatte.conformance.python_client"]
MUTANTS = Path(__file__).parent / "conformance_mutants.py"
EXITS_AT_ONCE = [sys.executable, "-c", ""]


@pytest.fixture(scope="module", autouse=True)
def single_threaded() -> Iterator[None]:
    """numpy starts faster in the many small programs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENBLAS_NUM_THREADS", "1")
        yield


def failures(command: list[str], names: list[str], limit_s: float = 20.0) -> list[CheckResult]:
    results = run_suite(command, chosen(names), limit_s=limit_s)
    return [result for result in results if not result.passed]


def test_the_python_client_passes() -> None:
    assert failures(PYTHON_CLIENT, [check.name for check in CHECKS]) == []


@pytest.mark.skipif(sys.platform == "win32", reason="built by hand there, see its README")
def test_the_cpp_client_passes(tmp_path: Path) -> None:
    compiler = next(filter(None, map(shutil.which, ("g++", "clang++", "c++"))), None)
    if compiler is None:
        pytest.skip("no C++ compiler: g++, clang++ or c++")
    program = tmp_path / "conformance_client"
    source = ROOT / "examples" / "cpp_client" / "conformance_client.cpp"
    strict = ("-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror")
    built = subprocess.run(
        [compiler, "-std=c++17", "-O1", *strict, "-o", program, source],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (built.returncode, built.stderr) == (0, "")
    assert failures([str(program)], []) == []


BROKEN_RULES = [
    ("bottom_up_frames", "frames.rows", "bottom-up"),
    ("bottom_up_mattes", "mattes.rows", "bottom-up"),
    ("blue_first", "frames.rows", "red and blue"),
    ("doubles", "frames.identity", "pts_ns"),
    ("wrong_crc_seed", "frames.rows", "none"),
    ("old_mattes", "mattes.once", "seq 12"),
    ("no_generations", "mattes.resize", "none"),
    ("no_tickets", "tickets.unmatched", "seq 1"),
    ("no_tickets", "tickets.flood", "("),
    ("no_slot_checksum", "damage.slot-checksum", "one of seq"),
    ("trusts_fields", "damage.slot-values", "one of seq"),
    ("any_version", "damage.layout-version", "True"),
    ("any_reply", "mailbox.own-reply", "another"),
    ("no_withdrawal", "mailbox.timeout", "["),
    ("no_lane_locks", "mailbox.lane-lock", "True"),
    ("no_limit", "mailbox.limit", "layout"),
    ("no_visits", "session.visits", ""),
    ("shows_the_dead", "session.dead-server", "one of seq"),
    ("never_rests", "senders.newest", "True"),
    ("leaves_ring", "leaving.closing", "still there"),
    ("unlinks_directory", "leaving.owned", "False"),
    ("exiting", "mattes.once", "exit status 1: out of order"),
    ("chatting", "session.names", "connecting"),
]


@pytest.fixture(scope="module")
def results_of_broken() -> dict[tuple[str, str], CheckResult]:
    """The result of each rule's check with a client that breaks the rule."""

    def result(rule: str, name: str) -> CheckResult:
        (check,) = chosen([name])
        limit_s = 3.0 if rule == "no_visits" else 20.0
        return run_check(check, [sys.executable, str(MUTANTS), rule], limit_s)

    with ThreadPoolExecutor(DEFAULT_JOBS) as pool:
        pairs = [(rule, name) for rule, name, _ in BROKEN_RULES]
        return dict(zip(pairs, pool.map(lambda pair: result(*pair), pairs), strict=True))


@pytest.mark.parametrize(("rule", "check", "got"), BROKEN_RULES)
def test_a_client_that_breaks_a_rule_fails_its_check(
    rule: str, check: str, got: str, results_of_broken: dict[tuple[str, str], CheckResult]
) -> None:
    result = results_of_broken[rule, check]
    assert (result.name, result.passed) == (check, False)
    assert result.expected
    assert got in result.got


def test_a_client_that_hangs_fails_that_check_and_the_suite_goes_on() -> None:
    names = ["session.names", "mattes.once", "session.no-server"]
    command = [sys.executable, str(MUTANTS), "hanging"]
    results = list(run_suite(command, chosen(names), limit_s=3.0, jobs=1))
    assert [result.name for result in results] == [
        "session.names",
        "session.no-server",
        "mattes.once",
    ]
    assert [result.passed for result in results] == [True, True, False]
    assert (results[2].expected, results[2].got) == ("an answer to 'read' within 3 s", "none")


def test_the_reference_client_needs_only_numpy_besides_the_link() -> None:
    code = (
        "import sys, numpy\n"
        "before = set(sys.modules)\n"
        "import promptmatte.conformance.python_client\n"
        "added = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(added - set(sys.stdlib_module_names) - {'numpy'})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(eval(done.stdout)) == {"promptmatte", "promptmatte_shm"}


def test_the_command_tells_a_line_a_check_and_whether_all_pass(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["conformance", "--check", "session.names", "--", *PYTHON_CLIENT]) == 0
    passed, count = capsys.readouterr().out.splitlines()
    assert passed.startswith("pass session.names ")
    assert count == "1 of 1 checks passed"
    assert main(["conformance", "--check", "session.names", "--", *EXITS_AT_ONCE]) == 1
    failed, count = capsys.readouterr().out.splitlines()
    assert failed.startswith("FAIL session.names ")
    assert "expected an answer to 'open' within 20 s; got the program's end" in failed
    assert count == "0 of 1 checks passed"


def test_the_command_tells_json(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["--check", "session.no-server", "--check", "session.names"]
    assert main(["conformance", "--json", *names, "--", *EXITS_AT_ONCE]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], told["client"]) == (False, EXITS_AT_ONCE)
    assert [check["name"] for check in told["checks"]] == ["session.names", "session.no-server"]
    for check in told["checks"]:
        assert set(check) == {"name", "about", "passed", "expected", "got"}
        assert check["passed"] is False
        assert "exit status 0" in check["got"]


def test_the_checks_can_be_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conformance", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [check.name for check in CHECKS]
    assert len({check.name for check in CHECKS}) == len(CHECKS) > 50
    assert all(check.about for check in CHECKS)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "expected a program to check; got none"),
        (["--", "/no/such/program"], "expected a program to run"),
        (["--check", "session.nothing", "--", "x"], "'session.nothing'"),
        (["--time-limit", "0", "--", "x"], "above 0 s; got 0"),
        (["--time-limit", "nan", "--", "x"], "above 0 s; got nan"),
        (["--jobs", "0", "--", "x"], "1 to 16; got 0"),
    ],
)
def test_bad_usage_is_one_line_and_exit_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(["conformance", *arguments]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.count("\n") == 1
    assert said in error


def test_an_unknown_option_is_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["conformance", "--nonsense"])
    assert left.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_a_group_chooses_its_checks() -> None:
    assert {check.name.partition(".")[0] for check in chosen(["mattes"])} == {"mattes"}
    assert chosen([]) == CHECKS
    with pytest.raises(ConfigError, match="a group of session, frames"):
        chosen(["nothing"])


@pytest.mark.parametrize("kind", list(PixelFormat))
def test_the_pattern_is_the_one_of_the_page(kind: PixelFormat) -> None:
    made = pattern(5, 7, kind, 250)
    assert (made.shape, made.dtype) == ((5, 7, kind.channels), kind.dtype)
    row_bytes = made.nbytes // 5
    mask = 63 if kind.dtype.kind == "f" else 255
    wanted = bytes(
        (250 + 3 * i + 11 * y + (i * y >> 4)) & mask for y in range(5) for i in range(row_bytes)
    )
    assert made.tobytes() == wanted


def test_a_wrong_picture_is_named() -> None:
    picture = pattern(5, 7, PixelFormat.RGBA8, 3)
    for look, name in (
        (picture, "the picture"),
        (picture[::-1], "the picture with its rows bottom-up"),
        (picture[..., [2, 1, 0, 3]], "the picture with red and blue exchanged"),
        (picture * 0, "zeros"),
    ):
        assert likeness(crc_of(look), picture) == name
    assert likeness("5", picture) == "other bytes (crc32 '5')"


def test_a_deadline_and_an_expectation() -> None:
    now = [0.0]
    deadline = Deadline(2.0, lambda: now[0])
    now[0] = 1.5
    assert deadline.left_s == 0.5
    now[0] = 9.0
    assert deadline.left_s == 0.0
    expect("a number", 1, 1)
    with pytest.raises(CheckFailedError, match="expected a number: 1; got 'x'"):
        expect("a number", 1, "x")
