"""attention, its other forms: factored, by cosine, positions on a grid, channels as tokens."""

from typing import Any

import pytest
import torch
from torch import Tensor, einsum
from torch.nn import functional as F

import sefactory as sf
from sefactory.bench.summary import summarize
from tests.operators.formulas import assert_same, check_declared_sizes, random_map, random_operator

KEYED: dict[str, Any] = {"key": 3, "heads": 2}
WIDTHS = [6, 6, 4]

# Tokens, and x_BSCHW with its tokens last and its features before them; how to come back.
ARRANGED = {
    "HW": ("bschw->bschw", "bschw->bschw", 2),
    "WH": ("bschw->bscwh", "bscwh->bschw", 2),
    "H": ("bschw->bswch", "bswch->bschw", 1),
    "S": ("bschw->bhwcs", "bhwcs->bschw", 1),
    "SW": ("bschw->bhcsw", "bhcsw->bschw", 2),
}


def flat(x: Tensor, tokens: str) -> Tensor:
    """(..., features, tokens)."""
    arrange, _, count = ARRANGED[tokens]
    return einsum(arrange, x).flatten(-count)


def back(y: Tensor, like: Tensor, tokens: str) -> Tensor:
    arrange, restore, _ = ARRANGED[tokens]
    return einsum(restore, y.reshape(einsum(arrange, like).shape))


@pytest.mark.parametrize("tokens", ARRANGED)
@pytest.mark.parametrize("scale", [None, 0.3])
def test_factored_is_q_over_its_features_times_the_context_of_k_over_its_tokens(tokens: str, scale: float | None) -> None:
    x = random_map(c=sum(WIDTHS))
    module = random_operator("attention", x, tokens=tokens, factored=True, scale=scale, **KEYED)
    parts = []
    for q, k, v in zip(*(part.chunk(2, 2) for part in x.split(WIDTHS, 2)), strict=True):
        q_soft, k_soft = flat(q, tokens).softmax(-2), flat(k, tokens).softmax(-1)
        context = einsum("...di,...ei->...de", k_soft, flat(v, tokens))
        parts.append(back(einsum("...di,...de->...ei", q_soft, context), v, tokens))
    y = module(x)
    assert_same(y, (3**-0.5 if scale is None else scale) * torch.cat(parts, 2))
    check_declared_sizes(module, x, y)


def test_factored_without_a_key() -> None:
    x = random_map()
    t = x.flatten(3)
    expected = einsum("bsdi,bsdj,bsej->bsei", t.softmax(2), t.softmax(3), t)
    assert_same(random_operator("attention", x, factored=True)(x), expected.reshape(x.shape))


def test_factored_attention_stores_nothing_per_token_pair() -> None:
    x = torch.empty(1, 1, 8, 300, 300, device="meta")
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            nonlocal largest
            found = func(*args, **(kwargs or {}))
            leaves = torch.utils._pytree.tree_leaves(found)
            largest = max([largest, *(t.numel() for t in leaves if isinstance(t, Tensor))])
            return found

    with Watch():
        random_operator("attention", torch.empty(1, 1, 8, 1, 2), factored=True, key=2).float()(x)
    assert 0 < largest <= x.numel()


@pytest.mark.parametrize("tokens", ARRANGED)
def test_cosine_gives_q_and_k_length_one(tokens: str) -> None:
    x = random_map(c=sum(WIDTHS))
    module = random_operator("attention", x, tokens=tokens, similarity="cosine", scale=2.0, **KEYED)
    parts = []
    for q, k, v in zip(*(part.chunk(2, 2) for part in x.split(WIDTHS, 2)), strict=True):
        q_one, k_one = (t / t.square().sum(-2, keepdim=True).sqrt() for t in (flat(q, tokens), flat(k, tokens)))
        weight = (2.0 * einsum("...di,...dj->...ij", q_one, k_one)).softmax(-1)
        parts.append(back(einsum("...ij,...ej->...ei", weight, flat(v, tokens)), v, tokens))
    assert_same(module(x), torch.cat(parts, 2))


def test_cosine_of_nothing_is_finite() -> None:
    x = torch.zeros(1, 1, 4, 2, 2, dtype=torch.float64, requires_grad=True)
    y = random_operator("attention", x, similarity="cosine")(x)
    y.sum().backward()
    assert x.grad is not None and bool(x.grad.isfinite().all()) and bool((y == 0).all())


def test_factored_by_cosine_takes_directions_first() -> None:
    x = random_map()
    t = x.flatten(3)
    one = F.normalize(t, dim=2)
    expected = einsum("bsdi,bsdj,bsej->bsei", one.softmax(2), one.softmax(3), t)
    assert_same(random_operator("attention", x, factored=True, similarity="cosine")(x), expected.reshape(x.shape))


@pytest.mark.parametrize("tokens", ["HW", "WH", "SW"])
@pytest.mark.parametrize("given", [(1, 1), (3, 2), (7, 9)])
def test_positions_on_a_grid_are_resized_in_the_order_of_the_tokens(tokens: str, given: tuple[int, int]) -> None:
    x = random_map(c=sum(WIDTHS))
    module = random_operator("attention", x, tokens=tokens, position=list(given), **KEYED)
    assert module.position.shape == (2, 6, *given)
    grid = [x.shape["BSCHW".index(axis)] for axis in tokens]
    placed = F.interpolate(module.position, size=grid, mode="bilinear", align_corners=False).flatten(2)
    q, k, v = x.split(WIDTHS, 2)
    q, k = (back(flat(t, tokens) + p, t, tokens) for t, p in zip((q, k), placed, strict=True))
    assert_same(module(x), random_operator("attention", x, tokens=tokens, **KEYED)(torch.cat([q, k, v], 2)))


