"""Checks the names, keys and header of a config, and suggests what to write instead of an unknown name."""

import re
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from keyword import iskeyword
from typing import Any

from ..errors import closest_match, did_you_mean, join_words, short_repr
from .expressions import FUNCTIONS
from .registry import FORM_KEYS, FORMS, HEADER_KEYS, MODULE_ATTRIBUTES, RESERVED_NAMES, SLOTS, find_operator, operators

UNUSED = "unused"
"""The key of `official` that lists the official keys without a counterpart in the block."""

_POOL = "write pool with by: {}"
_RESHAPE = "leave it out: operators name their axes, so nothing is reshaped"
FOREIGN_NAMES = {
    **{word: _POOL.format(word) for word in ("mean", "max", "min", "sum", "std", "var")},
    **dict.fromkeys(("avgpool", "adaptiveavgpool", "gap"), _POOL.format("mean")),
    **dict.fromkeys(("maxpool", "adaptivemaxpool", "gmp"), _POOL.format("max")),
    **dict.fromkeys(("flatten", "view", "reshape", "permute", "transpose", "unsqueeze", "rearrange"), _RESHAPE),
    **dict.fromkeys(("cat", "concat"), "write parallel with fuse: concat"),
    **dict.fromkeys(("chunk", "split"), "write slice, or stack for equal parts"),
    **dict.fromkeys(("add", "residual"), "write a unit with apply: add"),
    **dict.fromkeys(("mul", "multiply"), "write a unit, or parallel with fuse: product"),
    **dict.fromkeys(("upsample", "interpolate"), "write resize"),
    **dict.fromkeys(("channelshuffle", "shuffle"), "write stack with groups, then unstack"),
    **dict.fromkeys(("depthwise", "dwconv", "depthwiseconv"), "write conv with each: C"),
    **dict.fromkeys(("leakyrelu", "prelu"), "write parallel of identity and affine with fuse: max"),
    "matmul": "write attention, or fuse: product with a pool by sum",
    "instancenorm": "write standardize",
    "swish": "write silu",
}
"""What to write instead of a name of another library; without underscores and the suffix 1d, 2d or 3d."""


def form_of(keys: Collection[str]) -> str | None:
    """Returns the form of a mapping with these keys, or None if no key belongs to a form."""
    for form in ("series", "parallel"):
        if form in keys:
            return form
    return next((form for form, form_keys in FORMS.items() if any(key in form_keys for key in keys)), None)


def is_identifier(name: str) -> bool:
    """True for a name of letters, digits and _ that does not start with a digit."""
    return name.isascii() and name.isidentifier()


def step_name_fault(name: str) -> str:
    """Returns why a step or a branch cannot have this name, or an empty text."""
    if name in MODULE_ATTRIBUTES:
        return "belongs to torch.nn.Module"
    return "" if is_identifier(name) else "is not made of letters, digits and _"


def let_fault(name: str, value: object) -> str:
    """Returns why `let` cannot give this value to this name, or an empty text."""
    if name in RESERVED_NAMES:
        fault = "is a size of the input"
    elif find_operator(name):
        fault = "is an operator"
    elif name in FUNCTIONS or iskeyword(name):
        fault = "is reserved in expressions"
    elif not is_identifier(name):
        fault = "is not made of letters, digits and _"
    else:
        return "null; let holds numbers, true or false, expressions, and nodes" if value is None else ""
    return f"the name {name!r} {fault}; choose another"


def describe_let(let: Collection[str]) -> str:
    """Returns the names that a config takes as parameters, for a message."""
    return f"its let has {join_words(let)}" if let else "it has no let"


def suggest(key: str, let: Container[str], known: Sequence[str] = ()) -> str:
    """Returns a hint for a name that is not known: where it belongs, its name here, or the nearest known name."""
    if key in HEADER_KEYS:
        return f"; {key} belongs at the root of a file"
    if key in let:
        return f"; {key} is a name of let that holds no node"
    if instead := FOREIGN_NAMES.get(re.sub(r"_|[123]d$", "", key.lower())):
        return f"; {instead}"
    return did_you_mean(key, known or [*operators(), *FORM_KEYS])


def key_fault(key: str, form: str, keys: list[str]) -> str:
    """Returns why a key cannot be in a mapping of this form, whose keys are `keys`."""
    other = next(key for key in keys if key in FORMS[form])
    if key in HEADER_KEYS:
        return f"{key!r} belongs at the root of a file"
    if key in SLOTS:
        return f"the slot {key!r} cannot be combined with {other!r}; say which step has it: {key}@{other}.NAME=..."
    match = closest_match(key, [*FORMS[form], *HEADER_KEYS]) if find_operator(key) is None else None
    if match in HEADER_KEYS:
        return f"no key {key!r}; at the root of a file there is {match!r}"
    if match:
        return f"no key {key!r}; did you mean {match!r}?"
    allowed = [name for name in FORMS[form] if name not in keys]
    reason = f"allowed here: {join_words(allowed)}" if allowed else "a node has one form"
    return f"{key!r} cannot be combined with {other!r}; {reason}"


def header_faults(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields (path, message) for each fault in the header of a config.

    >>> list(header_faults({"paper": 3}))
    [('paper', '3; allowed: text')]
    """
    if not isinstance(data.get("paper", ""), str):
        yield "paper", f"{short_repr(data['paper'])}; allowed: text"
    if "defaults" in data:
        yield "defaults", "an override cannot set defaults; write them in the file"
    official = data.get("official", {})
    if not isinstance(official, dict):
        yield "official", f"{short_repr(official)}; allowed: a mapping from sources to key maps"
        return
    for source, key_map in official.items():
        for key, text in key_map_faults(key_map):
            yield f"official.{source}{key and '.'}{key}", text


def key_map_faults(key_map: Any) -> Iterator[tuple[str, str]]:
    """Yields (key, message) for each fault in a map from keys of the block to keys of an official state dict.

    A null removes the map or an entry.

    >>> list(key_map_faults({"excite.0": 3}))
    [('excite.0', '3; allowed: an official key, or a list of them')]
    """
    if not isinstance(key_map, Mapping | None):
        yield "", f"{short_repr(key_map)}; allowed: a mapping from keys of the block to official keys"
        return
    for ours, theirs in (key_map or {}).items():
        is_list = isinstance(theirs, list | tuple) and all(isinstance(key, str) for key in theirs)
        if not (is_list or theirs is None or (isinstance(theirs, str) and ours != UNUSED)):
            allowed = "a list of official keys" if ours == UNUSED else "an official key, or a list of them"
            yield str(ours), f"{short_repr(theirs)}; allowed: {allowed}"
