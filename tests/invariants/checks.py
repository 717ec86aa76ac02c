"""Invariants of every operator and every shipped config in eager mode: one function each, which raises where it fails.

export_checks.py holds those of export, torch.compile and ONNX. The tests run them at few channels; scripts/deployment.py runs
them for the configs as shipped.
"""

import copy
import pickle
import re
from collections.abc import Callable
from dataclasses import replace

import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.func import functional_call

from tests.invariants.cases import GRID, Case

CaseFactory = Callable[[], Case]
STATISTICS = re.compile(r"(^|\.)(running_mean|running_var|num_batches_tracked)$")


def run(case: Case, batch: int = 2, grid: tuple[int, int] = GRID) -> Tensor:
    with torch.no_grad():
        y: Tensor = case.module(case.input(batch, grid))
    return y


def declared_sizes(make: CaseFactory) -> None:
    """At several grids the output has the declared sizes."""
    case = make()
    for grid in case.grids:
        for batch in (1, 3):
            y = run(case, batch, grid)
            assert tuple(y.shape) == case.output_shape(batch, grid) and y.isfinite().all()


def batch_independence(make: CaseFactory) -> None:
    """In eval mode the output of a sample does not depend on the other samples."""
    case = make()
    x = case.input(3, GRID)
    with torch.no_grad():
        torch.testing.assert_close(case.module(x[1:2]), case.module(x)[1:2], rtol=1e-10, atol=1e-10)


def gradcheck(make: CaseFactory) -> None:
    """Gradients of the input and of every parameter are those of finite differences, in float64."""
    case = make()
    names = [key for key, _ in case.module.named_parameters()]
    weights = [parameter.detach().clone().requires_grad_() for parameter in case.module.parameters()]

    def function(x: Tensor, *values: Tensor) -> Tensor:
        y: Tensor = functional_call(case.module, dict(zip(names, values, strict=True)), (x,))
        return y

    x = case.input(2, GRID).requires_grad_()
    # tight, since the fast mode multiplies atol by hundreds; ATen takes the 1/6 of hardsigmoid and hardswish in float32
    assert torch.autograd.gradcheck(function, (x, *weights), fast_mode=True, atol=1e-7, rtol=1e-5)


def train_and_eval(make: CaseFactory) -> None:
    """Training moves the statistics of norms alone and reaches every parameter; eval moves nothing."""
    case = make()
    before = {key: tensor.clone() for key, tensor in case.module.state_dict().items()}
    run(case)
    assert all(torch.equal(tensor, before[key]) for key, tensor in case.module.state_dict().items())
    y = case.module.train()(case.input(3, GRID).requires_grad_())
    moved = {key for key, tensor in case.module.state_dict().items() if not torch.equal(tensor, before[key])}
    assert moved == {key for key in before if STATISTICS.search(key)}
    y.backward(torch.randn(y.shape, generator=torch.Generator().manual_seed(0), dtype=y.dtype))
    assert all(parameter.grad is not None for parameter in case.module.parameters())


def safetensors(make: CaseFactory) -> None:
    """The state dict goes through safetensors."""
    case, other = make(), make()
    for parameter in other.module.parameters():
        nn.init.zeros_(parameter)
    other.module.load_state_dict(load(save(case.module.state_dict())))
    assert torch.equal(run(case), run(other))


def _copied(make: CaseFactory, how: Callable[[nn.Module], nn.Module]) -> None:
    """A copy computes the same, and changes of it do not reach the original."""
    case = make()
    before, copied = run(case), how(case.module)
    assert torch.equal(run(replace(case, module=copied.eval())), before)  # with gradients the order of summation may differ
    for tensor in (*copied.parameters(), *copied.buffers()):
        tensor.data.zero_()
    copied.train()(case.input(2, GRID))
    assert torch.equal(run(case), before)


def pickled(make: CaseFactory) -> None:
    """A pickled copy computes the same and is independent."""
    _copied(make, lambda module: pickle.loads(pickle.dumps(module)))


def deepcopied(make: CaseFactory) -> None:
    """A deep copy computes the same and is independent."""
    _copied(make, copy.deepcopy)


def _is_close(y: Tensor, exact: Tensor) -> None:
    assert y.shape == exact.shape and y.isfinite().all()
    assert float((y.float() - exact).abs().mean()) <= 0.05 * float(exact.abs().mean())


def _under_autocast(make: CaseFactory, dtype: torch.dtype) -> None:
    case = make()
    module, x = case.module.float(), case.input(2, GRID, torch.float32)
    with torch.no_grad():
        exact = module(x)
        with torch.autocast("cpu", dtype=dtype):
            _is_close(module(x), exact)


