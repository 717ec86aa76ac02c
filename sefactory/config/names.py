"""Which names may stand where in a config, and what was meant by one that may not."""

import re
from collections.abc import Container, Sequence
from keyword import iskeyword

from ..errors import closest_match, did_you_mean, join_words
from .expressions import FUNCTIONS
from .registry import HEADER_KEYS, RESERVED_NAMES, SLOTS, find_operator, is_module_attribute, operators

FORMS = {"unit": (*SLOTS, "apply"), "series": ("series",), "parallel": ("parallel", "shared", "own", "fuse")}
FORM_KEYS = [key for form in FORMS.values() for key in form]
FORM_OF = {key: form for form, keys in FORMS.items() for key in keys}


_POOL = "pool with by: {}"
_RESHAPE = "nothing: operators name their axes, and nothing is reshaped"
ELSEWHERE = {
    **{word: _POOL.format(word) for word in ("mean", "max", "min", "sum", "std", "var")},
    **dict.fromkeys(("avgpool", "adaptiveavgpool", "gap"), _POOL.format("mean")),
    **dict.fromkeys(("maxpool", "adaptivemaxpool", "gmp"), _POOL.format("max")),
    **dict.fromkeys(("flatten", "view", "reshape", "permute", "transpose", "unsqueeze", "rearrange"), _RESHAPE),
    **dict.fromkeys(("cat", "concat"), "parallel with fuse: concat"),
    **dict.fromkeys(("chunk", "split"), "slice, or stack for equal parts"),
    **dict.fromkeys(("add", "residual"), "a unit with apply: add"),
    **dict.fromkeys(("mul", "multiply"), "a unit, or parallel with fuse: product"),
    **dict.fromkeys(("upsample", "interpolate"), "resize"),
    **dict.fromkeys(("channelshuffle", "shuffle"), "stack with groups, then unstack"),
    **dict.fromkeys(("depthwise", "dwconv", "depthwiseconv"), "conv with each: C"),
    **dict.fromkeys(("leakyrelu", "prelu"), "parallel of identity and affine with fuse: max"),
    "matmul": "attention, or fuse: product with a pool by sum",
    "instancenorm": "standardize",
    "swish": "silu",
}
"""What a name of other libraries is called here."""


def plain(name: str) -> bool:
    """Letters, digits and _."""
    return re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is not None


def unfit(name: str) -> str:
    """Why a step or a branch cannot have this name; empty where it can."""
    if is_module_attribute(name):
        return "belongs to torch.nn.Module"
    return "" if plain(name) else "is not made of letters, digits and _"


def taken(name: str) -> str:
    """Why `let` cannot give this name; empty where it can."""
    if name in RESERVED_NAMES:
        return "is a size of the map"
    if find_operator(name):
        return "is an operator"
    if name in FUNCTIONS or iskeyword(name):
        return "is a word of expressions"
    return "" if plain(name) else "is not made of letters, digits and _"


def meant(key: str, let: Container[str], known: Sequence[str] = ()) -> str:
    """The nearest word, or where a name of the header or of `let` belongs."""
    if key in HEADER_KEYS:
        return f"; {key} belongs at the root of a file"
    if key in let:
        return f"; {key} is a name of let that holds no node"
    if found := ELSEWHERE.get(re.sub(r"_|[123]d$", "", key.lower())):
        return f"; here it is {found}"
    return did_you_mean(key, known or [*operators(), *FORM_KEYS])


def misplaced(key: str, form: str, keys: list[str]) -> str:
    """Why a key cannot stand in a mapping of this form."""
    here = next(other for other in keys if other in FORMS[form])
    if key in HEADER_KEYS:
        return f"{key!r} belongs at the root of a file"
    if key in SLOTS:
        return f"the slot {key!r} cannot stand beside {here!r}; say which step has it: {key}@{here}.NAME=..."
    meant = closest_match(key, [*FORMS[form], *HEADER_KEYS]) if find_operator(key) is None else None
    if meant in HEADER_KEYS:
        return f"no key {key!r}; at the root of a file there is {meant!r}"
    if meant:
        return f"no key {key!r}; did you mean {meant!r}?"
    allowed = [other for other in FORMS[form] if other not in keys]
    return (
        f"{key!r} cannot stand beside {here!r}; {f'allowed there: {join_words(allowed)}' if allowed else 'a node has one form'}"
    )
