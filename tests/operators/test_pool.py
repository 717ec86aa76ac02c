"""pool, window, cluster and attention against plain torch."""

import math
from itertools import combinations
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.operators.formulas import (
    C,
    H,
    S,
    W,
    assert_same,
    attended,
    check_declared_sizes,
    initial_operator,
    random_map,
    random_operator,
    resized,
)

AXES = ["".join(axes) for n in range(1, 5) for axes in combinations("SCHW", n)]
EPS = 1e-5


def dims(axes: str) -> tuple[int, ...]:
    return tuple("BSCHW".index(axis) for axis in axes)


def statistic(name: str, x: Tensor, over: tuple[int, ...]) -> Tensor:
    if name == "std":
        return (x.var(over, correction=1, keepdim=True) + EPS).sqrt()
    if name == "var":
        return x.var(over, correction=1, keepdim=True)
    if name in ("l1", "l2"):
        power = int(name[1])
        return x.abs().pow(power).sum(over, keepdim=True).pow(1 / power)
    if name == "logsumexp":
        return x.exp().sum(over, keepdim=True).log()
    return {"mean": x.mean, "max": x.amax, "min": x.amin, "sum": x.sum}[name](over, keepdim=True)


@pytest.mark.parametrize("by", ["mean", "max", "min", "sum", "std", "var", "l1", "l2", "logsumexp"])
@pytest.mark.parametrize("over", AXES)
def test_pool(over: str, by: str) -> None:
    x = random_map()
    module = random_operator("pool", x, over=over, by=by)
    y = module(x)
    assert_same(y, statistic(by, x, dims(over)))
    check_declared_sizes(module, x, y)


@pytest.mark.parametrize("over", ["HW", "C", "W", "S", "SC"])
@pytest.mark.parametrize("by", [["mean", "max"], ["max", "mean"], ["std", "min", "sum"], ["mean", "mean"], ["l2", "var"]])
def test_several_statistics_lie_on_s_each_over_all_maps_before_the_next(over: str, by: list[str]) -> None:
    x = random_map()
    module = random_operator("pool", x, over=over, by=by)
    y = module(x)
    each = 1 if "S" in over else S
    assert y.shape[1] == each * len(by)
    for i, name in enumerate(by):
        assert_same(y[:, i * each : (i + 1) * each], statistic(name, x, dims(over)))
    check_declared_sizes(module, x, y)


def test_the_std_of_one_value_is_the_root_of_eps() -> None:
    x = random_map(h=1, w=1)
    assert_same(random_operator("pool", x, by="std", eps=1e-4)(x), torch.full_like(x, 1e-2))


def test_the_var_of_one_value_is_0_and_the_gradient_of_l2_at_0_is_0() -> None:
    x = torch.zeros(1, 1, 2, 1, 1, dtype=torch.float64, requires_grad=True)
    assert not random_operator("pool", x, by="var")(x).any()
    random_operator("pool", x, by="l2")(x).sum().backward()
    assert x.grad is not None and not x.grad.any()


def test_logsumexp_does_not_overflow() -> None:
    x = torch.full((1, 1, 1, 2, 2), 1000.0)
    torch.testing.assert_close(
        random_operator("pool", x, by="logsumexp").float()(x), torch.full((1, 1, 1, 1, 1), 1000 + math.log(4))
    )


def test_ties_of_max_share_the_gradient() -> None:
    x = torch.ones(1, 1, 1, 2, 2, dtype=torch.float64, requires_grad=True)
    random_operator("pool", x, over="WH", by="max")(x).sum().backward()
    assert x.grad is not None
    assert_same(x.grad, torch.full_like(x, 0.25))


