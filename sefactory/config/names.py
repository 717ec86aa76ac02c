"""Which names and keys a config may use where, and what was probably meant by one that is not allowed."""

import re
from collections.abc import Collection, Container, Sequence
from keyword import iskeyword

from ..errors import closest_match, did_you_mean, join_words
from .expressions import FUNCTIONS
from .registry import HEADER_KEYS, RESERVED_NAMES, SLOTS, find_operator, is_module_attribute, operators

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
    return re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is not None


def step_name_fault(name: str) -> str:
    """Returns why a step or a branch cannot have this name, or an empty text."""
    if is_module_attribute(name):
        return "belongs to torch.nn.Module"
    return "" if is_identifier(name) else "is not made of letters, digits and _"


def let_name_fault(name: str) -> str:
    """Returns why `let` cannot define this name, or an empty text."""
    if name in RESERVED_NAMES:
        return "is a size of the input"
    if find_operator(name):
        return "is an operator"
    if name in FUNCTIONS or iskeyword(name):
        return "is reserved in expressions"
    return "" if is_identifier(name) else "is not made of letters, digits and _"


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
