"""A squeezed and gated map: what plain torch says, forward, backward and backward of that, in float64."""

import gc
import threading
import warnings
import weakref
from collections.abc import Callable, Sequence
from functools import partial, reduce
from itertools import product

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from sefactory.bench.memory import saved_for_backward_bytes
from sefactory.kernels import map_gradient as gradient
from sefactory.kernels.dispatch import LARGE, cpu_fast_path
from sefactory.kernels.gated_reduction import Combine, apply_gates, reduce_map, select
from sefactory.kernels.reduction import Request
from tests.sampling import sampled

PLAIN: dict[str, Callable[..., Tensor]] = {
    "mean": torch.mean,
    "sum": torch.sum,
    "max": torch.amax,
    "min": torch.amin,
    "var": partial(torch.var, correction=0),
}
REQUESTS: dict[str, list[Request]] = {
    "none": [],
    "mean HW": [("mean", (2, 3))],
    "mean and max HW": [("mean", (2, 3)), ("max", (2, 3))],
    "max HW": [("max", (2, 3))],
    "max and mean C": [("max", (1,)), ("mean", (1,))],
    "mean W, mean H": [("mean", (3,)), ("mean", (2,))],
    "max and mean of each": [(name, (dim,)) for dim in (1, 2, 3) for name in ("max", "mean")],
    "min HW, sum CH": [("min", (2, 3)), ("sum", (1, 2))],
    "max CHW": [("max", (1, 2, 3))],
    "var HW": [("var", (2, 3))],
    "var C, max HW, var W": [("var", (1,)), ("max", (2, 3)), ("var", (3,))],
}
GATES = {
    "C": ["BC11"],
    "HW": ["B1HW"],
    "CH, CW": ["BCH1", "BC1W"],
    "HW, CW, CH": ["B1HW", "BC1W", "BCH1"],
    "C, HW": ["BC11", "B1HW"],
    "one for all samples, full": ["1C11", "BCHW"],
    "sample, one": ["B111", "1111"],
}
SHAPES = [(3, 4, 16, 20), (2, 5, 7, 9), (1, 1, 1, 1)]


def sized(axes: str, shape: Sequence[int]) -> list[int]:
    return [1 if axis == "1" else shape["BCHW".index(axis)] for axis in axes]


def values(shape: Sequence[int], ties: bool = False) -> Tensor:
    x = torch.randn(*shape, dtype=torch.float64)
    return (2 * x).round() if ties else x


def plain_statistics(x: Tensor, requests: Sequence[Request]) -> list[Tensor]:
    return [PLAIN[name](x, dims, keepdim=True) for name, dims in requests]


def plain_applied(x: Tensor, gates: Sequence[Tensor], combine: Combine) -> Tensor:
    return x * reduce(torch.mul if combine == "product" else torch.add, gates)


def unit(x: Tensor, learned: Sequence[Tensor], requests: Sequence[Request], combine: Combine, plain: bool) -> list[Tensor]:
    """y and the statistics; every gate depends on a learned tensor and on the statistics."""
    context, found = (None, plain_statistics(x, requests)) if plain else reduce_map(x, requests, len(learned), combine)
    known: Tensor | float = sum((y.tanh().mean() for y in found), torch.zeros((), dtype=x.dtype))
    gates = [gate + known for gate in learned]
    y = plain_applied(x, gates, combine) if context is None else apply_gates(context, gates, combine)
    return [y, *found]


def agree(found: Sequence[Tensor | None], wanted: Sequence[Tensor | None]) -> None:
    for a, b in zip(found, wanted, strict=True):
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12 * (1 + b.abs().max().item() if b.numel() else 1))


def gradients(
    x: Tensor, learned: Sequence[Tensor], requests: Sequence[Request], combine: Combine, plain: bool
) -> list[Tensor | None]:
    """y, the statistics and all gradients of a sum of functions of each."""
    leaves = [t.clone().requires_grad_() for t in (x, *learned)]
    made = unit(leaves[0], leaves[1:], requests, combine, plain)
    weights = torch.linspace(-1, 2, made[0].numel(), dtype=x.dtype).view(made[0].shape)
    ((made[0] * weights).sum() + sum(y.square().sum() for y in made[1:])).backward()
    return [*(y.detach() for y in made), *(leaf.grad for leaf in leaves)]


