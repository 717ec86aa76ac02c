"""The values of data, network and recipe in which runs or settings differ, to tell them apart."""

from collections.abc import Mapping, Sequence
from typing import Any


def differences(setups: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The values in which each setup differs from others, by a path such as `recipe.lr`; None where a setup has no value.

    >>> differences([{"network": "a", "recipe": {"lr": 0.1, "ema": None}}, {"network": "a", "recipe": {"lr": 0.3}}])
    [{'recipe.lr': 0.1}, {'recipe.lr': 0.3}]
    """
    flat = [_flatten(setup) for setup in setups]
    names = dict.fromkeys(name for values in flat for name in values)
    differing = [name for name in names if len({repr(values.get(name)) for values in flat}) > 1]
    return [{name: values.get(name) for name in differing} for values in flat]


def _flatten(setup: Mapping[str, Any]) -> dict[str, Any]:
    """The values of data and recipe by path, and the network."""
    values = {f"{group}.{key}": value for group in ("data", "recipe") for key, value in setup.get(group, {}).items()}
    return values | {"network": setup.get("network")}
