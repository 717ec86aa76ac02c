"""What a report says besides its numbers: machine, versions and options, and what each column means."""

from collections.abc import Sequence

from ..columns import filled_columns
from ..results import Environment, Row

MACHINE = ("cpu", "cores", "load", "allocator", "copy_GB_per_s", "cached_copy_GB_per_s", "matmul_GFLOP_per_s", "platform")
VERSIONS = ("sefactory", "torch", "python")
LABELS = {
    "load": "load at the start",
    "copy_GB_per_s": "copy bandwidth, GB/s",
    "cached_copy_GB_per_s": "bandwidth of small copies, GB/s",
    "matmul_GFLOP_per_s": "matrix multiply, GFLOP/s",
}
HEADER = ("command", "date")  # shown at the top of the page

BOUND = (
    "time / roofline bound. The roofline bound is the larger of memory traffic / bandwidth at this size and operations / "
    "matrix-multiply throughput. Both rates are measured on this machine. The bandwidth is that of copies with as many bytes: "
    "tensors that fit into a cache are faster than the memory. A ratio far below 1 cannot be right."
)
BASELINE = (
    "time / time of the baseline, which is another block timed in the same rounds: the median over the rounds. Below 1 is "
    "faster than the baseline."
)
COLUMNS = {
    "parameters": "number of trained values.",
    "macs": "multiply-adds of one forward in convolutions, linear layers and attention.",
    "elements": (
        "elementwise operations: values that pooling, norms, activations and gates read in one forward. "
        "They cost memory traffic more than arithmetic."
    ),
    "saved_bytes": "bytes that autograd keeps from the forward until the backward, the input included, parameters not.",
    "peak_bytes": (
        "the most memory that is allocated at one moment of a forward and backward: input, output, intermediate tensors and "
        "gradients, parameters not."
    ),
    "forward_s": "one forward in eval mode without gradients: the median over the rounds.",
    "forward_ratio": BASELINE,
    "forward_over_floor": BOUND,
    "train_s": "one forward and backward in train mode: the median over the rounds.",
    "train_ratio": BASELINE,
    "train_over_floor": BOUND,
}
INTERVAL = "half the width of the 99 % confidence interval of the median. Fewer than 8 rounds have none."
MARK = "the time cannot be trusted, for the reason that the line below the row gives."
SHARES = (
    "the time of each node of the config as a share of the forward time, without torch.compile. Where the compiler merges "
    "nodes, the step belongs to the convolution, linear layer or attention among them, else to the last node. Where several "
    "nodes pool one feature map in one step, the time of the step is divided equally among them. Outside the nodes are checks "
    "of the input, guards and calls. The shares of a block add up to 100 %."
)


def environment_groups(environment: Environment) -> dict[str, list[tuple[str, str]]]:
    """Labels and values of the environment, under "Machine", "Versions" and "Options"; empty groups are left out."""
    known = (*HEADER, *MACHINE, *VERSIONS)
    keys = {"Machine": MACHINE, "Versions": VERSIONS, "Options": [key for key in environment if key not in known]}
    groups = {
        title: [(LABELS.get(key, key), str(environment[key])) for key in names if key in environment]
        for title, names in keys.items()
    }
    return {title: facts for title, facts in groups.items() if facts}


def explanations(rows: Sequence[Row]) -> dict[str, str]:
    """The meaning of each heading and sign in a report of these rows."""
    texts = {column.title: COLUMNS[column.key] for column in filled_columns(rows) if column.key in COLUMNS}
    if any(row.forward_interval_s is not None for row in rows):
        texts["±"] = INTERVAL
    if any(row.marks for row in rows):
        texts["!"] = MARK
    if any(row.split for row in rows):
        texts["forward time by node"] = SHARES
    return texts
