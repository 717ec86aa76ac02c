"""Edits of a module tree after it was built: which modules changed, and whether the tree changed since it was compiled.

Each edit of a module of this package is marked by a new list. A compiled block compares the mark at every run, and
looks at its modules only if the mark changed (docs/execution.md, Edits).
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from torch import Tensor, nn

from ..kernels.dispatch import assume_constant_result
from ..shapes import Sizes

AS_BUILT = "_as_built"
"""The attribute of a module that holds its `AsBuilt`. Copies of the module carry it."""
RECOMPILED_ATTRIBUTES = frozenset(
    {"eps", "momentum", "scale", "shift", "unbiased", "p", "low", "high", "bias", "is_synchronized", "process_group"}
)
"""Attributes whose edit leaves all sizes as they are. The tree is compiled again with their new values."""
UNGUARDED_ATTRIBUTES = frozenset(
    {"permutation", "inverse", "dims", "batch_dims", "batch_axes", "channels", "shape", "is_matmul", "merged_dims"}
)
"""Attributes that follow from others at the build. torch.compile does not guard on them."""
FORWARDS: dict[type[nn.Module], Any] = {}
"""The classes that the compiler knows, each with its `forward`."""
_OBSERVED: set[type[nn.Module]] = set()


class _LastEdit:
    """`mark` is a new list after each edit of a module of an observed class.

    It is a list because dynamo can create a list, but not an `object()`.
    """

    __slots__ = ("mark",)

    def __init__(self) -> None:
        self.mark: list[None] = []


last_edit = _LastEdit()


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
        """True if only RECOMPILED_ATTRIBUTES differ, and none of them is a tensor or an array now.

        A bias may come or go, but not that of a norm with running statistics.
        """
        compilable = {name for name, value in self.values.items() if _is_constant(value) or name == "process_group"}
        free = (RECOMPILED_ATTRIBUTES & compilable) | (set() if "running_mean" in built.shapes else {"bias"})
        if any(name not in free and not _equal(self.values.get(name, ...), value) for name, value in built.values.items()):
            return False
        return not any(name not in free and self.shapes.get(name, ...) != shape for name, shape in built.shapes.items())


class AsBuilt(NamedTuple):
    """How a module was built: its class, its attributes, and the sizes of its input where the builder knows them."""

    kind: type[nn.Module]
    attributes: Attributes
    input: Sizes | None


def register_class(kind: type[nn.Module]) -> None:
    """Makes a class known to the compiler. Edits of its instances are marked if it is a class of this package."""
    FORWARDS[kind] = kind.forward
    if kind.__module__.startswith("sefactory.") and kind not in _OBSERVED:
        mark_edits(kind)


def mark_edits(kind: type[nn.Module]) -> None:
    """Makes the class mark edits of its instances: what is assigned, deleted or registered.

    Setting `training`, or replacing a tensor by one of the same shape, is not an edit.
    """
    assign, delete = kind.__setattr__, kind.__delattr__
    add_parameter, add_buffer = kind.register_parameter, kind.register_buffer

    def __setattr__(self: nn.Module, name: str, value: Any) -> None:
        is_edit = _is_edit(self, name, value)
        assign(self, name, value)
        _mark(is_edit)

    def __delattr__(self: nn.Module, name: str) -> None:
        delete(self, name)
        _mark(True)

    def register_parameter(self: nn.Module, name: str, param: nn.Parameter | None) -> None:
        is_edit = _is_edit(self, name, param)
        add_parameter(self, name, param)
        _mark(is_edit)

    def register_buffer(self: nn.Module, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        is_edit = _is_edit(self, name, tensor)
        add_buffer(self, name, tensor, persistent)
        _mark(is_edit)

    for method in (__setattr__, __delattr__, register_parameter, register_buffer):
        setattr(kind, method.__name__, method)
    _OBSERVED.add(kind)


def _mark(is_edit: bool) -> None:
    """Call it after the edit. A snapshot that another thread took before the edit is then out of date."""
    if is_edit:
        last_edit.mark = []


def _is_edit(module: nn.Module, name: str, value: Any) -> bool:
    """False for `training`, and for a tensor in the place of one of its shape: programs read tensors at every run."""
    if not isinstance(value, Tensor):
        return name != "training"
    state = module.__dict__
    current = state.get("_parameters", {}).get(name)
    current = state.get("_buffers", {}).get(name) if current is None else current
    return current is None or current.shape != value.shape


def record_as_built(module: nn.Module, input_sizes: Sizes | None = None) -> None:
    """Records how a module was built; a record that exists is kept."""
    if AS_BUILT not in module.__dict__:
        is_known = type(module) in FORWARDS
        attributes = Attributes.of(module) if is_known else Attributes({}, {})  # may be what cannot be copied
        module.__dict__[AS_BUILT] = AsBuilt(type(module), attributes, input_sizes)


def record_all_as_built(root: nn.Module) -> None:
    """Records how the modules that the compiler knows were built, where there is no record yet."""
    for module in root.modules():
        if type(module) in FORWARDS:
            record_as_built(module)


def _compiled_from(module: nn.Module) -> Attributes:
    """The attributes that programs depend on: those that the module was built with, and methods of the instance."""
    now, built = Attributes.of(module), module.__dict__.get(AS_BUILT)
    names = now.values if built is None else built.attributes.values
    values = {name: value for name, value in now.values.items() if name in names or hasattr(type(module), name)}
    return now._replace(values=values)


def _equal(a: Any, b: Any) -> bool:
    """True if two values are equal. False for arrays, whose comparison is no truth value."""
    try:
        return bool(a == b)
    except (RuntimeError, TypeError, ValueError):
        return False


def is_as_built(module: nn.Module, input_sizes: Sizes) -> bool:
    """True if a module has the class, methods, attributes and input sizes of its build. RECOMPILED_ATTRIBUTES may differ."""
    kind, built = type(module), module.__dict__.get(AS_BUILT)
    if built is None or built.kind is not kind or (built.input and built.input.extents != input_sizes.extents):
        return False
    if kind not in FORWARDS:  # called as it is
        return True
    if kind.forward is not FORWARDS[kind]:
        return False
    now = _compiled_from(module)
    if now.values.keys() - built.attributes.values.keys():  # a method of the instance
        return False
    return now.agree_with(built.attributes)


class Snapshot:
    """What a tree was compiled from, to find out whether it was edited since."""

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        self._last_edit = last_edit.mark  # first: an edit by another thread while this runs is seen at the next run
        known = [module for module in modules if type(module) in FORWARDS]
        self._state = [(type(module), _compiled_from(module)) for module in known]
        kinds: dict[type[nn.Module], None] = dict.fromkeys(type(module) for module in known)
        self._forwards = [(kind, kind.forward) for kind in kinds]
        self._torch_attributes = [item for module in known if type(module) not in _OBSERVED for item in _items(module)]
        self._watched = known

    def is_current(self) -> bool:
        """True if nothing was edited. Takes 0.5 us. False also after an edit elsewhere."""
        if last_edit.mark is not self._last_edit:
            return False
        for state, name, value in self._torch_attributes:  # assignments to modules of torch are not marked
            if state.get(name) is not value:
                return False
        for kind, forward in self._forwards:  # noqa: SIM110 (all() takes longer)
            if kind.forward is not forward:
                return False
        return True

    def describes(self, other: "Snapshot") -> bool:
        """True if both are of the same tree with the same attributes."""
        return _equal(self._state, other._state) and self._forwards == other._forwards

    def watch(self) -> bool:
        """True if dynamo finds the attributes and children that the programs were compiled from. It guards on each of them.

        They differ after an edit in the function that dynamo compiles: it assigns them only when that function runs.
        """
        for i, module in enumerate(self._watched):
            children = self._expected_children(i)
            if module.forward is None or "forward" in module.__dict__ or len(module._modules) != len(children):
                return False  # dynamo guards on the comparison with None, and not on the lookup
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
        return _constants(_compiled_from(self._watched[index]))

    @assume_constant_result
    def _expected_children(self, index: int) -> tuple[tuple[str, type], ...]:
        """The children of a watched module and their classes, as constants for dynamo."""
        return tuple((name, type(child)) for name, child in self._watched[index]._modules.items())


def _items(module: nn.Module) -> list[tuple[dict[str, Any], str, Any]]:
    """The attributes of a module, each with its dictionary, and None for `forward`, which only a patched module has."""
    values = {"forward": None, **Attributes.of(module).values}
    return [(module.__dict__, name, value) for name, value in values.items()]


def _constants(state: Attributes) -> tuple[tuple[str, Any], ...]:
    """The attributes that dynamo can compare (numbers, strings, None, and tuples of them), but for UNGUARDED_ATTRIBUTES."""
    guarded = ((name, value) for name, value in state.values.items() if name not in UNGUARDED_ATTRIBUTES)
    return tuple((name, value) for name, value in guarded if _is_constant(value))


def _is_constant(value: Any) -> bool:
    items = value if isinstance(value, tuple) else (value,)
    return all(item is None or isinstance(item, int | float | str) for item in items)