@pytest.mark.parametrize("gates", GATES)
@pytest.mark.parametrize("requests", REQUESTS)
def test_values_and_gradients_equal_plain_autograd(requests: str, gates: str) -> None:
    for shape, combine, ties in product(SHAPES, ("product", "sum"), (False, True)):
        x = values(shape, ties)
        learned = [values(sized(axes, shape)) for axes in GATES[gates]]
        agree(*(gradients(x, learned, REQUESTS[requests], combine, plain) for plain in (False, True)))


def test_many_channels_over_many_positions() -> None:
    x, learned = values((1, 64, 16, 33)), [values((1, 64, 16, 1)), values((1, 1, 16, 33))]
    agree(*(gradients(x, learned, REQUESTS["max and mean of each"], "product", plain) for plain in (False, True)))


@pytest.mark.parametrize("shape", [(3, 6), (2, 40, 31), (2, 3, 4, 5, 6), (0, 3, 4, 5), (2, 1, 5, 1)])
def test_any_rank_and_an_empty_batch(shape: tuple[int, ...]) -> None:
    requests: list[Request] = [("mean", (1,)), ("max", tuple(range(1, len(shape))))]
    learned = [values([*shape[:2], *[1] * (len(shape) - 2)]), values([1, *shape[1:]])]
    agree(*(gradients(values(shape).fill_(1.5), learned, requests, "product", plain) for plain in (False, True)))


def test_blocks_of_one_and_of_many_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    x, learned = values((5, 4, 6, 7)), [values((5, 4, 6, 1)), values((1, 4, 1, 7))]
    wanted = gradients(x, learned, REQUESTS["max and mean of each"], "product", True)
    for block in (1, 2 * 4 * 6 * 7, 10**6):
        monkeypatch.setattr(gradient, "CHUNK", block)
        agree(gradients(x, learned, REQUESTS["max and mean of each"], "product", False), wanted)


@pytest.mark.parametrize("layout", ["permuted", "channels last"])
def test_a_map_that_is_not_contiguous(layout: str) -> None:
    x = values((4, 30, 20, 3)).permute(0, 3, 1, 2) if layout == "permuted" else values((4, 8, 20, 20))
    x = x if layout == "permuted" else x.to(memory_format=torch.channels_last)
    learned = [values((*x.shape[:2], 1, 1))]
    agree(*(gradients(x, learned, REQUESTS["mean and max HW"], "product", plain) for plain in (False, True)))


def leaves_of(shape: tuple[int, ...], *axes: str) -> list[Tensor]:
    return [values(shape).requires_grad_(), *(values(sized(each, shape)).requires_grad_() for each in axes)]


@pytest.mark.parametrize("combine", ["product", "sum"])
@pytest.mark.parametrize("requests", sampled(["mean and max HW", "none", "max and mean of each", "min HW, sum CH"], 3))
@pytest.mark.parametrize("gates", ["C", "CH, CW", "HW, CW, CH"])
def test_gradients_and_their_gradients(requests: str, gates: str, combine: Combine) -> None:
    def f(x: Tensor, *learned: Tensor) -> tuple[Tensor, ...]:
        return tuple(unit(x, learned, REQUESTS[requests], combine, False))

    leaves = leaves_of((2, 2, 3, 2), *GATES[gates])
    assert gradcheck(f, leaves)
    assert gradgradcheck(f, leaves)


def test_gradients_of_gradients_through_places() -> None:
    def f(x: Tensor, gate: Tensor) -> tuple[Tensor, ...]:
        return tuple(unit(x, [gate], REQUESTS["max HW"], "product", False))

    leaves = leaves_of((1, 2, 16, 16), "BC11")
    assert gradcheck(f, leaves, fast_mode=True)
    assert gradgradcheck(f, leaves, fast_mode=True)


def test_a_gradient_of_a_gradient_together_with_the_map() -> None:
    """The second backward meets the first one's gradients at the map, ordinary and of second order."""
    found = []
    for plain in (False, True):
        torch.manual_seed(5)
        leaves = leaves_of((2, 3, 4, 5), "BCH1", "BC1W")
        y, *_ = unit(leaves[0], leaves[1:], REQUESTS["max and mean of each"], "product", plain)
        (d_x,) = torch.autograd.grad(y.square().sum(), leaves[0], create_graph=True)
        (y.sum() + d_x.square().sum()).backward()
        found.append([leaf.grad for leaf in leaves])
    agree(*found)


