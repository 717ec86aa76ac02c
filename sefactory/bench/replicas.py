"""Puts replicas in place of all tensors that a module holds, and afterwards every attribute back as it was."""

import inspect
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from operator import is_
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset

ATOMS = frozenset(
    (type(None), bool, int, float, complex, str, bytes, type, slice, range, torch.Size, torch.dtype, torch.device)
    + (FunctionType, BuiltinFunctionType, MethodType, ModuleType, weakref.ref)
)
"""Types of values that hold nothing which a forward pass changes."""
CONTAINERS = frozenset((dict, OrderedDict, list, set))
APART = (Dataset, DataLoader, Optimizer)
"""Objects that a module may refer to (by its trainer), but which are no part of it and may be large."""


def meta_replica(tensor: Tensor) -> Tensor:
    """A tensor of the same shape, strides and dtype on the meta device."""
    if tensor.is_meta:  # 20 times as fast as empty_like, and without the version counter that `detach` shares
        return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
    return torch.empty_like(tensor, device="meta", requires_grad=False)


def clone_replica(tensor: Tensor) -> Tensor:
    """A copy on the same device."""
    return tensor.detach().clone()


@contextmanager
def replicas_of(
    module: nn.Module, replicate: Callable[[Tensor], Tensor], opaque: tuple[type, ...] = ()
) -> Iterator["Replicas"]:
    """Replaces all tensors of a module by replicas; at the end every attribute has its former identity and value again.

    Attributes are those of all modules inside (parameters, buffers, hooks, modes and others), and what lists, tuples,
    dicts, sets and plain objects among them hold. Modules of the classes `opaque` must not run: they keep their tensors.
    """
    replicas = Replicas(replicate, opaque)
    try:
        replicas.of(module)
        yield replicas
    finally:
        replicas.restore()


class Replicas:
    """The former contents of all containers that were reached. A tensor reached twice has one replica.

    `modules` are the modules that were reached, also those that are not registered as children.
    """

    def __init__(self, replicate: Callable[[Tensor], Tensor], opaque: tuple[type, ...] = ()) -> None:
        self.modules: list[nn.Module] = []
        self.devices: set[torch.device] = set()
        self._replicate, self._opaque = replicate, opaque
        self._seen: dict[int, tuple[Any, Any]] = {}
        self._empty: list[Any] = []
        self._pending: list[Any] = []
        self._restorers: list[Callable[[], object]] = []

    def of(self, value: Any) -> Any:
        """The value with replicas in place of its tensors. Lists, dicts and objects are changed in place until `restore`."""
        replacement = self._replace(value)
        while self._pending:
            self._enter(self._pending.pop())
        return replacement

    def holds(self, value: object) -> bool:
        """True if the object was reached."""
        return id(value) in self._seen

    def restore(self) -> None:
        """Puts the former contents back."""
        for restore in self._restorers:
            restore()
        for container in self._empty:
            if container:
                container.clear()

    def _replace(self, value: Any) -> Any:
        """The replica of a tensor, a tuple of replacements, or the value itself, which is entered later."""
        kind = type(value)
        if kind in ATOMS:
            return value
        if known := self._seen.get(id(value)):
            return known[1]
        replacement = value
        if isinstance(value, Tensor):
            replacement = self._replicate(value)
            self.devices.add(value.device)
        elif isinstance(value, tuple):
            items = [self._replace(item) for item in value]
            if any(new is not old for new, old in zip(items, value, strict=True)):
                replacement = tuple.__new__(kind, items)
        elif (kind.__module__, kind.__name__) == ("numpy", "ndarray"):
            replacement = value.copy()
        else:
            self._pending.append(value)
        self._seen[id(value)] = (value, replacement)
        return replacement

    def _enter(self, value: Any) -> None:
        """Saves the contents of an object and replaces the tensors among them."""
        kind: type = type(value)
        if isinstance(value, nn.Module) and isinstance(value, self._opaque):
            self.modules.append(value)
            self._enter_opaque(value.__dict__)
            return
        if isinstance(value, dict):
            self._enter_dict(value)
        elif isinstance(value, list | deque):
            self._enter_sequence(value, list if isinstance(value, list) else deque)
        elif isinstance(value, set):
            saved = set(value)
            self._restorers.append(partial(_restore_set, value, saved))
        elif isinstance(value, torch.Generator):
            self._restorers.append(partial(value.set_state, value.get_state()))
        if not _has_attributes(kind):
            return
        if isinstance(value, nn.Module):
            self.modules.append(value)
        if isinstance(attributes := getattr(value, "__dict__", None), dict):
            self._enter_dict(attributes)
        if names := _slot_names(kind):
            self._enter_slots(value, names)

    def _enter_opaque(self, attributes: dict[str, Any]) -> None:
        """Saves the attributes of a module that does not run, and its hooks."""
        self._restorers.append(partial(_restore_dict, dict, attributes, dict(attributes)))
        for name, value in attributes.items():
            if name.endswith("_hooks") and value:
                self._enter_dict(value)

    def _enter_dict(self, values: dict[Any, Any]) -> None:
        """Saves the items of a dict and replaces the tensors among its values."""
        saved = dict(values)
        kind = OrderedDict if isinstance(values, OrderedDict) else dict
        self._restorers.append(partial(_restore_dict, kind, values, saved))
        for key, value in saved.items():
            if (content := type(value)) in ATOMS:
                continue
            if content in CONTAINERS and not value:  # most of them: tables of hooks
                self._empty.append(value)
            elif (new := self._replace(value)) is not value:
                kind.__setitem__(values, key, new)  # a subclass may refuse to be changed

    def _enter_sequence(self, values: Any, kind: Any) -> None:
        saved = list(values)
        self._restorers.append(partial(_restore_sequence, kind, values, saved))
        for i, value in enumerate(saved):
            if type(value) not in ATOMS and (new := self._replace(value)) is not value:
                kind.__setitem__(values, i, new)

    def _enter_slots(self, value: object, names: tuple[str, ...]) -> None:
        saved = {name: getattr(value, name) for name in names if hasattr(value, name)}
        self._restorers.append(partial(_restore_slots, value, names, saved))
        for name, content in saved.items():
            if (new := self._replace(content)) is not content:
                object.__setattr__(value, name, new)


