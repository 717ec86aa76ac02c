"""Edits of a module tree after it was built: which modules changed, and whether the tree changed since it was compiled.

Assignments to the modules of this package are counted. A compiled block compares the counter at every run, and looks at
its modules only if the counter changed (docs/execution.md, Edits).
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from torch import Tensor, nn

from ..kernels.dispatch import assume_constant_result
from ..shapes import Sizes

AS_BUILT = "_as_built"
"""The attribute of a module that holds its `AsBuilt`. Copies of the module carry it."""
FREE = frozenset(
    {"eps", "momentum", "scale", "shift", "unbiased", "p", "low", "high", "bias", "is_synchronized", "process_group"}
)
"""Attributes whose edit leaves all sizes as they are. The tree is compiled again with their new values."""
DERIVED = frozenset({"permutation", "inverse", "dims", "batch_dims", "batch_axes", "channels", "shape", "is_matmul", "merged"})
"""Attributes that follow from others at the build. torch.compile does not guard on them."""
FORWARDS: dict[type[nn.Module], Any] = {}
"""The classes that the compiler knows, each with its `forward`."""
_OBSERVED: set[type[nn.Module]] = set()


class _Counter:
    """The number of assignments to modules of observed classes."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0


counter = _Counter()


class Attributes(NamedTuple):
    """The public attributes of a module, and the shapes of its parameters and buffers (None for one that is None)."""

    values: dict[str, Any]
    shapes: dict[str, tuple[int, ...] | None]

    @classmethod
    def of(cls, module: nn.Module) -> "Attributes":
        """The attributes as they are now."""
        values = {name: value for name, value in module.__dict__.items() if name[0] != "_" and name != "training"}
        tensors = {**module._parameters, **module._buffers}
        return cls(values, {name: None if t is None else tuple(t.shape) for name, t in tensors.items()})

    def agree_with(self, built: "Attributes") -> bool:
        """True if only FREE attributes differ. A bias may come or go, but not that of a norm with running statistics."""
        free = FREE - {"bias"} if "running_mean" in built.shapes else FREE
        if any(name not in free and self.values.get(name, ...) != value for name, value in built.values.items()):
            return False
        return not any(name not in free and self.shapes.get(name, ...) != shape for name, shape in built.shapes.items())


class AsBuilt(NamedTuple):
    """How a module was built: its class, its attributes, and the sizes of its input where the builder knows them."""

    kind: type[nn.Module]
    attributes: Attributes
    input: Sizes | None


def register_class(kind: type[nn.Module]) -> None:
    """Makes a class known to the compiler. Assignments to its instances are counted if it is a class of this package."""
    FORWARDS[kind] = kind.forward
    if kind.__module__.startswith("sefactory.") and kind not in _OBSERVED:
        count_assignments(kind)


def count_assignments(kind: type[nn.Module]) -> None:
    """Lets the class count assignments to its instances, other than `train` and tensors in the place of others."""
    assign, delete = kind.__setattr__, kind.__delattr__

    def __setattr__(self: nn.Module, name: str, value: Any) -> None:
        if name != "training" and not (isinstance(value, Tensor) and _has_tensor(self, name, value)):
            counter.value += 1
        assign(self, name, value)

    def __delattr__(self: nn.Module, name: str) -> None:
        counter.value += 1
        delete(self, name)

    for method in (__setattr__, __delattr__):
        setattr(kind, method.__name__, method)
    _OBSERVED.add(kind)


def _has_tensor(module: nn.Module, name: str, value: Tensor) -> bool:
    """True if a tensor of this shape has this name in a module. Programs read tensors at every run."""
    state = module.__dict__
    current = state.get("_parameters", {}).get(name)
    current = state.get("_buffers", {}).get(name) if current is None else current
    return current is not None and current.shape == value.shape