def test_backward_twice() -> None:
    leaves = leaves_of((2, 3, 20, 20), "BC11")
    y, mean, largest = unit(leaves[0], leaves[1:], REQUESTS["mean and max HW"], "product", False)
    loss = y.square().sum() + mean.sum() + largest.sum()
    first = torch.autograd.grad(loss, leaves, retain_graph=True)
    agree(torch.autograd.grad(loss, leaves, retain_graph=True), first)
    of_gate = torch.autograd.grad(y.sum(), leaves[1:], retain_graph=True)
    assert of_gate[0] is not None
    agree(torch.autograd.grad(loss, leaves), first)


@pytest.mark.parametrize("part", ["y", "statistics", "one statistic"])
@pytest.mark.parametrize("requests", ["mean and max HW", "max HW", "max and mean C"])
def test_outputs_that_nothing_depends_on(part: str, requests: str) -> None:
    found = []
    for plain in (False, True):
        torch.manual_seed(3)
        leaves = leaves_of((2, 3, 18, 20), "BC11")
        x, gate = leaves
        context, stats = (None, plain_statistics(x, REQUESTS[requests])) if plain else reduce_map(x, REQUESTS[requests], 1)
        y = plain_applied(x, [gate], "product") if context is None else apply_gates(context, [gate], "product")
        parts = {"y": [y], "statistics": stats, "one statistic": stats[-1:]}[part]
        loss = sum((t.square().sum() for t in parts), torch.zeros((), dtype=x.dtype))
        found.append(list(torch.autograd.grad(loss, leaves, allow_unused=True)))
    agree(*found)


@pytest.mark.parametrize("x_learned, gate_learned", [(True, False), (False, True), (False, False)])
def test_only_what_requires_a_gradient_gets_one(x_learned: bool, gate_learned: bool) -> None:
    found = []
    for plain in (False, True):
        torch.manual_seed(1)
        x, gate = values((2, 3, 4, 5)).requires_grad_(x_learned), values((2, 3, 1, 1)).requires_grad_(gate_learned)
        stats = plain_statistics(x, REQUESTS["max and mean C"]) if plain else None
        context, seen = (None, stats) if stats is not None else reduce_map(x, REQUESTS["max and mean C"], 2, "sum")
        assert seen is not None
        gates = [gate, seen[0].detach()]
        y = plain_applied(x, gates, "sum") if context is None else apply_gates(context, gates, "sum")
        assert y.requires_grad == (x_learned or gate_learned)
        if y.requires_grad:
            y.square().sum().backward()
        found.append([y.detach(), x.grad, gate.grad])
    agree(*found)


def test_a_map_that_is_used_elsewhere_and_squeezed_without_gradients() -> None:
    found = []
    for plain in (False, True):
        torch.manual_seed(1)
        x = values((2, 3, 4, 5)).requires_grad_()
        inner = x.sin()
        with torch.no_grad():
            context, (mean,) = reduce_map(inner, REQUESTS["mean HW"], 1)
        y = inner * mean if plain else apply_gates(context, [mean], "product")
        (y.square().sum() + inner.cos().sum()).backward()
        found.append([y.detach(), x.grad])
    agree(*found)


def test_a_context_may_be_used_twice() -> None:
    found = []
    for plain in (False, True):
        torch.manual_seed(1)
        x, a, b = leaves_of((2, 3, 4, 5), "BC11", "B1HW")
        context, (mean,) = reduce_map(x, REQUESTS["mean HW"], 1)
        ys = [x * (a + mean), x * b] if plain else [apply_gates(context, [a + mean]), apply_gates(context, [b])]
        (ys[0].square().sum() + ys[1].cos().sum()).backward()
        found.append([x.grad, a.grad, b.grad])
    agree(*found)


def test_the_gradient_that_comes_in_is_left_alone() -> None:
    x, a, b = leaves_of((2, 3, 4, 5), "BCH1", "BC1W")
    context, stats = reduce_map(x, REQUESTS["max and mean of each"], 2)
    y = apply_gates(context, [a + stats[4].mean(), b + stats[2].mean()])
    g = torch.randn_like(y)
    before = g.clone()
    y.backward(g)
    assert torch.equal(g, before)


