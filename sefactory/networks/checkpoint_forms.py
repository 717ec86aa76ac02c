"""The forms in which a checkpoint holds a state dict: inside a container, or with a prefix on every key."""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

CONTAINERS = ("state_dict", "model_state_dict", "model", "net")
"""Keys under which training scripts save the state dict, beside the optimizer's and others."""
PREFIXES = ("module.", "model.", "_orig_mod.")
"""Of DataParallel and DistributedDataParallel, of wrappers such as LightningModules, and of torch.compile."""


class Form(NamedTuple):
    """A state dict that a checkpoint may hold, and the containers and prefixes that were removed to read it."""

    state_dict: Mapping[Any, Any]
    removed: tuple[str, ...]


def checkpoint_forms(checkpoint: Mapping[Any, Any]) -> list[Form]:
    """The checkpoint itself, then what its containers hold, and what remains if all keys share a prefix; also both.

    >>> [(dict(form.state_dict), form.removed) for form in checkpoint_forms({"net": {"module.w": 0}})][1:]
    [({'module.w': 0}, ("'net'",)), ({'w': 0}, ("'net'", "'module.'"))]
    """
    forms = [Form(checkpoint, ())]
    for state_dict, removed in forms:  # grows inside
        for key in CONTAINERS:
            inner = state_dict.get(key)
            if isinstance(inner, Mapping) and not any(form.state_dict is inner for form in forms):
                forms.append(Form(inner, (*removed, repr(key))))
        for prefix in PREFIXES:
            if state_dict and all(isinstance(key, str) and key.startswith(prefix) for key in state_dict):
                stripped = {key.removeprefix(prefix): value for key, value in state_dict.items()}
                forms.append(Form(stripped, (*removed, repr(prefix))))
    return forms


def nearest_prefixes(names: Collection[str], state_dict: Mapping[Any, Any]) -> list[tuple[str, int]]:
    """The prefixes below which a state dict has some of the names, each with the number of names; the best first.

    >>> nearest_prefixes(["w", "b"], {"stem.w": 0, "layer.se.w": 0, "layer.se.b": 0})
    [('layer.se.', 2), ('stem.', 1)]
    """
    counts = Counter[str]()
    for key in state_dict:
        parts = key.split(".") if isinstance(key, str) else []
        counts.update(".".join(parts[:i]) + "." for i in range(1, len(parts)) if ".".join(parts[i:]) in names)
    return counts.most_common()
