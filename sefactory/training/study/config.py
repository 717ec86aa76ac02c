"""The config of a study: one data set, network and recipe; variants; budgets; stages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...config.repository import ConfigRepository
from ...config.schema import Size
from ...errors import ConfigError, did_you_mean, join_words, short_repr
from ..parameters import read_parameters
from ..recipe import read_recipe
from ..runs.config import GROUPS, NO_BLOCK, RunConfig, read_run
from ..runs.network import read_network

KEYS = (*GROUPS, "variants", "budgets", "screen", "confirm", "controls", "device")
VARIANT_KEYS = ("block", "overrides", "network")
FIRST_SCREEN_SEED = 1000
"""Seeds of the screen start here: those of the confirmation, from 0, are fresh."""


@dataclass(frozen=True)
class Screen:
    """Each variant is trained with so many seeds; the `keep` variants with the best validation scores are confirmed."""

    seeds: int
    keep: int


@dataclass(frozen=True)
class StudyConfig:
    """What a study compares.

    `baseline` is the run of the network without blocks, `variants` has that of each variant by label; all with seed 0 and
    without test scores.
    `budgets` are numbers of image passes. With `controls` each confirmed variant is also trained with static gates, at the
    largest budget. `screen` is None if all variants are confirmed.
    """

    baseline: RunConfig
    variants: Mapping[str, RunConfig]
    budgets: tuple[int, ...]
    screen: Screen | None
    seeds: int
    controls: bool


def read_study(config: Mapping[str, Any], label: str = "study", search: Sequence[str | Path] = ()) -> StudyConfig:
    """The study of a mapping. `label` is its place in messages.

    Raises ConfigError for unknown or missing keys, for values that are not allowed, and for blocks that cannot be found.
    """
    _check_keys(config, KEYS, label)
    missing = [key for key in (*GROUPS, "variants", "confirm") if config.get(key) is None]
    if missing:
        raise ConfigError([(f"{label}.{key}", "is missing") for key in missing])
    repository = ConfigRepository(search)
    groups = {key: config[key] for key in (*GROUPS, "device") if config.get(key) is not None}
    baseline = read_run(groups, search)
    if any("block" in entry for entry in read_network(baseline.network, f"{label}.network").places):
        text = "has a block, which the network without blocks would have too; give the block to the variants"
        raise ConfigError([(f"{label}.network.place", text)])
    recipe = read_recipe(baseline.recipe, f"{label}.recipe")
    controls = config.get("controls", True)
    if not isinstance(controls, bool):
        raise ConfigError([(f"{label}.controls", f"{short_repr(controls)}; allowed: true, false")])
    return StudyConfig(
        baseline,
        _read_variants(config["variants"], groups, label, repository),
        _read_budgets(config.get("budgets", [recipe.image_passes]), f"{label}.budgets"),
        _read_screen(config.get("screen"), f"{label}.screen"),
        _read_seeds(config["confirm"], f"{label}.confirm"),
        controls,
    )


def _read_variants(variants: Any, groups: Mapping[str, Any], label: str, repository: ConfigRepository) -> dict[str, RunConfig]:
    """The run of each variant. A list holds names of blocks, a mapping also {block, overrides, network}."""
    if isinstance(variants, list) and all(isinstance(name, str) for name in variants):
        variants = {name: name for name in variants}
    if not isinstance(variants, Mapping) or not variants:
        allowed = "a list of blocks, or a mapping of labels to blocks or to {block: ..., overrides: [...]}"
        raise ConfigError([(f"{label}.variants", f"{short_repr(variants)}; allowed: {allowed}")])
    runs, faults = dict[str, RunConfig](), list[tuple[str, str]]()
    for name, value in variants.items():
        where = f"{label}.variants.{name}"
        try:
            runs[str(name)] = _read_variant(str(name), value, groups, where, repository)
        except ConfigError as error:
            faults += [(path if path.startswith(where) else f"{where}: {path}", text) for path, text in error.faults]
    if NO_BLOCK in runs:
        faults.append((f"{label}.variants.{NO_BLOCK}", "is the name of the network without blocks, which is always trained"))
    if faults:
        raise ConfigError(faults)
    return runs


def _read_variant(name: str, value: Any, groups: Mapping[str, Any], label: str, repository: ConfigRepository) -> RunConfig:
    """The run of one variant."""
    if not isinstance(value, Mapping) or "block" not in value:
        return read_run({**groups, "block": value, "label": name}, repository.search)
    _check_keys(value, VARIANT_KEYS, label)
    run = read_run({**groups, **value, "label": name}, repository.search)
    own, common = (read_network(network, f"{label}.network") for network in (run.network, read_run(groups).network))
    if (own.host, own.depth, own.width) != (common.host, common.depth, common.width):
        text = f"is a {own.label}, and that of the study a {common.label}; a variant can change place alone"
        raise ConfigError([(f"{label}.network", text)])
    return run


def _read_budgets(value: Any, label: str) -> tuple[int, ...]:
    is_valid = isinstance(value, list) and value and all(type(n) is int and n > 0 for n in value)
    if not is_valid or len(set(value)) < len(value):
        raise ConfigError([(label, f"{short_repr(value)}; allowed: a list of different numbers of image passes")])
    return tuple(sorted(value))


def _read_screen(value: Any, label: str) -> Screen | None:
    def screen(seeds: Size, keep: Size) -> Screen:
        return Screen(seeds, keep)

    return None if value is None else screen(**read_parameters(screen, "screen", _mapping(value, label), label))


def _read_seeds(value: Any, label: str) -> int:
    def confirm(seeds: Size) -> int:
        return seeds

    return confirm(**read_parameters(confirm, "confirm", _mapping(value, label), label))


def _mapping(value: Any, label: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError([(label, f"{short_repr(value)}; allowed: a mapping")])
    return value


def _check_keys(config: Mapping[str, Any], keys: Sequence[str], label: str) -> None:
    unknown = [key for key in config if key not in keys]
    if unknown:
        allowed = f"is no key; there are {join_words(keys)}"
        raise ConfigError([(f"{label}.{key}", f"{allowed}{did_you_mean(key, keys)}") for key in unknown])
