"""Which names and keys a config may use where, and what was probably meant by one that is not allowed."""

import re
from collections.abc import Collection, Container, Sequence
from keyword import iskeyword

from ..errors import closest_match, did_you_mean, join_words
from .expressions import FUNCTIONS
from .registry import HEADER_KEYS, MODULE_ATTRIBUTES, RESERVED_NAMES, SLOTS, find_operator, operators

FORMS = {"unit": (*SLOTS, "apply"), "series": ("series",), "parallel": ("parallel", "shared", "own", "fuse")}
"""The three forms of a mapping, and their keys."""
FORM_KEYS = [key for keys in FORMS.values() for key in keys]

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
