"""Which modules of a network the patterns of `at` select."""

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from ..errors import ConfigError, did_you_mean, join_words
from .holder import named_places
from .tracing import CallRecord

CLASS_NAME = re.compile(r"[A-Z]\w*")
STAGE = re.compile(r"stage:(-?\d{1,9})")
SELECTOR = "a pattern of module paths, a class name, stage:N, or a list of them"
MAX_SUGGESTIONS = 3


def is_selector(at: Any) -> bool:
    """True for a pattern, or a list of at least one."""
    patterns = [at] if isinstance(at, str) else at
    return isinstance(patterns, list | tuple) and all(isinstance(item, str) and item for item in patterns) and bool(patterns)


def select(model: nn.Module, pattern: str, calls: Mapping[str, Sequence[CallRecord]]) -> list[str]:
    """The paths of the modules that a pattern selects, in the order of the network.

    A pattern is one of three: a path, in which `*` matches any part of a name and `**` any number of names
    (`layer*.*.bn3`); the name of a class (`SqueezeExcite`); the last module of a stage, counted from 1 or from the end
    (`stage:4`, `stage:-1`).
    Raises ConfigError with the nearest paths if nothing is selected, and for a module that has two paths.

    >>> net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.ReLU())
    >>> select(net, "BatchNorm2d", {}), select(net, "*", {})
    (['1'], ['0', '1', '2'])
    """
    modules = dict(named_places(model, remove_duplicate=False))
    modules.pop("")
    if stage := STAGE.fullmatch(pattern):
        paths = [_stage_end(model, int(stage.group(1)), calls, pattern)]
    elif CLASS_NAME.fullmatch(pattern) and pattern not in modules:
        paths = [path for path, module in modules.items() if type(module).__name__ == pattern]
    else:
        paths = [path for path in modules if matches(path.split("."), pattern.split("."))]
    if not paths:
        raise ConfigError([(f"at {pattern}", f"the network has no module of this {_suggestions(pattern, modules)}")])
    for path in paths:
        if len(aliases := [other for other, module in modules.items() if module is modules[path]]) > 1:
            message = f"{' and '.join(aliases)} are the same module; give each path a module of its own"
            raise ConfigError([(f"at {pattern}", message)])
    return paths


def matches(path: Sequence[str], pattern: Sequence[str]) -> bool:
    """True if the names of a path match those of a pattern; `**` matches any number of names.

    >>> matches(["layer1", "0", "bn3"], ["layer*", "*", "bn3"]), matches(["a", "b"], ["**", "b"]), matches(["a"], ["a", "*"])
    (True, True, False)
    """
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(matches(path[i:], pattern[1:]) for i in range(len(path) + 1))
    return bool(path) and fnmatchcase(path[0], pattern[0]) and matches(path[1:], pattern[1:])


def _suggestions(pattern: str, modules: Mapping[str, nn.Module]) -> str:
    """`path` or `class`, and the nearest ones that exist."""
    if CLASS_NAME.fullmatch(pattern):
        classes = sorted({type(module).__name__ for module in modules.values()})
        return f"class; there are {join_words(classes)}{did_you_mean(pattern, classes)}"
    paths = list(modules)
    if "*" in pattern:  # suggestions are patterns too: `layer1.*.bn2`
        paths = [".".join("*" if name.isdigit() else name for name in path.split(".")) for path in paths]
    if close := get_close_matches(pattern, sorted(set(paths)), n=MAX_SUGGESTIONS):
        return f"path; the nearest are {join_words(close)}"
    return f"path; its top-level modules are {join_words(path for path in modules if '.' not in path)}"


def _stage_end(model: nn.Module, number: int, calls: Mapping[str, Sequence[CallRecord]], pattern: str) -> str:
    """The last module of a stage, from timm's `feature_info`, or else from where the spatial size shrinks."""
    info = getattr(model, "feature_info", None)
    ends = [str(stage["module"]) for stage in info if stage.get("module")] if info else list(_traced_stage_ends(calls))
    if not 1 <= abs(number) <= len(ends):
        raise ConfigError([(f"at {pattern}", f"the network has {len(ends)} stages, which end at {join_words(ends)}")])
    return ends[number if number < 0 else number - 1]


def _traced_stage_ends(calls: Mapping[str, Sequence[CallRecord]]) -> Iterator[str]:
    """The last module of every spatial size, among the top-level modules and their children."""
    outputs = [(path, records[-1].output_shape) for path, records in calls.items() if path and path.count(".") <= 1]
    sizes = [(path, shape[2:]) for path, shape in outputs if shape and len(shape) == 4 and max(shape[2:]) > 1]
    top_level = [(path, size) for path, size in sizes if "." not in path]
    if len({size for _, size in top_level}) >= 3:  # else one top-level module holds the whole backbone
        sizes = top_level
    for i, (path, size) in enumerate(sizes):
        if i + 1 == len(sizes) or sizes[i + 1][1] != size:
            yield path