def test_an_open_grid_takes_positions_of_any_size() -> None:
    block = sf.build({"attention": {"tokens": "WH", "key": 2, "position": [4, 3]}}, 8)
    assert tuple(block.state_dict()["position"].shape) == (2, 2, 4, 3)
    assert [tuple(block(torch.randn(1, 8, *grid)).shape) for grid in ((9, 2), (1, 6))] == [(1, 4, 9, 2), (1, 4, 1, 6)]


@pytest.mark.parametrize("heads", [1, 2, 4])
@pytest.mark.parametrize("similarity", ["dot", "cosine"])
@pytest.mark.parametrize("scale", [None, 0.7])
def test_channels_as_tokens_with_q_k_and_v(heads: int, similarity: str, scale: float | None) -> None:
    key = 8 // heads
    x = random_map(c=24)
    module = random_operator("attention", x, tokens="C", key=key, heads=heads, similarity=similarity, scale=scale)
    parts = []
    for q, k, v in zip(*(part.flatten(3).chunk(heads, 2) for part in x.chunk(3, 2)), strict=True):
        if similarity == "cosine":
            q, k = (t / t.square().sum(-1, keepdim=True).sqrt() for t in (q, k))
        weight = ((1.0 if scale is None else scale) * q @ k.mT).softmax(-1)
        parts.append(weight @ v)
    y = module(x)
    assert_same(y, torch.cat(parts, 2).reshape(y.shape))
    check_declared_sizes(module, x, y)


def test_channels_as_tokens_have_heads_without_a_key() -> None:
    x = random_map()
    parts = [part.flatten(3) for part in x.chunk(3, 2)]
    expected = torch.cat([(t @ t.mT).softmax(-1) @ t for t in parts], 2).reshape(x.shape)
    assert_same(random_operator("attention", x, tokens="C", heads=3)(x), expected)


def test_channels_and_rows_as_tokens_have_heads() -> None:
    x = random_map()
    parts = []
    for part in x.chunk(2, 2):
        t = part.flatten(2, 3)
        parts.append(((t @ t.mT).softmax(-1) @ t).reshape(part.shape))
    assert_same(random_operator("attention", x, tokens="CH", heads=2)(x), torch.cat(parts, 2))


def test_factored_channels() -> None:
    x = random_map()
    t = x.flatten(3).movedim(-1, -2)  # features are the positions, tokens the channels
    expected = einsum("bsdi,bsdj,bsej->bsei", t.softmax(2), t.softmax(3), t)
    assert_same(random_operator("attention", x, tokens="C", factored=True)(x), expected.movedim(-1, -2).reshape(x.shape))


FORMS: list[dict[str, Any]] = [
    {"factored": True},
    {"similarity": "cosine"},
    {"tokens": "C", "heads": 2, "similarity": "cosine"},
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("how", ["half", "autocast"])
def test_half_types_are_finite_where_the_energies_overflow(form: dict[str, Any], how: str) -> None:
    x = random_map(s=1, c=4, h=16, w=16).half() * 300
    module = random_operator("attention", x, **form)
    expected = module(x.double())
    with torch.autocast("cpu", dtype=torch.float16, enabled=how == "autocast"):
        y = module.half()(x) if how == "half" else module.float()(x.float())
    assert bool(y.isfinite().all())
    assert_same(y.double(), expected, 1e-2 * float(expected.abs().max()))


# T tokens of d features in h heads: T^2 (d + d_v) h, and factored 2 T d d_v h.
MACS: list[tuple[dict[str, Any], int, int]] = [
    ({"tokens": "HW"}, 12, 2 * 30 * 30 * 12),
    ({"tokens": "HW", "key": 2, "heads": 2}, 12, 30 * 30 * (4 + 4)),
    ({"tokens": "H", "key": 2, "heads": 2}, 12, 5 * 6 * 6 * (4 + 4)),
    ({"tokens": "HW", "key": 2, "heads": 2, "factored": True}, 12, 2 * 30 * 2 * 2 * 2),
    ({"tokens": "W", "key": 1, "factored": True}, 12, 6 * 2 * 5 * 1 * 10),
    ({"tokens": "HW", "heads": 3, "factored": True}, 12, 2 * 30 * 4 * 4 * 3),
    ({"tokens": "C"}, 12, 2 * 12 * 12 * 30),
    ({"tokens": "C", "heads": 3}, 12, 3 * 2 * 4 * 4 * 30),
    ({"tokens": "C", "key": 2, "heads": 2}, 12, 2 * 2 * 2 * 2 * 30),
    ({"tokens": "CW", "heads": 2}, 12, 2 * 2 * 30 * 30 * 6),
    ({"tokens": "C", "heads": 3, "factored": True}, 12, 3 * 2 * 4 * 30 * 30),
]


@pytest.mark.parametrize(("parameters", "channels", "macs"), MACS)
def test_macs(parameters: dict[str, Any], channels: int, macs: int) -> None:
    assert summarize(sf.build({"attention": parameters}, channels), 6, 5).macs == macs