def _all_in(make: CaseFactory, dtype: torch.dtype) -> None:
    """Weights and input in a half type, as `model.half()` does it."""
    case = make()
    x = case.input(2, GRID, torch.float32)
    with torch.no_grad():
        exact, y = case.module.float()(x), case.module.to(dtype)(x.to(dtype))
    assert y.dtype == dtype
    _is_close(y, exact)


def bfloat16(make: CaseFactory) -> None:
    """Under autocast, and with weights and input in bfloat16, it is finite and close to float32."""
    _under_autocast(make, torch.bfloat16)
    _all_in(make, torch.bfloat16)


def float16(make: CaseFactory) -> None:
    """Under autocast, and with weights and input in float16, it is finite and close to float32."""
    _under_autocast(make, torch.float16)
    _all_in(make, torch.float16)


def channels_last(make: CaseFactory) -> None:
    """A channels_last map makes a channels_last map, of the same values, in eval and in training."""
    case = make()
    for train in (False, True):
        case.module.train(train)
        x = case.input(2, GRID)
        given = x.movedim(-3, -1).contiguous().movedim(-1, -3)
        with torch.no_grad():
            torch.manual_seed(0)
            y = case.module(given)
            torch.manual_seed(0)
            torch.testing.assert_close(y, case.module(x), rtol=1e-10, atol=1e-10)
        assert case.has_stack_axis or y.is_contiguous(memory_format=torch.channels_last)


def gradients(case: Case, x: Tensor, module: nn.Module | None = None) -> list[Tensor]:
    """The output, and a gradient for the input and for every parameter."""
    torch.manual_seed(0)  # of dropout
    x = x.clone().requires_grad_()
    y = (case.module if module is None else module)(x)
    generator = torch.Generator().manual_seed(1)
    cotangent = torch.randn(y.shape, generator=generator, dtype=torch.float64).to(y.dtype)
    return [y.detach(), *torch.autograd.grad((y * cotangent).sum(), [x, *case.module.parameters()])]


def deterministic(make: CaseFactory) -> None:
    """Nothing refuses deterministic algorithms, and two runs, gradients included, are equal to the last bit."""
    torch.use_deterministic_algorithms(True)
    try:
        runs = []
        for _ in range(2):
            case = make()
            case.module.float().train()
            runs.append(gradients(case, case.input(3, GRID, torch.float32)))
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(first, second) for first, second in zip(*runs, strict=True))


def _finite_at(make: CaseFactory, batch: int, grid: tuple[int, int]) -> None:
    """Output and gradients are finite in eval and in training, unless one value is all that a statistic would have."""
    for train in (False, True):
        case = make()
        case.module.train(train)
        try:
            found = gradients(case, case.input(batch, grid))
        except ValueError as error:
            assert train and any(map(STATISTICS.search, case.module.state_dict()))
            assert "batch_norm needs more than 1 value for each of its statistics in training" in str(error), error
        else:
            assert tuple(found[0].shape) == case.output_shape(batch, grid)
            assert all(tensor.isfinite().all() for tensor in found)


def one_position(make: CaseFactory) -> None:
    """At H = W = 1 output and gradients are finite; training refuses one value for a batch statistic in a clear line."""
    if len(make().grids) == 1:  # built for one grid
        return
    for batch in (1, 2):
        _finite_at(make, batch, (1, 1))


def batch_of_one(make: CaseFactory) -> None:
    """The same for a batch of one map."""
    _finite_at(make, 1, GRID)


def batch_of_none(make: CaseFactory) -> None:
    """An empty batch has an empty output, and leaves the statistics finite."""
    for train in (False, True):
        case = make()
        case.module.train(train)
        found = gradients(case, case.input(0, GRID))
        assert tuple(found[0].shape) == case.output_shape(0, GRID)
        assert all(tensor.isfinite().all() for tensor in (*found, *case.module.buffers()))


CHECKS: dict[str, Callable[[CaseFactory], None]] = {
    "sizes": declared_sizes,
    "batch independence": batch_independence,
    "gradcheck": gradcheck,
    "train / eval": train_and_eval,
    "safetensors": safetensors,
    "pickle": pickled,
    "deepcopy": deepcopied,
    "bfloat16": bfloat16,
    "float16": float16,
    "channels_last": channels_last,
    "deterministic": deterministic,
    "H = W = 1": one_position,
    "batch 1": batch_of_one,
    "batch 0": batch_of_none,
}
