"""The values that keys of the command line accept, known without torch."""

from ..bench.text_tables import FORMATS as TABLE_FORMATS
from .primary_config import COMMANDS, Key

BOOLEANS = ("true", "false")
DTYPES = ("float32", "float64", "bfloat16", "float16")
FORMATS = dict.fromkeys(COMMANDS, TABLE_FORMATS) | {"show": (*TABLE_FORMATS, "rewrites")}
"""`format=` of each command."""
OBJECTIVES = ("forward_s", "train_s", "parameters", "macs")
"""`objective=`: the figures that a job can return to a sweeper."""
RUNNERS = ("local", "ray")
"""`runner=` of study."""
DEVICES = ("cpu", "cuda", "mps")
"""Devices that completion offers; others can be given."""
GROUP_OF_LIST = {"blocks": "block", "hosts": "host"}
"""The keys that hold a list of configs, and the group of their names."""
OPERATORS = tuple(
    "abs affine attention batch_norm clamp cluster conv dropout exp gain gelu group_norm hard_sigmoid hard_swish "
    "identity layer_norm linear log mlp multiscale pool relu relu6 resize sigmoid silu slice softmax softplus "
    "spectrum sqrt square stack standardize tanh unfold unstack window".split()
)
"""The names of the operators, which are blocks as well."""


def allowed_choices(command: str, key: Key) -> tuple[str, ...]:
    """The words that a key accepts; empty if it accepts other values."""
    words = {"format": FORMATS[command], "dtype": DTYPES, "objective": OBJECTIVES, "runner": RUNNERS}
    return words.get(key.name, BOOLEANS if key.is_boolean else ())
