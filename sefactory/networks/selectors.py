"""Places in a network: which modules a pattern selects, and the maps that go through them in one forward."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..bench.summary import eval_mode
from ..errors import ConfigError, did_you_mean, join_words, short_repr

CLASS = re.compile(r"[A-Z]\w*")
STAGE = re.compile(r"stage:(-?\d{1,9})")
NEAREST = 3
PATTERN = "a pattern of module paths, a class, stage:N, or a list of them"
Shape = tuple[int, ...]


@dataclass(frozen=True)
class CallRecord:
    """What went through a module in one forward: the shapes of its first argument and of its result, call by call.

    `alone` tells whether there was no other argument.
    """

    taken: list[Shape | None] = field(default_factory=list)
    alone: list[bool] = field(default_factory=list)
    left: list[Shape | None] = field(default_factory=list)


def is_pattern(at: Any) -> bool:
    """Whether this is a pattern or a list of some."""
    patterns = [at] if isinstance(at, str) else at
    return isinstance(patterns, list | tuple) and all(isinstance(item, str) and item for item in patterns) and bool(patterns)


def select(model: nn.Module, pattern: str, traced: Mapping[str, CallRecord]) -> list[str]:
    """The paths of the modules that a pattern selects, in the order of the network.

    A pattern is a path in which `*` stands for any part of a name and `**` for any number of names (`layer*.*.bn3`), the
    name of a class (`SqueezeExcite`), or the end of a stage, counted from 1 or from the end (`stage:4`, `stage:-1`).
    Raises ConfigError naming the nearest paths where nothing is selected, or a module that stands at two paths.

    >>> net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.ReLU())
    >>> select(net, "BatchNorm2d", {}), select(net, "*", {})
    (['1'], ['0', '1', '2'])
    """
    modules = dict(model.named_modules(remove_duplicate=False))
    modules.pop("")
    if stage := STAGE.fullmatch(pattern):
        found = [_stage(model, int(stage.group(1)), traced, pattern)]
    elif CLASS.fullmatch(pattern) and pattern not in modules:
        found = [path for path, module in modules.items() if type(module).__name__ == pattern]
    else:
        found = [path for path in modules if fits(path.split("."), pattern.split("."))]
    if not found:
        raise ConfigError([(f"at {pattern}", f"no module of the network has this {_nearest(pattern, modules)}")])
    for path in found:
        if len(paths := [other for other, module in modules.items() if module is modules[path]]) > 1:
            raise ConfigError([(f"at {pattern}", f"one module stands at {' and '.join(paths)}; give each place its own")])
    return found


def fits(path: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether the names of a path fit those of a pattern; `**` stands for any number of them.

    >>> fits(["layer1", "0", "bn3"], ["layer*", "*", "bn3"]), fits(["a", "b", "c"], ["**", "c"]), fits(["a"], ["a", "*"])
    (True, True, False)
    """
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(fits(path[i:], pattern[1:]) for i in range(len(path) + 1))
    return bool(path) and fnmatchcase(path[0], pattern[0]) and fits(path[1:], pattern[1:])


def _nearest(pattern: str, modules: Mapping[str, nn.Module]) -> str:
    """`path` or `class`, and what may have been meant."""
    if CLASS.fullmatch(pattern):
        classes = {type(module).__name__ for module in modules.values()}
        return f"class; there are {join_words(sorted(classes))}{did_you_mean(pattern, classes)}"
    if "*" in pattern:  # as one would write it: `layer1.*.bn2`
        paths = {".".join("*" if name.isdigit() else name for name in path.split(".")) for path in modules}
    else:
        paths = set(modules)
    near = get_close_matches(pattern, sorted(paths), n=NEAREST)
    return (
        f"path; near are {join_words(near)}"
        if near
        else f"path; its parts are {join_words(p for p in modules if '.' not in p)}"
    )


def _stage(model: nn.Module, number: int, traced: Mapping[str, CallRecord], pattern: str) -> str:
    """The module behind which a stage ends: as the network itself says it (timm's feature_info), or where its grid shrinks."""
    info = getattr(model, "feature_info", None)
    ends = [str(entry["module"]) for entry in info if entry.get("module")] if info else list(_ends(traced))
    if not 1 <= abs(number) <= len(ends):
        raise ConfigError([(f"at {pattern}", f"the network has {len(ends)} stages, which end at {join_words(ends)}")])
    return ends[number if number < 0 else number - 1]


