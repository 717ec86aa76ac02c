"""One module to measure, and a lower bound of its time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from .machine import MachineRates


@dataclass(frozen=True)
class Case:
    """One module to measure, and what is known without running it.

    `macs` and `elementwise_ops` are the multiply-adds and the elementwise operations of one forward at the measured
    shape. `operators` maps the path of each node within the module ("" is the module) to the name of its operator. `tree` is
    what the module is built from as plain data, which tells equal modules from others, and `config` its YAML for a reader.
    """

    name: str
    module: nn.Module
    parameters: int
    macs: int
    elementwise_ops: int
    operators: Mapping[str, str]
    tree: Any = None
    config: str = ""


def roofline_bound(case: Case, x: Tensor, y: Tensor, rates: MachineRates, training: bool) -> float:
    """A lower bound in seconds for x -> y: max(memory traffic / bandwidth, operations / matrix-multiply throughput).

    A forward reads x and the parameters, writes y, and takes 2 operations for each multiply-add. Training has 2.5 times
    the traffic (it also reads the gradient and x, and writes the gradient) and 3 times the operations. The bandwidth is that
    of copies with as many bytes: tensors that fit into a cache are faster than the memory.
    """
    tensors_bytes = x.nbytes + y.nbytes + case.parameters * x.element_size()
    traffic = (2.5 if training else 1) * tensors_bytes
    operations = (3 if training else 1) * 2 * case.macs
    bandwidth = rates.bandwidth((2 if training else 1) * tensors_bytes)
    return max(traffic / bandwidth, operations / rates.flops_per_second)