def test_without_gradients_nothing_is_recorded() -> None:
    x, learned = values((2, 3, 4, 5)).requires_grad_(), [values((2, 3, 1, 1)).requires_grad_(), values((2, 1, 4, 5))]
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            found = unit(x, learned, REQUESTS["mean and max HW"], "sum", False)
            agree(found, unit(x, learned, REQUESTS["mean and max HW"], "sum", True))
        assert not any(y.requires_grad for y in found)


def saved(requests: str, axes: Sequence[str], shape: tuple[int, ...], x_learned: bool = True) -> int:
    x = torch.randn(shape, requires_grad=x_learned)
    learned = [torch.randn(sized(each, shape), requires_grad=True) for each in axes]

    def forward() -> Tensor:
        context, _ = reduce_map(x, REQUESTS[requests], len(learned))
        return apply_gates(context, learned, "product")

    return saved_for_backward_bytes(forward, learned) - x.nbytes


def test_the_map_is_saved_once_and_nothing_of_its_size() -> None:
    shape = (2, 8, 32, 32)
    assert saved("mean HW", GATES["C"], shape) == 0
    assert saved("mean W, mean H", GATES["CH, CW"], shape) == 0
    assert saved("mean and max HW", GATES["C"], shape) == 2 * 8 * 8  # a place is an int64
    assert saved("max and mean C", GATES["HW"], shape) == 2 * 32 * 32 * 4
    x = torch.randn(shape, requires_grad=True)
    assert (
        saved_for_backward_bytes(lambda: apply_gates(reduce_map(x, REQUESTS["mean HW"], 1)[0], [torch.ones(1, 1, 1, 1)]), [])
        == 4
    )


def test_a_graph_is_freed() -> None:
    """No cycle between the two functions: without the collector a step leaves nothing behind."""
    gc.disable()
    try:
        x, gate = leaves_of((2, 3, 4, 5), "BC11")
        y, mean = unit(x, [gate], REQUESTS["mean HW"], "product", False)
        y.sum().backward()
        left = [weakref.ref(x), weakref.ref(gate)]  # both are saved
        del x, gate, y, mean
        assert [ref() for ref in left] == [None, None]
    finally:
        gc.enable()


