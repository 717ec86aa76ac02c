"""The config of a run: names and mappings are resolved, and each mistake is one line."""

from pathlib import Path
from typing import Any

import pytest

from sefactory.errors import ConfigError
from sefactory.training.runs.config import read_run
from tests.training.runs.examples import RUN


def message(config: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        read_run(config)
    return str(caught.value)


def test_names_and_mappings_are_resolved() -> None:
    run = read_run({"data": "digits", "network": "resnet20", "recipe": "small", "block": "senet", "overrides": ["let.r=4"]})
    assert run.data == {"dataset": "digits"} and run.network["depth"] == 20 and run.recipe["lr"] == 0.03
    assert (
        run.block["let"] == {"r": 4} and run.label == "senet let.r=4" and (run.seed, run.static, run.test) == (0, False, False)
    )
    assert read_run(RUN).label == "plain" and read_run(RUN).block is None


def test_a_block_in_a_file_finds_the_configs_beside_it(tmp_path: Path) -> None:
    (tmp_path / "inner.yaml").write_text("gate: [sigmoid]\n")
    (tmp_path / "outer.yaml").write_text("series: [inner]\n")
    run = read_run(RUN | {"block": tmp_path / "outer.yaml"})
    assert run.search == (str(tmp_path),) and run.block == {"series": ["inner"]}


def test_it_is_plain_data_that_reads_back() -> None:
    run = read_run(RUN | {"block": "cbam", "seed": 3})
    config = run.as_dict()
    assert read_run(config).as_dict() == config


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": (
        RUN | {"sead": 1},
        "sead: is no key of a run; there are data, network, recipe, block, overrides, label, seed, static, test, device, "
        "threads, search; did you mean 'seed'?",
    ),
    "missing": ({"data": "digits", "network": "resnet20"}, "recipe: is missing; give the name of a config or a mapping"),
    "unknown name": (
        RUN | {"recipe": "smal"},
        "recipe: no recipe named 'smal'; there are small; did you mean 'small'?",
    ),
    "no mapping": (RUN | {"network": 3}, "network: no network named 3; there are resnet20, resnet20_last"),
    "seed": (RUN | {"seed": -1}, "seed: -1; allowed: an integer of at least 0"),
    "seed of another type": (RUN | {"seed": True}, "seed: true; allowed: an integer of at least 0"),
    "static": (RUN | {"static": "yes"}, "static: 'yes'; allowed: true, false"),
    "overrides": (RUN | {"block": "senet", "overrides": "let.r=4"}, "overrides: 'let.r=4'; allowed: a list of path=value"),
    "overrides without a block": (RUN | {"overrides": ["let.r=4"]}, "overrides: there is no block to change; set block"),
    "device": (RUN | {"device": 0}, "device: 0; allowed: a text"),
    "block": (RUN | {"block": "sennet"}, "sennet: no config of this name; did you mean 'senet'?"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_one_line(mistake: str) -> None:
    config, expected = MISTAKES[mistake]
    assert message(config) == expected
