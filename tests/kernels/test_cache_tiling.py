"""Statistics and gates block by block: what plain torch says of the whole map."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sefactory.kernels import cache_tiling as blockwise
from sefactory.kernels import grouped_conv as windows
from sefactory.kernels import map_gradient as gradient
from sefactory.kernels import separable_resample as bands
from sefactory.kernels.cache_tiling import Request, gate_map, statistics
from sefactory.kernels.gated_reduction import Combine, apply_gates_and_reduce, reduce_map

REQUESTS: list[Request] = [("mean", (3,)), ("max", (1,)), ("sum", (2, 3)), ("var", (2, 3)), ("min", (1, 2))]
PLAIN = {"mean": torch.mean, "sum": torch.sum, "max": torch.amax, "min": torch.amin}


@pytest.fixture(autouse=True, params=[1, 2, None])
def _blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of one and of two samples, and all at once."""
    monkeypatch.setattr(blockwise, "fits_cache", lambda x: request.param is None)
    monkeypatch.setattr(gradient, "CHUNK", (request.param or 1) * 4 * 5 * 6)


def same(found: Sequence[Tensor], x: Tensor) -> None:
    for (name, dims), y in zip(REQUESTS, found, strict=True):
        wanted = x.var(dims, correction=0, keepdim=True) if name == "var" else PLAIN[name](x, dims, keepdim=True)
        torch.testing.assert_close(y, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_statistics(batch: int) -> None:
    x = torch.randn(batch, 4, 5, 6, dtype=torch.float64)
    same(statistics(x, REQUESTS), x)


@pytest.mark.parametrize("combine", ["product", "sum"])
@pytest.mark.parametrize("shapes", [[(3, 4, 1, 1)], [(3, 4, 5, 1), (1, 4, 1, 6)], [(3, 1, 5, 6), (3, 4, 1, 6), (3, 4, 5, 1)]])
def test_gated_maps_are_measured(combine: Combine, shapes: list[tuple[int, ...]]) -> None:
    x, gates = torch.randn(3, 4, 5, 6, dtype=torch.float64), [torch.randn(shape, dtype=torch.float64) for shape in shapes]
    whole = gates[0]
    for gate in gates[1:]:
        whole = whole * gate if combine == "product" else whole + gate
    y, found = gate_map(x, gates, combine, REQUESTS)
    torch.testing.assert_close(y, x * whole, rtol=1e-12, atol=1e-12)
    same(found, x * whole)
    torch.testing.assert_close(gate_map(x, gates, combine)[0], x * whole, rtol=1e-12, atol=1e-12)


def test_a_map_is_measured_where_it_is_gated_but_for_gradients_and_other_dtypes() -> None:
    x, gate = torch.randn(3, 4, 5, 6, dtype=torch.float64), torch.rand(3, 4, 1, 1, dtype=torch.float64)
    with torch.no_grad():
        y, found = apply_gates_and_reduce(reduce_map(x, [])[0], [gate], "product", REQUESTS)
        assert found is not None
        same(found, y)
        half, none = apply_gates_and_reduce(reduce_map(x, [])[0], [gate.float()], "product", REQUESTS)
        assert none is None and half.dtype == torch.float64
    assert apply_gates_and_reduce(reduce_map(x, [])[0], [gate], "product", REQUESTS)[1] is None


def test_statistics_of_one_kind_are_of_the_whole_map(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(blockwise, "statistic", lambda x, name, dims: (seen.append(len(x)), x.mean(dims, keepdim=True))[1])
    statistics(torch.randn(4, 4, 5, 6), REQUESTS[:1])
    assert seen == [4]


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"index0": "48K\n", "index1": "32K\n", "index2": "2048K\n", "index3": "266240K\n"}, 260 << 20),
        ({"index0": "32K\n", "index3": "32M\n"}, 32 << 20),
        ({"index0": ""}, 0),
        ({"index0": "many"}, 0),
        ({}, 0),
    ],
)
def test_the_last_cache_is_what_linux_says(
    files: dict[str, str], found: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, size in files.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "size").write_text(size)
    monkeypatch.setattr(blockwise, "CACHES", tmp_path)
    assert blockwise.last_cache_bytes.__wrapped__() == found


@pytest.mark.parametrize(("cache", "fits"), [(0, False), (8 * 8 * 60 - 1, False), (8 * 8 * 60, True)])
def test_a_map_is_taken_whole_where_the_last_cache_holds_eight(cache: int, fits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(blockwise, "last_cache_bytes", lambda: cache)
    monkeypatch.setattr(gradient, "CHUNK", 20)
    seen: list[int] = []
    monkeypatch.setattr(blockwise, "_write_statistics", lambda x, requests, into: seen.append(len(x)))
    statistics(torch.randn(3, 20, dtype=torch.float64), [("max", (1,)), ("min", (1,))])
    assert seen == ([3] if fits else [1, 1, 1])
    seen.clear()
    gate_map(torch.randn(3, 20, dtype=torch.float64), [torch.randn(3, 1, dtype=torch.float64)], "product", [("max", (1,))])
    assert seen == ([3] if fits else [1, 1, 1])


def test_what_is_kept_in_inference_mode_serves_autograd_later() -> None:
    for made in (bands.means, bands.tapped, bands.nearest, windows._same_group):
        made.cache_clear()
    with torch.inference_mode():
        kept = [
            bands.means(9, 3, 2, False, torch.float64),
            bands.tapped((4,), (3,), 1, (1,), 1, True, torch.float64)[0][0],
            bands.nearest(2, 4)[0],
            windows._same_group(2, torch.float64),
        ]
    assert not any(matrix.is_inference() for matrix in kept)