def record_as_built(root: nn.Module, input_sizes: Sizes | None = None, only_known: bool = False) -> None:
    """Records how a module and those inside were built; a record that exists is kept. `input_sizes` are those of `root`.

    `only_known`: records only the modules that the compiler knows.
    """
    for module in root.modules():
        if AS_BUILT not in module.__dict__ and (type(module) in FORWARDS or not only_known):
            sizes = input_sizes if module is root else None
            module.__dict__[AS_BUILT] = AsBuilt(type(module), Attributes.of(module), sizes)


def is_as_built(module: nn.Module, input_sizes: Sizes) -> bool:
    """True if a module has the class, methods, attributes (but for the FREE ones) and input sizes that it was built for."""
    kind, built = type(module), module.__dict__.get(AS_BUILT)
    if built is None or built.kind is not kind or (built.input and built.input.extents != input_sizes.extents):
        return False
    if kind not in FORWARDS:  # called as it is
        return True
    if kind.forward is not FORWARDS[kind]:
        return False
    now = Attributes.of(module)
    if any(name not in built.attributes.values and hasattr(kind, name) for name in now.values):  # a method of the instance
        return False
    return now.agree_with(built.attributes)


class Snapshot:
    """What a tree was compiled from, to find out whether it was edited since."""

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        self._count = counter.value  # first: an edit by another thread while this runs is seen at the next run
        known = [module for module in modules if type(module) in FORWARDS]
        self._state = [(type(module), Attributes.of(module)) for module in known]
        kinds: dict[type[nn.Module], None] = dict.fromkeys(type(module) for module in known)
        self._forwards = [(kind, kind.forward) for kind in kinds]
        self._torch_attributes = [item for module in known if type(module) not in _OBSERVED for item in _items(module)]
        self._watched = known

    def is_current(self) -> bool:
        """True if nothing was edited. Takes 0.5 us. False also after an edit elsewhere."""
        if counter.value != self._count:
            return False
        for state, name, value in self._torch_attributes:  # assignments to modules of torch are not counted
            if state.get(name) is not value:
                return False
        for kind, forward in self._forwards:  # noqa: SIM110 (all() takes longer)
            if kind.forward is not forward:
                return False
        return True

    def describes(self, other: "Snapshot") -> bool:
        """True if both are of the same tree with the same attributes."""
        return self._state == other._state and self._forwards == other._forwards

    def watch(self) -> bool:
        """Reads the attributes that the programs were compiled from, and the children, so that torch.compile guards on them."""
        for i, module in enumerate(self._watched):
            children = self._expected_children(i)
            if module.forward is None or len(module._modules) != len(children):
                return False
            for name, value in self._expected(i):
                if getattr(module, name) != value:
                    return False
            for name, kind in children:
                if type(module._modules[name]) is not kind:
                    return False
        return True

    @assume_constant_result
    def _expected(self, index: int) -> tuple[tuple[str, Any], ...]:
        """The attributes of a watched module. Dynamo takes them as constants, without guards."""
        return _constants(Attributes.of(self._watched[index]))

    @assume_constant_result
    def _expected_children(self, index: int) -> tuple[tuple[str, type], ...]:
        """The children of a watched module and their classes, as constants for dynamo."""
        return tuple((name, type(child)) for name, child in self._watched[index]._modules.items())


def _items(module: nn.Module) -> list[tuple[dict[str, Any], str, Any]]:
    """The attributes of a module, each with its dictionary, and None for `forward`, which only a patched module has."""
    values = {"forward": None, **Attributes.of(module).values}
    return [(module.__dict__, name, value) for name, value in values.items()]


def _constants(state: Attributes) -> tuple[tuple[str, Any], ...]:
    """The attributes that dynamo can compare (numbers, words, None, and tuples of them), but for the DERIVED ones."""
    return tuple((name, value) for name, value in state.values.items() if name not in DERIVED and _is_constant(value))


def _is_constant(value: Any) -> bool:
    items = value if isinstance(value, tuple) else (value,)
    return all(item is None or isinstance(item, int | float | str) for item in items)
