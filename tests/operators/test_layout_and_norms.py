"""stack, unstack, slice, softmax, norms, gain, affine and the activations against plain torch."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.operators.formulas import C, S, assert_same, check_declared_sizes, initial_operator, random_map, random_operator


@pytest.mark.parametrize(("parts", "groups"), [(1, 1), (2, 1), (3, 1), (6, 1), (2, 3), (3, 2), (1, 6)])
def test_stack_and_its_inverse(parts: int, groups: int) -> None:
    x = random_map(s=1)
    module = random_operator("stack", x, parts=parts, groups=groups)
    y = module(x)
    width = C // (parts * groups)
    for p in range(parts):
        for g in range(groups):
            first = (g * parts + p) * width
            assert_same(y[:, p, g * width : (g + 1) * width], x[:, 0, first : first + width])
    check_declared_sizes(module, x, y)
    back = random_operator("unstack", y, groups=groups)
    assert_same(back(y), x)
    check_declared_sizes(back, y, x)


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_unstack_and_its_inverse(groups: int) -> None:
    x = random_map()
    y = random_operator("unstack", x, groups=groups)(x)
    assert y.shape[1:3] == (1, S * C)
    assert_same(random_operator("stack", y, parts=S, groups=groups)(y), x)


def test_unstack_concatenates_maps_in_order() -> None:
    x = random_map()
    assert_same(random_operator("unstack", x)(x), torch.cat([x[:, :1], x[:, 1:]], 2))


@pytest.mark.parametrize("axis", "SCHW")
@pytest.mark.parametrize(("start", "stop"), [(0, None), (1, None), (0, 1), (1, 2)])
def test_slice(axis: str, start: int, stop: int | None) -> None:
    x = random_map()
    module = random_operator("slice", x, over=axis, start=start, stop=stop)
    dim = "BSCHW".index(axis)
    y = module(x)
    assert_same(y, x[(slice(None),) * dim + (slice(start, stop),)])
    check_declared_sizes(module, x, y)


@pytest.mark.parametrize("over", ["S", "C", "H", "W", "HW", "SC", "CHW", "WS", "SCHW"])
def test_softmax(over: str) -> None:
    x = random_map() * 50  # exp of the logits alone would overflow in float32
    dims = tuple("BSCHW".index(axis) for axis in over)
    rest = [d for d in range(5) if d not in dims]
    flat = x.permute(*rest, *dims).flatten(len(rest)).softmax(-1).reshape([x.shape[d] for d in (*rest, *dims)])
    order = (*rest, *dims)
    module = random_operator("softmax", x, over=over)
    assert_same(module(x), flat.permute([order.index(d) for d in range(5)]))
    single = random_operator("softmax", x, over=over).float()(x.float())
    assert single.isfinite().all()
    assert_same(single.sum(dims), torch.ones_like(single.sum(dims)), 1e-4)


def weights(t: Tensor, axes: str, x: Tensor) -> Tensor:
    """A value for each index of the axes, in the order written, against x_BSCHW."""
    return torch.einsum(f"bschw,{axes.lower()}->bschw", torch.ones_like(x), t)


EACH = ["C", "S", "H", "CS", "SC", "HC", "WHC", "SCHW"]


@pytest.mark.parametrize("each", EACH)
@pytest.mark.parametrize("momentum", [0.1, 0.01])
def test_batch_norm(each: str, momentum: float) -> None:
    x = random_map()
    module = random_operator("batch_norm", x, each=each, momentum=momentum, eps=1e-3)
    over = tuple(d for d, axis in enumerate("BSCHW") if axis not in each)
    mean, var = x.mean(over, keepdim=True), x.var(over, correction=0, keepdim=True)
    w, b = (weights(p, each, x) for p in (module.weight, module.bias))
    assert_same(module(x), x / math.sqrt(1 + 1e-3) * w + b)  # running statistics begin at 0 and 1
    assert_same(module.train()(x), (x - mean) / (var + 1e-3).sqrt() * w + b)
    order = [axis for axis in "SCHW" if axis in each]
    unbiased = x.var(over, correction=1).permute([order.index(axis) for axis in each])
    assert_same(module.running_mean, momentum * x.mean(over).permute([order.index(axis) for axis in each]))
    assert_same(module.running_var, 1 - momentum + momentum * unbiased)
    assert module.num_batches_tracked == 1
    moved = module.eval()(x)
    centre, spread = (weights(t, each, x) for t in (module.running_mean, module.running_var))
    assert_same(moved, (x - centre) / (spread + 1e-3).sqrt() * w + b)
    assert module.num_batches_tracked == 1


def test_batch_norm_is_the_one_of_torch() -> None:
    x = random_map(s=1)
    module, theirs = random_operator("batch_norm", x), torch.nn.BatchNorm2d(C).double()
    theirs.load_state_dict(module.state_dict())
    assert_same(module.train()(x)[:, 0], theirs(x[:, 0]))
    assert all(torch.equal(t, theirs.state_dict()[key]) for key, t in module.state_dict().items())


def test_batch_norm_needs_more_than_one_value_in_training() -> None:
    x = random_map(s=1, h=1, w=1, batch=1)
    module = random_operator("batch_norm", x)
    module(x)
    with pytest.raises(ValueError, match="more than 1 value"):
        module.train()(x)


def test_layer_norm() -> None:
    x = random_map()
    module = random_operator("layer_norm", x, eps=1e-3)
    centred = (x - x.mean(2, keepdim=True)) / (x.var(2, correction=0, keepdim=True) + 1e-3).sqrt()
    assert_same(module(x), centred * weights(module.weight, "C", x) + weights(module.bias, "C", x))


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_group_norm(groups: int) -> None:
    x = random_map()
    module = random_operator("group_norm", x, groups=groups, eps=1e-3)
    parts = x.unflatten(2, (groups, -1))
    over = (3, 4, 5)
    centred = (parts - parts.mean(over, keepdim=True)) / (parts.var(over, correction=0, keepdim=True) + 1e-3).sqrt()
    assert_same(module(x), centred.flatten(2, 3) * weights(module.weight, "C", x) + weights(module.bias, "C", x))


@pytest.mark.parametrize("each", ["", *EACH])
@pytest.mark.parametrize("bias", [False, True])
def test_gain(each: str, bias: bool) -> None:
    x = random_map()
    module = random_operator("gain", x, each=each, bias=bias)
    expected = x * weights(module.weight, each, x) + (weights(module.bias, each, x) if bias else 0)
    assert_same(module(x), expected)


@pytest.mark.parametrize("start", [0, 0.5])
def test_a_gain_begins_at_its_start_without_a_term(start: float) -> None:
    x = random_map()
    assert_same(initial_operator("gain", x, each="C", bias=True, start=start)(x), x * start)


def test_affine() -> None:
    x = random_map()
    assert_same(random_operator("affine", x, scale=-2.0, shift=0.5)(x), 0.5 - 2 * x)
    assert_same(random_operator("affine", x)(x), x)


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
    x = random_map() * 4
    assert (x > 6).any() and (x < -3).any()
    assert_same(random_operator(name, x)(x), ACTIVATIONS[name](x), 2e-6 if name.startswith("hard") else 1e-12)


def test_sqrt_and_log_are_those_of_torch() -> None:
    x = random_map().abs() + 0.1
    assert_same(random_operator("sqrt", x)(x), x**0.5)
    assert_same(random_operator("log", x)(x).exp(), x)
    assert random_operator("sqrt", x)(-x).isnan().all() and random_operator("log", x)(-x).isnan().all()