def test_threads_may_share_a_graph() -> None:
    leaves = leaves_of((2, 3, 16, 20), "BCH1", "BC1W")
    y, *_ = unit(leaves[0], leaves[1:], REQUESTS["max and mean of each"], "product", False)
    wanted = torch.autograd.grad(y.square().sum(), leaves, retain_graph=True)
    found: dict[int, Sequence[Tensor]] = {}

    def work(i: int) -> None:
        for _ in range(5):
            found[i] = torch.autograd.grad((y * y * i).sum(), leaves, retain_graph=True)

    workers = [threading.Thread(target=work, args=(i,)) for i in (1, 2, 3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for i, grads in found.items():
        agree(grads, [i * g for g in wanted])
    assert len(found) == 3


def test_deterministic_and_anomaly_mode() -> None:
    x, learned = values((2, 3, 20, 20), ties=True), [values((2, 3, 1, 1))]
    wanted = gradients(x, learned, REQUESTS["mean and max HW"], "product", False)
    torch.use_deterministic_algorithms(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns that it is slow
            with torch.autograd.detect_anomaly():
                again = gradients(x, learned, REQUESTS["mean and max HW"], "product", False)
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(a is not None and b is not None and torch.equal(a, b) for a, b in zip(again, wanted, strict=True))


@pytest.mark.parametrize(("expected", "combine"), [(0, "product"), (1, "product"), (2, "sum"), (3, "product")])
def test_other_gates_than_expected_do_not_share_the_backward(expected: int, combine: Combine) -> None:
    found = []
    for plain in (False, True):
        torch.manual_seed(1)
        x, a, b = leaves_of((2, 3, 4, 5), "BC11", "B1HW")
        context, (mean,) = reduce_map(x, REQUESTS["mean HW"], expected, combine)
        y = x * (a + mean) * b if plain else apply_gates(context, [a + mean, b])
        y.square().sum().backward()
        found.append([x.grad, a.grad, b.grad])
    agree(*found)


def test_edges_take_no_memory() -> None:
    x = values((2, 3, 4, 5)).requires_grad_()
    edges = reduce_map(x, REQUESTS["mean HW"], 2)[0].take_edges(2, "product")
    assert [edge.shape for edge in edges] == 3 * [x.shape]
    assert all(edge.untyped_storage().nbytes() == x.element_size() for edge in edges)


def test_gates_of_another_type_are_promoted() -> None:
    x = torch.randn(2, 3, 4, 5, requires_grad=True)
    gates = [torch.randn(2, 3, 1, 1, dtype=torch.float64), torch.randn(2, 1, 4, 5, dtype=torch.float64)]
    y = apply_gates(reduce_map(x, REQUESTS["mean HW"], 2, "sum")[0], gates, "sum")
    agree([y.detach()], [(x * (gates[0] + gates[1])).detach()])
    y.sum().backward()
    assert x.grad is not None and x.grad.dtype == torch.float32


@pytest.mark.parametrize("axes", ["BC11", "B1HW", "BCHW", "1C11"])
@pytest.mark.parametrize("learned", [(True, True, True), (True, False, True), (False, False, True), (True, True, False)])
def test_one_of_two_maps_is_selected(axes: str, learned: tuple[bool, bool, bool]) -> None:
    found = []
    for plain in (False, True):
        torch.manual_seed(2)
        shape = (3, 4, 8, 9)
        a, b, own = (
            t.detach().requires_grad_(on)
            for t, on in zip((values(shape), values(shape), values(sized(axes, shape))), learned, strict=True)
        )
        (ta, (ma,)), (tb, (mb,)) = reduce_map(a, REQUESTS["mean HW"], 1), reduce_map(b, REQUESTS["mean HW"], 1)
        gate = torch.sigmoid(own + (ma + mb).mean())
        y = a * gate + b * (1 - gate) if plain else select(ta, tb, gate)
        y.square().sum().backward()
        found.append([y.detach(), a.grad, b.grad, own.grad])
    agree(*found)


def test_selection_has_gradients_of_gradients_and_none_without() -> None:
    def f(a: Tensor, b: Tensor, gate: Tensor) -> Tensor:
        (ta, (ma,)), (tb, (mb,)) = reduce_map(a, REQUESTS["mean HW"], 1), reduce_map(b, REQUESTS["mean HW"], 1)
        return select(ta, tb, torch.sigmoid(gate + ma * mb))

    leaves = [*leaves_of((2, 2, 3, 2), "BCHW", "BC11")]
    assert gradcheck(f, leaves)
    assert gradgradcheck(f, leaves)
    with torch.no_grad():
        agree([f(*leaves)], [f(*(leaf.requires_grad_() for leaf in leaves))])


def large(**options: object) -> Tensor:
    return torch.zeros(2, LARGE, **options)  # type: ignore[call-overload,no-any-return]


def test_large_float_maps_of_eager_torch_take_the_fast_path() -> None:
    assert cpu_fast_path(large()) and cpu_fast_path(large(dtype=torch.float64)) and cpu_fast_path(torch.nn.Parameter(large()))
    assert not cpu_fast_path(torch.zeros(LARGE)) and cpu_fast_path(torch.zeros(LARGE + 1))
    assert not cpu_fast_path(large(dtype=torch.bfloat16)) and not cpu_fast_path(large(device="meta"))
    assert not cpu_fast_path(large().as_subclass(type("Other", (Tensor,), {})))


def test_interpreted_tensors_do_not_take_the_fast_path() -> None:
    seen: list[bool] = []

    def f(x: Tensor) -> Tensor:
        seen.append(cpu_fast_path(x))
        return x.sum() * (2 if cpu_fast_path(x) else 1)

    torch.func.grad(f)(large())
    with torch.autograd.forward_ad.dual_level():
        f(large())
    with torch.autocast("cpu"):
        f(large())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.trace(f, (large(),), check_trace=False)
    assert seen == [False] * 4
    assert (
        torch.compile(lambda x: x.sum() + (1 if cpu_fast_path(x) else 0), backend="eager", fullgraph=True)(large()).item() == 0
    )
