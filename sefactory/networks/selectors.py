"""Which modules of a network the patterns of `at` select."""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from ..errors import ConfigError, did_you_mean, join_words
from .holder import named_places, unwrap
from .stages import stage_ends
from .tracing import CallRecords

CLASS_NAME = re.compile(r"_*[A-Z]\w*")
"""What a message takes for the name of a class."""
STAGE = re.compile(r"stage:(-?\d{1,9})")
SELECTOR = "a pattern of module paths, a class name, stage:N, or a list of them"
MAX_SUGGESTIONS = 3


def is_selector(at: Any) -> bool:
    """True for a pattern, or a list of at least one."""
    patterns = [at] if isinstance(at, str) else at
    return isinstance(patterns, list | tuple) and all(isinstance(item, str) and item for item in patterns) and bool(patterns)


def select(model: nn.Module, pattern: str, calls: CallRecords) -> list[str]:
    """The paths of the modules that a pattern selects, in the order of the network.

    A pattern is one of three: a path, in which `*` matches any part of a name and `**` any number of names
    (`layer*.*.bn3`); the name of a class (`SqueezeExcite`), if no path has it; the last module of a stage, counted from 1
    or from the end (`stage:4`, `stage:-1`).
    Raises ConfigError with the nearest paths if nothing is selected, and for a module that has two paths.

    >>> net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.ReLU())
    >>> select(net, "BatchNorm2d", {}), select(net, "*", {})
    (['1'], ['0', '1', '2'])
    """
    modules = dict(named_places(model, remove_duplicate=False))
    modules.pop("")
    if stage := STAGE.fullmatch(pattern):
        paths = [_stage_end(model, int(stage.group(1)), calls, pattern)]
    else:
        paths = [path for path in modules if matches(path.split("."), pattern.split("."))]
        paths = paths or [path for path, module in modules.items() if type(unwrap(module)).__name__ == pattern]
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
    classes = sorted({type(unwrap(module)).__name__ for module in modules.values()})
    if CLASS_NAME.fullmatch(pattern):
        return f"class; there are {join_words(classes)}{did_you_mean(pattern, classes)}"
    paths = list(modules)
    if hint := did_you_mean(pattern, classes) if pattern.isidentifier() and not get_close_matches(pattern, paths) else "":
        return f"path or class{hint}"
    return nearest_paths(pattern, paths)


def nearest_paths(pattern: str, paths: Sequence[str]) -> str:
    """`path`, and the nearest ones that exist."""
    if "*" in pattern:  # suggestions are patterns too: `layer1.*.bn2`
        paths = [".".join("*" if name.isdigit() else name for name in path.split(".")) for path in paths]
    if close := get_close_matches(pattern, sorted(set(paths)), n=MAX_SUGGESTIONS):
        return f"path; the nearest are {join_words(close)}"
    return f"path; its top-level modules are {join_words(path for path in paths if '.' not in path)}"


def _stage_end(model: nn.Module, number: int, calls: CallRecords, pattern: str) -> str:
    """The last module of a stage."""
    where = f"at {pattern}"
    ends = stage_ends(model, calls, where)
    if not ends:
        raise ConfigError(
            [(where, "the network has no stages: no module inside returns a feature map; give a path or a class")]
        )
    if not 1 <= abs(number) <= len(ends):
        raise ConfigError([(where, f"the network has {len(ends)} stages, which end at {join_words(ends)}")])
    return ends[number if number < 0 else number - 1]
