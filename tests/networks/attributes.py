"""A deep comparison of networks: every attribute of every module, by identity and by value."""

from collections import deque
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn


class Attribute(NamedTuple):
    """An object that a network holds, and its value at that time."""

    value: Any
    copy: Any


def attributes(model: nn.Module) -> dict[str, Attribute]:
    """Everything that is reached from a network through attributes, slots, items and elements, by its path."""
    found: dict[str, Attribute] = {}
    seen: set[int] = set()
    pending: list[tuple[str, Any]] = [("model", model)]
    while pending:
        path, value = pending.pop()
        found[path] = Attribute(value, _copied(value))
        if id(value) not in seen:
            seen.add(id(value))
            pending += [(f"{path}{name}", item) for name, item in _inside(value)]
    return found


def changes(model: nn.Module, before: dict[str, Attribute]) -> list[str]:
    """The paths of what is new, gone or different."""
    after = attributes(model)
    paths = dict.fromkeys([*before, *after])
    return [path for path in paths if path not in before or path not in after or not _equal(before[path], after[path])]


def _inside(value: Any) -> list[tuple[str, Any]]:
    items: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        items += [(f"[{key!r}]" if isinstance(key, str | int) else f"[key {i}]", x) for i, (key, x) in enumerate(value.items())]
    elif isinstance(value, list | tuple | deque):
        items += [(f"[{i}]", x) for i, x in enumerate(value)]
    if isinstance(value, type | Tensor) or callable(value) and not isinstance(value, nn.Module):
        return items
    items += [(f".{name}", x) for name, x in getattr(value, "__dict__", {}).items()]
    slots = [vars(kind).get("__slots__", ()) for kind in type(value).__mro__]
    names = [name for group in slots for name in ((group,) if isinstance(group, str) else group)]
    return items + [(f".{name}", getattr(value, name)) for name in names if name != "__weakref__" and hasattr(value, name)]


def _copied(value: Any) -> Any:
    """What is compared by value; the items of containers have paths of their own."""
    if isinstance(value, Tensor):
        return value.device, value.shape, value._version, None if value.is_meta else value.detach().clone()
    if isinstance(value, torch.Generator):
        return value.get_state()
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    if isinstance(value, dict | set):
        return list(value)
    return (type(value), len(value)) if isinstance(value, list | tuple | deque) else type(value)


def _equal(before: Attribute, after: Attribute) -> bool:
    """True for the same object with the same value; the keys of dicts have an order."""
    if isinstance(before.value, int | float | str):
        return type(before.value) is type(after.value) and before.value == after.value
    first, second = before.copy, after.copy
    if before.value is not after.value:
        return False
    if isinstance(before.value, Tensor):
        return first[:3] == second[:3] and (first[3] is None or torch.equal(first[3], second[3]))
    return torch.equal(first, second) if isinstance(first, Tensor) else first == second
