"""Usage, version, tab completion and Ctrl-C."""

import sys
from types import SimpleNamespace

import pytest

from sefactory.cli import main as cli
from tests.cli.command_line import Run


def test_help_and_usage(run: Run) -> None:
    assert run("--help") == (0, f"{cli.USAGE}\n", "")
    assert run() == (2, f"{cli.USAGE}\n", "")
    code, out, _ = run("--version")
    assert code == 0 and out.count(".") == 2


def test_completion_prints_a_script(run: Run) -> None:
    for shell in ("bash", "zsh"):
        code, out, _ = run("completion", shell)
        assert code == 0 and "complete -o nospace" in out and "-sc query=bash" in out
    assert run("completion", "fish")[0] == 2


def test_ctrl_c_during_the_import_of_hydra(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(name: str, *_: object) -> None:
        if name == "sefactory.cli.hydra_app":
            raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "sefactory.cli.hydra_app", raising=False)
    monkeypatch.setattr(sys, "meta_path", [SimpleNamespace(find_spec=interrupt), *sys.meta_path])
    assert run("show") == (cli.INTERRUPTED, "", "interrupted\n")