@cache
def _has_attributes(kind: type) -> bool:
    """True for modules and for objects of ordinary classes.

    Classes with a `__reduce__` of their own, such as enums and loggers, are left out.
    """
    if issubclass(kind, nn.Module | SimpleNamespace):
        return True
    return kind.__reduce_ex__ is object.__reduce_ex__ and kind.__reduce__ is object.__reduce__ and not issubclass(kind, APART)


@cache
def _slot_names(kind: type) -> tuple[str, ...]:
    """The attributes that the class keeps in slots."""
    slots = [vars(base).get("__slots__", ()) for base in kind.__mro__]
    names = (name for group in slots for name in ((group,) if isinstance(group, str) else group))
    return tuple(name for name in names if inspect.ismemberdescriptor(getattr(kind, name, None)))


def _restore_dict(kind: Any, values: dict[Any, Any], saved: dict[Any, Any]) -> None:
    """Gives a dict its former items in their former order; only what differs is written."""
    for key in [key for key in values if key not in saved] if len(values) > len(saved) else []:
        kind.__delitem__(values, key)
    if len(values) == len(saved) and all(map(is_, values, saved)):
        if not all(map(is_, kind.values(values), saved.values())):
            for key, value in saved.items():
                if kind.__getitem__(values, key) is not value:
                    kind.__setitem__(values, key, value)
    else:
        kind.clear(values)
        kind.update(values, saved)


def _restore_sequence(kind: Any, values: Any, saved: list[Any]) -> None:
    if len(values) != len(saved) or not all(map(is_, values, saved)):
        kind.clear(values)
        kind.extend(values, saved)


def _restore_set(values: set[Any], saved: set[Any]) -> None:
    if set.__ne__(values, saved):
        set.clear(values)
        set.update(values, saved)


def _restore_slots(value: object, names: tuple[str, ...], saved: dict[str, Any]) -> None:
    for name in names:
        if name in saved:
            object.__setattr__(value, name, saved[name])
        elif hasattr(value, name):
            object.__delattr__(value, name)
