"""Invariants outside of eager mode: torch.export, torch.compile, torch.jit.trace, onnxruntime."""

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import onnx
import onnxruntime
import torch
from torch import Tensor
from torch.export import Dim, export

from sefactory.shapes import Sizes, SymbolicDim
from tests.invariants.cases import GRID, Case
from tests.invariants.checks import CaseFactory, gradients

SEEN = (12, 10)  # the grid of the example that is traced, at a batch of 3
UNSEEN = [(2, (9, 15)), (1, (16, 16)), (4, (8, 21))]  # and the smallest that it declares


THIRD_PARTY = (
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
    r"`torch\.jit\.(script_method|trace|trace_method)` is deprecated",
    r"You are using the legacy TorchScript-based ONNX export",
    r"The feature will be removed",
    r"Constant folding - Only steps=1 can be constant folded",
)


@contextmanager
def third_party_warnings() -> Iterator[None]:
    """torch and onnxscript call what they deprecate themselves; nothing of ours is silenced."""
    with warnings.catch_warnings():
        for message in THIRD_PARTY:
            warnings.filterwarnings("ignore", message=message)
        yield


def least_grid(case: Case) -> int:
    """The smallest H and W that are exported: 1, or where a map inside is coarser than x by e, 2 e.

    To tell its memory format, torch.export takes such a map to have more than one position, and guards that.
    """
    sizes = [case.sizes] if case.has_stack_axis else [part.sizes for part in case.module.parts]
    step = max(_divisor(side) for pair in sizes for side in pair)
    return 2 * step if step > 1 else 1


def _divisor(sizes: Sizes) -> int:
    return max((extent.divisor for extent in (sizes["H"], sizes["W"]) if isinstance(extent, SymbolicDim)), default=1)


def _prepared(make: CaseFactory) -> tuple[Case, Tensor, Any, list[Tensor]]:
    """A float32 case in eval mode, the example to trace, what is dynamic in it, and the inputs to run."""
    case = make()
    case.module.float().eval()
    fixed, least = len(case.grids) == 1, least_grid(case)
    unseen = [(batch, GRID) for batch in (2, 1, 4)] if fixed else [*UNSEEN, (1, (least, least))]
    x = case.input(3, GRID if fixed else SEEN, torch.float32)
    dims = {0: Dim("B")}
    if not fixed:
        dims |= {x.dim() - 2: Dim("H", min=least), x.dim() - 1: Dim("W", min=least)}
    return case, x, (dims,), [case.input(*shape, torch.float32) for shape in unseen]


def exported(make: CaseFactory) -> None:
    """torch.export with dynamic batch, H and W, at sizes that it did not see, the smallest among them."""
    case, example, dynamic, inputs = _prepared(make)
    module = export(case.module, (example,), dynamic_shapes=dynamic).module()
    with torch.no_grad():
        for x in inputs:
            torch.testing.assert_close(module(x), case.module(x), rtol=1e-5, atol=1e-5)


def jit_traced(make: CaseFactory) -> None:
    """torch.jit.trace with its own check, run at the same sizes within 1e-4. Nothing in the block causes a warning."""
    case, example, _, inputs = _prepared(make)
    with third_party_warnings():
        module = torch.jit.trace(case.module, example)
    with torch.no_grad():
        for x in inputs:
            torch.testing.assert_close(module(x), case.module(x), rtol=1e-4, atol=1e-4)


def in_onnxruntime(make: CaseFactory) -> None:
    """The same sizes in onnxruntime, from torch.onnx.export(dynamo=True), within 1e-4."""
    case, example, dynamic, inputs = _prepared(make)
    with third_party_warnings():
        program = torch.onnx.export(case.module, (example,), dynamo=True, verbose=False, dynamic_shapes=dynamic)
    assert program is not None
    _compare_in_onnxruntime(case, program.model_proto.SerializeToString(), inputs)


def traced_in_onnxruntime(make: CaseFactory) -> None:
    """The same from torch.onnx.export(dynamo=False), checked by onnx."""
    case, example, (dims,), inputs = _prepared(make)
    file, axes = io.BytesIO(), {"x": {axis: f"axis{axis}" for axis in dims}}
    with third_party_warnings():
        torch.onnx.export(case.module, (example,), file, dynamo=False, input_names=["x"], dynamic_axes=axes)
    onnx.checker.check_model(onnx.load_from_string(file.getvalue()), full_check=True)
    _compare_in_onnxruntime(case, file.getvalue(), inputs)


def _compare_in_onnxruntime(case: Case, model: bytes, inputs: list[Tensor]) -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    (name,) = (given.name for given in session.get_inputs())
    for x in inputs:
        (y,) = session.run(None, {name: x.numpy()})
        with torch.no_grad():
            torch.testing.assert_close(torch.from_numpy(y), case.module(x), rtol=1e-4, atol=1e-4)


def _values(make: CaseFactory, dtype: torch.dtype, train: bool, backend: str = "") -> list[Tensor]:
    """Output, gradients and statistics of one step, compiled where there is a backend."""
    case = make()
    module = case.module.to(dtype).train(train)
    called = torch.compile(module, fullgraph=True, backend=backend) if backend else None
    return [*gradients(case, case.input(3, GRID, dtype), called), *module.buffers()]


def compiled(make: CaseFactory, backend: str, modes: tuple[bool, ...] = (False, True)) -> None:
    """Within 1e-4 of float64, plus ten times what eager mode itself is off: a gradient may be 0 but for rounding."""
    for train in modes:
        torch._dynamo.reset()
        exact, eager = _values(make, torch.float64, train), _values(make, torch.float32, train)
        with third_party_warnings():
            found = _values(make, torch.float32, train, backend)
        for true, near, value in zip(exact, eager, found, strict=True):
            rounding = float((near - true).abs().max())
            torch.testing.assert_close(value.to(true.dtype), true, rtol=1e-4, atol=1e-4 + 10 * rounding)


def aot_eager(make: CaseFactory) -> None:
    """torch.compile(fullgraph=True, backend="aot_eager"): output, gradients, statistics as in eager mode, eval and training."""
    compiled(make, "aot_eager")


def inductor(make: CaseFactory) -> None:
    """The same with the code that torch.compile generates."""
    compiled(make, "inductor")


CHECKS: dict[str, Callable[[CaseFactory], None]] = {
    "export": exported,
    "compile aot_eager": aot_eager,
    "compile inductor": inductor,
    "jit.trace": jit_traced,
    "onnxruntime": in_onnxruntime,
    "dynamo=False": traced_in_onnxruntime,
}