@pytest.mark.parametrize("by", ["mean", "max"])
@pytest.mark.parametrize(("extent", "kernel"), [(1, 1), (1, 5), (2, 2), (2, 3), (2, 7), (3, 3), (4, 4), (3, 5)])
@pytest.mark.parametrize("grid", [(4, 5), (9, 2), (1, 1), (7, 12)])
def test_windows_of_any_width(extent: int, kernel: int, by: str, grid: tuple[int, int]) -> None:
    x, border = random_map(h=grid[0], w=grid[1]), 0 if kernel == extent else kernel // 2
    rows, columns = ([slice(max(i - border, 0), i - border + kernel) for i in range(0, n, extent)] for n in grid)
    inside = [[x[..., row, column].flatten(3) for column in columns] for row in rows]
    for borders in (False, True):
        module = random_operator("window", x, extent=extent, kernel=kernel, by=by, borders=borders)

        def over(part: Tensor, counted: bool = borders and border > 0) -> Tensor:
            return part.amax(3) if by == "max" else part.sum(3) / (kernel**2 if counted else part.shape[3])

        y = module(x)
        assert_same(y, torch.stack([torch.stack([over(part) for part in line], -1) for line in inside], -2))
        check_declared_sizes(module, x, y)


@pytest.mark.parametrize("extent", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("grid", [(4, 5), (9, 2), (1, 1)])
def test_window(extent: int, grid: tuple[int, int]) -> None:
    x = random_map(h=grid[0], w=grid[1])
    module = random_operator("window", x, extent=extent)
    rows, columns = (range(0, n, extent) for n in grid)

    def around(i: int) -> slice:
        return slice(max(i - extent + 1, 0), i + extent)

    expected = [torch.stack([x[..., around(i), around(j)].mean((3, 4)) for j in columns], -1) for i in rows]
    y = module(x)
    assert_same(y, torch.stack(expected, -2))
    check_declared_sizes(module, x, y)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("bias", [False, True])
def test_cluster(count: int, bias: bool) -> None:
    x = random_map(s=1)
    module = random_operator("cluster", x, count=count, bias=bias)
    y = module(x)
    for k in range(count):
        logit = torch.einsum("bchw,c->bhw", x[:, 0], module.weight[k]) + (module.bias[k] if bias else 0)
        weight = logit.flatten(1).softmax(1).reshape(logit.shape)
        assert_same(y[:, k, :, 0, 0], torch.einsum("bhw,bchw->bc", weight, x[:, 0]))
    check_declared_sizes(module, x, y)


# Tokens; the energies, the weighted sum; how many letters the keys have.
ATTENTION = [
    ("HW", "bschw,bscxy->bshwxy", "bshwxy,bscxy->bschw", 2),
    ("WH", "bschw,bscxy->bshwxy", "bshwxy,bscxy->bschw", 2),
    ("H", "bschw,bscxw->bswhx", "bswhx,bscxw->bschw", 1),
    ("W", "bschw,bschx->bshwx", "bshwx,bschx->bschw", 1),
    ("S", "bschw,btchw->bhwst", "bhwst,btchw->bschw", 1),
    ("SW", "bschw,btchx->bhswtx", "bhswtx,btchx->bschw", 2),
    ("SHW", "bschw,btcxy->bshwtxy", "bshwtxy,btcxy->bschw", 3),
    ("C", "bschw,bsxhw->bscx", "bscx,bsxhw->bschw", 1),
    ("CH", "bschw,bsxyw->bschxy", "bschxy,bsxyw->bschw", 2),
    ("WC", "bschw,bsxhy->bscwxy", "bscwxy,bsxhy->bschw", 2),
    ("SC", "bschw,btxhw->bsctx", "bsctx,btxhw->bschw", 2),
]


@pytest.mark.parametrize(("tokens", "energies", "sums", "keys"), ATTENTION)
@pytest.mark.parametrize("scale", [None, -1.0, 0.3])
def test_attention_of_a_map_with_itself(tokens: str, energies: str, sums: str, keys: int, scale: float | None) -> None:
    x = random_map()
    module = random_operator("attention", x, tokens=tokens, scale=scale)
    y = module(x)
    assert_same(y, attended(energies, sums, keys, (x, x, x), 1.0 if scale is None else scale))
    check_declared_sizes(module, x, y)


@pytest.mark.parametrize(("tokens", "energies", "sums", "keys"), ATTENTION[:7])
@pytest.mark.parametrize(("key", "heads"), [(1, 1), (2, 2), (3, 2)])
@pytest.mark.parametrize("scale", [None, 1.0])
def test_attention_reads_q_k_v_cut_into_heads(
    tokens: str, energies: str, sums: str, keys: int, key: int, heads: int, scale: float | None
) -> None:
    width, rest = key * heads, 4
    x = random_map(c=2 * width + rest)
    module = random_operator("attention", x, tokens=tokens, key=key, heads=heads, scale=scale)
    q, k, v = x.split([width, width, rest], 2)
    parts = zip(q.chunk(heads, 2), k.chunk(heads, 2), v.chunk(heads, 2), strict=True)
    factor = key**-0.5 if scale is None else scale
    y = module(x)
    assert_same(y, torch.cat([attended(energies, sums, keys, qkv, factor) for qkv in parts], 2))
    check_declared_sizes(module, x, y)


@pytest.mark.parametrize(("tokens", "energies", "sums", "keys"), ATTENTION[:3])
def test_attention_without_a_key_has_heads_too(tokens: str, energies: str, sums: str, keys: int) -> None:
    x = random_map()
    parts = [attended(energies, sums, keys, (part, part, part), 1.0) for part in x.chunk(3, 2)]
    assert_same(random_operator("attention", x, tokens=tokens, heads=3)(x), torch.cat(parts, 2))


POSITIONS: list[tuple[str, str, str, tuple[int, ...], int]] = [
    ("H", *ATTENTION[2][1:3], (1, 1, -1, H, 1), H),
    ("W", *ATTENTION[3][1:3], (1, 1, -1, 1, W), W),
    ("S", *ATTENTION[4][1:3], (1, S, -1, 1, 1), S),
]


@pytest.mark.parametrize(("tokens", "energies", "sums", "shape", "length"), POSITIONS)
@pytest.mark.parametrize("given", [1, 3, 16])
def test_positions_are_added_to_q_and_k(
    tokens: str, energies: str, sums: str, shape: tuple[int, ...], length: int, given: int
) -> None:
    x = random_map(c=8)
    module = random_operator("attention", x, tokens=tokens, key=2, position=given)
    assert module.position.shape == (2, 2, given)
    placed = [resized(position, length) for position in module.position]
    if tokens == "S":
        placed = [position.T for position in placed]  # S comes before C
    q, k, v = x.split([2, 2, 4], 2)
    around = [2 if n == -1 else n for n in shape]
    q, k = (part + position.reshape(around) for part, position in zip((q, k), placed, strict=True))
    assert_same(module(x), attended(energies, sums, 1, (q, k, v), 2**-0.5))


def test_positions_begin_normal() -> None:
    torch.manual_seed(0)
    position = initial_operator("attention", random_map(c=100), tokens="H", key=20, position=50).position.detach()
    assert abs(float(position.mean())) < 0.1 and abs(float(position.std()) - 1) < 0.1


def test_half_precision_computes_the_energies_in_float32() -> None:
    x: Any = random_map(s=1, c=4, h=16, w=16).half() * 100  # the energies pass 65,504
    y = random_operator("attention", x, tokens="C").half()(x)
    expected = attended(ATTENTION[7][1], ATTENTION[7][2], 1, (x.double(),) * 3, 1.0)
    assert y.dtype == torch.float16 and bool(y.isfinite().all())
    assert_same(y.double(), expected, 1e-2 * float(expected.abs().max()))


def test_the_channels_of_the_statements_are_enough() -> None:
    assert C % 3 == 0 and C % 2 == 0


def test_a_biased_variance_divides_by_all_values() -> None:
    x = random_map()
    assert_same(random_operator("pool", x, by="var", unbiased=False)(x), x.var((3, 4), unbiased=False, keepdim=True))
    assert_same(
        random_operator("pool", x, by="std", eps=0.1, unbiased=False)(x),
        (x.var((3, 4), unbiased=False, keepdim=True) + 0.1).sqrt(),
    )
