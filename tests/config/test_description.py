"""Descriptions of syntax trees: equal for what builds the same block, and for nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest

import sefactory as sf
from sefactory.build.api import parse
from sefactory.config.description import describe
from sefactory.config.repository import configs


def description(config: Any, *overrides: str, search: tuple[Path, ...] = ()) -> Any:
    return describe(parse(config, "HW", overrides, search).root)


@pytest.mark.parametrize("name", configs())
def test_every_config_has_a_description_of_plain_data(name: str) -> None:
    plain = description(name)
    assert json.loads(json.dumps(plain)) == plain and "yaml" not in json.dumps(plain)


def test_the_descriptions_of_other_blocks_differ() -> None:
    texts = {json.dumps(description(name), sort_keys=True) for name in configs()}
    assert len(texts) == len(configs())


def test_the_file_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("defaults: [cbam, _self_]\nlet: {r: 16}\n", encoding="utf-8")
    assert description(tmp_path / "mine.yaml") == description("cbam") == description(sf.load("cbam"))


def test_an_override_counts() -> None:
    assert description("cbam", "let.r=8") != description("cbam") == description("cbam", "let.r=16")


def test_an_edited_reference_counts(tmp_path: Path) -> None:
    (tmp_path / "gate.yaml").write_text("gate: [sigmoid]", encoding="utf-8")
    before = description(["gate"], search=(tmp_path,))
    (tmp_path / "gate.yaml").write_text("gate: [tanh]", encoding="utf-8")
    assert description(["gate"], search=(tmp_path,)) != before
