"""Standard output and standard error, in other processes: closed pipes, full disks, closed streams, narrow encodings."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

MAIN = "from sefactory.cli.main import main; main()"
GUARDED = "import sys; from sefactory.cli.streams import guard_streams; sys.exit(guard_streams(lambda: {}))"
WITH_RICH = GUARDED.format("__import__('rich.console').console.Console().print('x ' * 1000) or 0")
FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="no /dev/full on this system")
NO_SPACE = "the output cannot be written: No space left on device\n"


def run(code: str, *arguments: str, redirection: str = "", **variables: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of Python code, with a redirection of the shell."""
    command = ["sh", "-c", f'"$0" "$@" {redirection}', sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, env={**os.environ, **variables}, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def run_into_closed_pipe(code: str, *arguments: str) -> tuple[int, str]:
    """Exit code and standard error of Python code whose reader is gone."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        command = [sys.executable, "-c", code, *arguments]
        done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(writer)
    return done.returncode, done.stderr


@pytest.mark.parametrize("code", [MAIN, WITH_RICH], ids=["usage", "rich"])
def test_a_closed_pipe_ends_the_program_silently(code: str) -> None:
    assert run_into_closed_pipe(code, "--help") == (0, "")


def test_a_closed_pipe_of_standard_output_hides_no_exit_code() -> None:
    assert run_into_closed_pipe(GUARDED.format(5)) == (5, "")
    assert run_into_closed_pipe(MAIN, "shwo")[0] == 2


@needs_full
@pytest.mark.parametrize("code", [MAIN, WITH_RICH], ids=["usage", "rich"])
def test_a_full_disk_is_one_line(code: str) -> None:
    assert run(code, "--help", redirection="> /dev/full") == (2, "", NO_SPACE)


@needs_full
def test_a_full_disk_is_one_line_within_hydra() -> None:
    assert run(MAIN, "show", "channels=16", "size=1", redirection="> /dev/full") == (2, "", NO_SPACE)


@needs_full
def test_no_handler_of_exceptions_takes_a_full_disk() -> None:
    code = """
import sys
from sefactory.cli.streams import guard_streams
def command():
    try:
        print("x", flush=True)
    except Exception:
        print("handled", file=sys.stderr)
    return 0
sys.exit(guard_streams(command))
"""
    assert run(code, redirection="> /dev/full") == (2, "", NO_SPACE)


@needs_full
def test_messages_that_cannot_be_written_change_nothing() -> None:
    assert run(MAIN, "--version", redirection="2> /dev/full")[0] == 0
    code, out, _ = run(MAIN, "shwo", redirection="2> /dev/full")
    assert (code, out) == (2, "")


@pytest.mark.parametrize("redirection", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_closed_streams_count_as_devnull(redirection: str) -> None:
    assert run(MAIN, "--help", redirection=redirection)[0] == 0
    assert run(MAIN, "shwo", redirection=redirection)[0] == 2


def test_a_new_file_does_not_get_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    code = GUARDED.format("print('text', file=open(sys.argv[1], 'w')) or print('lost') or 0")
    assert run(code, str(tmp_path / "new"), redirection=">&- 2>&- <&-") == (0, "", "")
    assert (tmp_path / "new").read_text() == "text\n"


TEXT = "print('\\xd71.55 \\xb10.03 \\xb5s \\u2026 \\xe9 \\udce9') or 0"


@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""},
    ],
)
def test_ascii_output_has_substitutes(variables: dict[str, str]) -> None:
    assert run(GUARDED.format(TEXT), **variables) == (0, "x1.55 +-0.03 us ... \\xe9 \\udce9\n", "")
    code, _, err = run(MAIN, "×", **variables)
    assert code == 2 and "no command" in err


def test_other_encodings_keep_what_they_can_hold() -> None:
    assert run(GUARDED.format(TEXT), PYTHONIOENCODING="utf-8") == (0, "×1.55 ±0.03 µs … é \\udce9\n", "")


@pytest.mark.parametrize("variables", [{"TERM": "dumb"}, {"HOME": ""}, {"PYTHONUNBUFFERED": "1"}])
def test_odd_environments_change_nothing(variables: dict[str, str]) -> None:
    assert run(MAIN, "--version", **variables) == run(MAIN, "--version")
