"""The check that a network is the same, attribute by attribute, after insertions and refusals."""

from typing import Any

import pytest
import torch
from torch import nn

import sefactory as sf
from sefactory.networks.attachment import INSERTED_PATHS
from tests.networks.attributes import attributes, changes


def run(model: nn.Module, example: Any) -> None:
    """One forward pass."""
    args, named = ((), example) if isinstance(example, dict) else (example if isinstance(example, tuple) else (example,), {})
    with torch.no_grad():
        model(*args, **named)


def check_untouched(model: nn.Module, example: Any, at: str) -> None:
    """Raises AssertionError if a refusal changes a network, or an insertion more of it than the one place."""
    before, state = attributes(model), torch.get_rng_state()
    reasons = {"nowhere": "has no module of this path", "stage:77": r"has (\d|no) stages", at: "rounds down to 0"}
    for selector, reason in reasons.items():
        with pytest.raises(sf.ConfigError, match=reason):
            sf.insert(model, "cbam", selector, example=example, overrides=["let.r=9999"])
    assert changes(model, before) == [] and torch.equal(torch.get_rng_state(), state)
    (place,) = sf.insert(model, "cbam", at, example=example).places
    name_of_place = place.path.split(".")[-1]
    changed = [path.replace("'", "").replace("[", ".").replace("]", "").split(".") for path in changes(model, before)]
    assert changed and all(name_of_place in names or names[1] in (INSERTED_PATHS, "_state_dict_hooks") for names in changed)
    sf.remove(model, place.path)
    assert changes(model, before) == []
    run(model, example)
