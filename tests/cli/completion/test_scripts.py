"""The scripts for the shells: bash here, and zsh and fish where they are installed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command_line import Run

PROGRAM = f"#!{sys.executable}\nimport sys\nfrom sefactory.cli.main import run\nsys.exit(run(sys.argv[1:]))\n"
BASH_LOOP = """
eval "$(sefactory completion bash)"
compopt() { echo "compopt $*"; }
while IFS= read -r COMP_LINE; do
    COMP_POINT=${#COMP_LINE}
    _sefactory sefactory
    echo "$COMP_LINE -> ${COMPREPLY[*]}"
done
"""
BASH = {
    "sefactory sh": ["show"],
    "sefactory show block=cb": ["cbam", "cbam_channel", "cbam_timm"],
    "sefactory show block=sen": ["senet"],
    "sefactory show chan": ["channels="],
    "FOO=1 sefactory show chan": ["channels="],
    "sefactory bench blocks=[senet,cb": ["[senet,cbam", "[senet,cbam_channel", "[senet,cbam_timm"],
    "sefactory bench 'blocks=[sen": ["blocks=[senet,", "blocks=[senet]"],
    "sefactory bench blocks='[sen": ["[senet,", "[senet]"],
    "sefactory bench blocks=\\[sen": ["[senet,", "[senet]"],
    "sefactory show block=cbam gate@block.series.ch": ["@block.series.channel="],
    "sefactory show block=cbam gate@block.series.channel=t": ["tanh"],
    "sefactory show 'block=cbam' block.let.r": ["block.let.r="],
    "sefactory show block=cbam block.let.r=": ["16"],
    "sefactory show --config-dir=m": ["m:y/"],
    "sefactory show --config-dir=m:": ["y/"],
    "sefactory show nope": [],
}
UNFINISHED = ("=", "/")


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program `sefactory` on the path, and a folder of configs."""
    file = tmp_path / "bin" / "sefactory"
    file.parent.mkdir()
    file.write_text(PROGRAM)
    file.chmod(0o755)
    (tmp_path / "m:y").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{file.parent}:{Path('/usr/bin')}:{Path('/bin')}")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    monkeypatch.setenv("HOME", str(tmp_path))
    return file


def _run_shell(*arguments: str, given: str = "") -> list[str]:
    done = subprocess.run(arguments, input=given, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_bash_inserts_what_follows_its_word_breaks(program: Path) -> None:
    expected = []
    for line, words in BASH.items():
        is_unfinished = len(words) == 1 and words[0].endswith(UNFINISHED)
        expected += [*(["compopt -o nospace"] if is_unfinished else []), f"{line} -> {' '.join(words)}"]
    assert _run_shell("bash", "--norc", "-c", BASH_LOOP, given="\n".join([*BASH, ""])) == expected


@pytest.mark.exhaustive
@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_completes(program: Path) -> None:
    lines = ["sefactory sh", "sefactory show block=sen", "cd /; sefactory bench 'blocks=[sen", "sefactory show gate="]
    script = "sefactory completion fish | source; while read -l line; complete -C $line; end"
    found = [text.split("\t")[0] for text in _run_shell("fish", "-c", script, given="\n".join([*lines, ""]))]
    gates = [f"gate={word}" for word in ("hard_sigmoid", "none", "sigmoid", "softmax", "tanh")]
    assert found == ["show", "block=senet", "blocks=[senet,", "blocks=[senet]", *gates]


@pytest.mark.exhaustive
@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_reads_the_script(program: Path) -> None:
    script = 'autoload -Uz compinit; compinit -u; eval "$(sefactory completion zsh)"; print $_comps[sefactory]'
    assert _run_shell("zsh", "-f", "-c", script) == ["_sefactory"]


def test_the_shell_is_found_out(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/usr/local/bin/fish")
    assert run("completion") == run("completion", "fish") and "complete -c sefactory" in run("completion")[1]
    for shell, word in (("bash", "complete -F _sefactory sefactory"), ("zsh", "#compdef sefactory")):
        code, out, _ = run("completion", shell)
        assert code == 0 and word in out


def test_the_help_names_the_files(run: Run) -> None:
    code, out, err = run("completion", "--help")
    assert (code, err) == (0, "") and '~/.zshrc                    eval "$(sefactory completion zsh)"' in out


CURE = "write sefactory completion with one of bash, zsh, fish"


@pytest.mark.parametrize(
    ("shell", "arguments", "message"),
    [
        ("", [], f"$SHELL is not set; {CURE}"),
        ("/bin/tcsh", [], f"$SHELL is tcsh; {CURE}"),
        ("", ["fsh"], f"fsh; {CURE}; did you mean 'fish'?"),
        ("", ["bash", "zsh"], f"bash zsh; {CURE}; did you mean 'bash'?"),
    ],
)
def test_another_shell_is_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, shell: str, arguments: list[str], message: str
) -> None:
    monkeypatch.setenv("SHELL", shell)
    assert run("completion", *arguments) == (2, "", f"sefactory completion: {message}\n")
