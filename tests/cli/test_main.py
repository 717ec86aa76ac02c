"""Usage, version and Ctrl-C."""

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


def test_ctrl_c_during_the_import_of_hydra(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(name: str, *_: object) -> None:
        if name == "sefactory.cli.hydra_app":
            raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "sefactory.cli.hydra_app", raising=False)
    monkeypatch.setattr(sys, "meta_path", [SimpleNamespace(find_spec=interrupt), *sys.meta_path])
    assert run("show") == (cli.INTERRUPTED, "", "interrupted\n")


def test_hydra_does_not_choose_the_exit_code(run: Run) -> None:
    assert run("show", "--cfg", "job", "--package", "foo") == (2, "", "package 'foo' not found in config\n")
    assert run("show", "--cfg", "job", "--resolve", "--package", "channels") == (0, "256\n", "")
    code, out, err = run("show", "--hydra-help")
    assert (code, err) == (0, "") and "--cfg" in out


def test_an_unexpected_error_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("first\nsecond")

    monkeypatch.setattr("sefactory.cli.show.show_block", fail)
    message = "sefactory: unexpected RuntimeError: first; set SEFACTORY_TRACEBACK=1 to see where\n"
    code, _, err = run("show", "block=senet")
    assert code == 2 and err.endswith(message)
    monkeypatch.setenv("SEFACTORY_TRACEBACK", "1")
    with pytest.raises(RuntimeError, match="first"):
        run("show", "block=senet")