def _ends(traced: Mapping[str, CallRecord]) -> Iterator[str]:
    """Of each size of the grid the last module, of those that the network's own forward calls."""
    maps = [(path, calls.left[-1]) for path, calls in traced.items() if calls.left and path.count(".") <= 1]
    grids = [(path, shape[2:]) for path, shape in maps if shape and len(shape) == 4 and max(shape[2:]) > 1]
    outer = [(path, grid) for path, grid in grids if "." not in path] or grids
    if len({grid for _, grid in outer}) < 3:  # a network whose parts are all inside one
        outer = grids
    for i, (path, grid) in enumerate(outer):
        if i + 1 == len(outer) or outer[i + 1][1] != grid:
            yield path


def trace(model: nn.Module, example: Tensor) -> dict[str, CallRecord]:
    """Every module that one forward calls, in the order of their results. Nothing of the model is changed.

    Sizes run on the meta device; where a network cannot, the forward is run as it is. Raises ConfigError where that fails.
    """
    try:
        return _watched(model, lambda: functional_call(model, on_meta(model), (example.to("meta"),)))
    except Exception:  # networks that make tensors of their own, look at values, ...
        pass
    try:
        return _watched(model, lambda: model(example))
    except Exception as error:
        text = str(error).strip().split("\n")[0] or type(error).__name__
        raise ConfigError([("input_size", f"the network does not run on {tuple(example.shape)}: {text}")]) from None


def on_meta(model: nn.Module) -> dict[str, Tensor]:
    """Its parameters and buffers without memory."""
    named = [*model.named_parameters(), *model.named_buffers()]
    return {key: torch.empty_like(tensor, device="meta") for key, tensor in named}


def _watched(model: nn.Module, run: Callable[[], Any]) -> dict[str, CallRecord]:
    seen: dict[str, CallRecord] = {}
    handles = []
    for path, module in model.named_modules():

        def note(module: nn.Module, args: Any, kwargs: Any, result: Any, path: str = path) -> None:
            calls = seen.setdefault(path, CallRecord())
            first = args[0] if args else None
            calls.alone.append(len(args) + len(kwargs) == 1)
            calls.taken.append(tuple(first.shape) if isinstance(first, Tensor) else None)
            calls.left.append(tuple(result.shape) if isinstance(result, Tensor) else None)

        handles.append(module.register_forward_hook(note, with_kwargs=True))
    try:
        with eval_mode(model), torch.no_grad():
            run()
    finally:
        for handle in handles:
            handle.remove()
    return seen


def one_shape(path: str, shapes: Sequence[Shape | None], what: str) -> Shape:
    """The shape of the one map, or of the equal maps, at a site.

    Raises ConfigError for a site that is not called, takes or leaves no single tensor, or maps of different sizes.
    """
    if not shapes:
        raise ConfigError([(path, "the forward never calls this module")])
    if len(set(shapes)) > 1:
        raise ConfigError([(path, f"is called with {what} of different sizes: {join_words(map(str, dict.fromkeys(shapes)))}")])
    if shapes[0] is None:
        raise ConfigError([(path, f"{what} is no single tensor")])
    return shapes[0]


def example_of(model: nn.Module, input_size: Any, example: Tensor | None) -> Tensor:
    """The input of the tracing forward: as given, of the size given, or of the size that timm notes on a model."""
    if example is not None:
        return example
    size = input_size
    if size is None:
        noted = getattr(model, "pretrained_cfg", None) or getattr(model, "default_cfg", None) or {}
        size = noted.get("input_size")
    if size is None:
        raise ConfigError([("input_size", "is needed to read the widths off one forward: (channels, height, width)")])
    if not isinstance(size, Sequence) or not all(isinstance(n, int) and n > 0 for n in size) or not 2 <= len(size) <= 4:
        raise ConfigError([("input_size", f"{short_repr(size)}; it is (channels, height, width)")])
    parameter = next(model.parameters(), torch.empty(0))
    return torch.zeros((1, *size), dtype=parameter.dtype, device=parameter.device)
