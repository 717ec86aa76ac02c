"""docs/studies.md: its study is read, its commands are accepted, and its tables have every key."""

import dataclasses
import re
import shlex
from pathlib import Path

import pytest
import yaml

from sefactory.cli.checks import check_command_line
from sefactory.cli.command_line import read_command_line
from sefactory.training.data.loading import SOURCES
from sefactory.training.recipe import Recipe
from sefactory.training.study.config import KEYS, read_study
from tests.documentation.test_pages import _blocks, _commands, _text

PAGE = "docs/studies.md"


def test_the_study_is_read() -> None:
    (text,) = _blocks(PAGE, "yaml")
    study = read_study(yaml.safe_load(text))
    assert list(study.variants) == ["senet", "wide", "mine"] and study.seeds == 8


@pytest.mark.parametrize("line", [line for line, _ in _commands(PAGE)])
def test_commands_are_accepted(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my").mkdir()
    (tmp_path / "my" / "study.yaml").write_text(_blocks(PAGE, "yaml")[0])
    command, *words = shlex.split(line, comments=True)[1:]
    check_command_line(read_command_line(command, words))


def test_the_python_is_a_run() -> None:
    (text,) = _blocks(PAGE, "python")
    assert "sf.train(" in text  # the doctest of sf.train runs


def test_tables_have_every_key_and_name() -> None:
    text = _text(PAGE)
    fields = [field.name for field in dataclasses.fields(Recipe)]
    missing = [name for name in (*KEYS, *SOURCES, *fields) if not re.search(rf"`{name}\b", text)]
    assert not missing
