"""stack, unstack, slice, softmax, norms, gain, affine and the activations against plain torch."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.operators.formulas import C, S, declared, fresh, made, map_of, same


@pytest.mark.parametrize(("parts", "groups"), [(1, 1), (2, 1), (3, 1), (6, 1), (2, 3), (3, 2), (1, 6)])
def test_stack_and_its_inverse(parts: int, groups: int) -> None:
    x = map_of(s=1)
    module = made("stack", x, parts=parts, groups=groups)
    y = module(x)
    width = C // (parts * groups)
    for p in range(parts):
        for g in range(groups):
            first = (g * parts + p) * width
            same(y[:, p, g * width : (g + 1) * width], x[:, 0, first : first + width])
    declared(module, x, y)
    back = made("unstack", y, groups=groups)
    same(back(y), x)
    declared(back, y, x)


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_unstack_and_its_inverse(groups: int) -> None:
    x = map_of()
    y = made("unstack", x, groups=groups)(x)
    assert y.shape[1:3] == (1, S * C)
    same(made("stack", y, parts=S, groups=groups)(y), x)


def test_unstack_concatenates_maps_in_order() -> None:
    x = map_of()
    same(made("unstack", x)(x), torch.cat([x[:, :1], x[:, 1:]], 2))


@pytest.mark.parametrize("axis", "SCHW")
@pytest.mark.parametrize(("start", "stop"), [(0, None), (1, None), (0, 1), (1, 2)])
def test_slice(axis: str, start: int, stop: int | None) -> None:
    x = map_of()
    module = made("slice", x, over=axis, start=start, stop=stop)
    dim = "BSCHW".index(axis)
    y = module(x)
    same(y, x[(slice(None),) * dim + (slice(start, stop),)])
    declared(module, x, y)


@pytest.mark.parametrize("over", ["S", "C", "H", "W", "HW", "SC", "CHW", "WS", "SCHW"])
def test_softmax(over: str) -> None:
    x = map_of() * 50  # exp of the logits alone would overflow in float32
    dims = tuple("BSCHW".index(axis) for axis in over)
    rest = [d for d in range(5) if d not in dims]
    flat = x.permute(*rest, *dims).flatten(len(rest)).softmax(-1).reshape([x.shape[d] for d in (*rest, *dims)])
    order = (*rest, *dims)
    module = made("softmax", x, over=over)
    same(module(x), flat.permute([order.index(d) for d in range(5)]))
    single = made("softmax", x, over=over).float()(x.float())
    assert single.isfinite().all()
    same(single.sum(dims), torch.ones_like(single.sum(dims)), 1e-4)


def weights(t: Tensor, axes: str, x: Tensor) -> Tensor:
    """A value for each index of the axes, in the order written, against x_BSCHW."""
    return torch.einsum(f"bschw,{axes.lower()}->bschw", torch.ones_like(x), t)


EACH = ["C", "S", "H", "CS", "SC", "HC", "WHC", "SCHW"]


@pytest.mark.parametrize("each", EACH)
@pytest.mark.parametrize("momentum", [0.1, 0.01])
def test_batch_norm(each: str, momentum: float) -> None:
    x = map_of()
    module = made("batch_norm", x, each=each, momentum=momentum, eps=1e-3)
    over = tuple(d for d, axis in enumerate("BSCHW") if axis not in each)
    mean, var = x.mean(over, keepdim=True), x.var(over, correction=0, keepdim=True)
    w, b = (weights(p, each, x) for p in (module.weight, module.bias))
    same(module(x), x / math.sqrt(1 + 1e-3) * w + b)  # running statistics begin at 0 and 1
    same(module.train()(x), (x - mean) / (var + 1e-3).sqrt() * w + b)
    order = [axis for axis in "SCHW" if axis in each]
    unbiased = x.var(over, correction=1).permute([order.index(axis) for axis in each])
    same(module.running_mean, momentum * x.mean(over).permute([order.index(axis) for axis in each]))
    same(module.running_var, 1 - momentum + momentum * unbiased)
    assert module.num_batches_tracked == 1
    moved = module.eval()(x)
    centre, spread = (weights(t, each, x) for t in (module.running_mean, module.running_var))
    same(moved, (x - centre) / (spread + 1e-3).sqrt() * w + b)
    assert module.num_batches_tracked == 1


def test_batch_norm_is_the_one_of_torch() -> None:
    x = map_of(s=1)
    module, theirs = made("batch_norm", x), torch.nn.BatchNorm2d(C).double()
    theirs.load_state_dict(module.state_dict())
    same(module.train()(x)[:, 0], theirs(x[:, 0]))
    assert all(torch.equal(t, theirs.state_dict()[key]) for key, t in module.state_dict().items())


def test_batch_norm_needs_more_than_one_value_in_training() -> None:
    x = map_of(s=1, h=1, w=1, batch=1)
    module = made("batch_norm", x)
    module(x)
    with pytest.raises(ValueError, match="more than 1 value"):
        module.train()(x)


def test_layer_norm() -> None:
    x = map_of()
    module = made("layer_norm", x, eps=1e-3)
    centred = (x - x.mean(2, keepdim=True)) / (x.var(2, correction=0, keepdim=True) + 1e-3).sqrt()
    same(module(x), centred * weights(module.weight, "C", x) + weights(module.bias, "C", x))


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_group_norm(groups: int) -> None:
    x = map_of()
    module = made("group_norm", x, groups=groups, eps=1e-3)
    parts = x.unflatten(2, (groups, -1))
    over = (3, 4, 5)
    centred = (parts - parts.mean(over, keepdim=True)) / (parts.var(over, correction=0, keepdim=True) + 1e-3).sqrt()
    same(module(x), centred.flatten(2, 3) * weights(module.weight, "C", x) + weights(module.bias, "C", x))


@pytest.mark.parametrize("each", ["", *EACH])
@pytest.mark.parametrize("bias", [False, True])
def test_gain(each: str, bias: bool) -> None:
    x = map_of()
    module = made("gain", x, each=each, bias=bias)
    expected = x * weights(module.weight, each, x) + (weights(module.bias, each, x) if bias else 0)
    same(module(x), expected)


@pytest.mark.parametrize("start", [0, 0.5])
def test_a_gain_begins_at_its_start_without_a_term(start: float) -> None:
    x = map_of()
    same(fresh("gain", x, each="C", bias=True, start=start)(x), x * start)


def test_affine() -> None:
    x = map_of()
    same(made("affine", x, scale=-2.0, shift=0.5)(x), 0.5 - 2 * x)
    same(made("affine", x)(x), x)


ACTIVATIONS: dict[str, Any] = {
    "sigmoid": lambda x: 1 / (1 + (-x).exp()),
    "hard_sigmoid": lambda x: (x + 3).clamp(0, 6) / 6,
    "tanh": lambda x: (x.exp() - (-x).exp()) / (x.exp() + (-x).exp()),
    "relu": lambda x: x.clamp(min=0),
    "relu6": lambda x: x.clamp(0, 6),
    "silu": lambda x: x / (1 + (-x).exp()),
    "gelu": lambda x: x * (1 + torch.erf(x / math.sqrt(2))) / 2,
    "hard_swish": lambda x: x * (x + 3).clamp(0, 6) / 6,
    "softplus": lambda x: (1 + x.exp()).log(),
    "abs": lambda x: torch.where(x < 0, -x, x),
    "square": lambda x: x * x,
    "exp": lambda x: math.e**x,
    "identity": lambda x: x,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str) -> None:
    x = map_of() * 4
    assert (x > 6).any() and (x < -3).any()
    same(made(name, x)(x), ACTIVATIONS[name](x), 2e-6 if name.startswith("hard") else 1e-12)


def test_sqrt_and_log_are_those_of_torch() -> None:
    x = map_of().abs() + 0.1
    same(made("sqrt", x)(x), x**0.5)
    same(made("log", x)(x).exp(), x)
    assert made("sqrt", x)(-x).isnan().all() and made("log", x)(-x).isnan().all()
