"""cluster: rounds of expectation maximisation, hard assignments with the gradient of the soft ones."""

import pytest
import torch
from torch import Tensor, nn

import sefactory as sf
from sefactory.bench.summary import summarize
from tests.operators.formulas import assert_same, check_declared_sizes, random_map, random_operator


def one_hot(t: Tensor, dim: int) -> Tensor:
    return nn.functional.one_hot(t.argmax(dim), t.shape[dim]).to(t.dtype).movedim(-1, dim)


def logits(module: nn.Module, x: Tensor) -> Tensor:
    """(B, K, N)."""
    return torch.einsum("kc,bcn->bkn", module.weight, x) + module.bias[:, None]


@pytest.mark.parametrize("rounds", [0, 1, 3])
@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("count", [1, 4])
def test_rounds_are_those_of_a_loop(rounds: int, hard: bool, count: int) -> None:
    x = random_map(s=1)
    module = random_operator("cluster", x, count=count, rounds=rounds, hard=hard)
    y = module(x)
    check_declared_sizes(module, x, y)
    for b, points in enumerate(x[:, 0].flatten(2)):
        first = logits(module, points[None])[0]
        centres = (one_hot(first, 1) if hard else first.softmax(1)) @ points.T
        for _ in range(rounds):
            energy = centres @ points
            weights = one_hot(energy, 0) if hard else energy.softmax(0)
            moved = [
                (w[:, None] * points.T).sum(0) / w.sum() if w.sum() > 0 else c for w, c in zip(weights, centres, strict=True)
            ]
            centres = torch.stack(moved)
        assert_same(y[b, :, :, 0, 0], centres)


def test_a_hard_assignment_takes_one_position_exactly() -> None:
    x = random_map(s=1)
    module = random_operator("cluster", x, count=3, hard=True)
    points = x[:, 0].flatten(2)
    chosen = logits(module, points).argmax(-1)
    for b, k in ((0, 0), (1, 2), (2, 1)):
        assert torch.equal(module(x)[b, k, :, 0, 0], points[b, :, chosen[b, k]])


def test_a_hard_assignment_has_the_gradient_of_the_soft_one() -> None:
    x = random_map(s=1)
    module = random_operator("cluster", x, count=3, hard=True)
    cotangent = torch.randn(3, 3, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    module(x)[..., 0, 0].mul(cotangent).sum().backward()
    points = x[:, 0].flatten(2)
    soft = logits(module, points).softmax(-1)
    along = torch.einsum("bkc,bcn->bkn", cotangent, points)  # the gradient at the assignment, whatever it is
    energy = soft * (along - (soft * along).sum(-1, keepdim=True))
    assert_same(module.weight.grad, torch.einsum("bkn,bcn->kc", energy, points))
    assert_same(module.bias.grad, energy.sum((0, 2)))


@pytest.mark.parametrize("rounds", [1, 3])
def test_a_hard_assignment_has_the_soft_gradient_in_every_round(rounds: int) -> None:
    x, cotangent = random_map(s=1), torch.randn(3, 3, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    module = random_operator("cluster", x, count=3, rounds=rounds, hard=True)
    x = x.requires_grad_()
    inputs = [x, module.weight, module.bias]
    found = torch.autograd.grad((module(x)[..., 0, 0] * cotangent).sum(), inputs)
    points = x[:, 0].flatten(2)

    def through(t: Tensor, dim: int) -> Tensor:
        """One-hot forward, the soft assignment backward."""
        soft = t.softmax(dim)
        return soft + (one_hot(t, dim) - soft).detach()

    centres = through(logits(module, points), -1) @ points.mT
    for _ in range(rounds):
        weights = through(centres @ points, 1)
        total = weights.sum(-1, keepdim=True)
        moved = weights @ points.mT / torch.where(total > 0, total, 1)
        centres = torch.where(total > 0, moved, centres)
    for one, other in zip(found, torch.autograd.grad((centres * cotangent).sum(), inputs), strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("hard", [False, True])
def test_a_centre_without_positions_stays_where_it_is(hard: bool) -> None:
    x = torch.zeros(1, 1, 2, 1, 4, dtype=torch.float64)
    x[0, 0, 0] = torch.tensor([3.0, 3.0, 40.0, 40.0])
    x.requires_grad_()
    module = random_operator("cluster", x, count=2, rounds=2, hard=hard)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[-50.0, 0.0], [50.0, 0.0]]))
        module.bias.zero_()
    y = module(x)  # the centre at 40 is nearer to every position in the sense of y . x
    y.sum().backward()
    assert_same(y[0, :, 0, 0, 0], torch.tensor([3.0, 21.5], dtype=torch.float64))
    assert x.grad is not None and bool(x.grad.isfinite().all())


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_are_finite_where_the_energies_overflow(dtype: torch.dtype, hard: bool) -> None:
    x = 500 * random_map(s=1).to(dtype)
    module = random_operator("cluster", x, count=3, rounds=2, hard=hard).to(dtype)
    y = module(x)
    assert y.dtype == dtype and bool(y.isfinite().all())
    assert_same(y.double(), module.double()(x.double()), 1e-2 * float(y.detach().abs().max()))


@pytest.mark.parametrize("rounds", [0, 3])
def test_macs(rounds: int) -> None:
    block = sf.build([{"cluster": {"count": 3, "rounds": rounds}}, {"pool": "S"}], 8)
    assert summarize(block, 6, 5).macs == 2 * (1 + rounds) * 3 * 8 * 30
