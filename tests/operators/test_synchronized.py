"""Norms that are synchronised over processes: two processes with parts of a batch equal one with the whole batch."""

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

import sefactory as sf
from sefactory.operators.synchronized import batch_statistics, synchronized_batch_norm
from tests.operators.two_processes import Case, images, in_two_processes, network, train

WIDE = {"excite": [{"conv": {"groups": "C"}}, {"batch_norm": {"each": "CS"}}], "gate": ["sigmoid"]}
SAMPLE = [
    Case("coordatt", "coordatt"),
    Case("coordatt, norms in eval mode", "coordatt", train_norms=False),
    Case("coordatt, its block is sharded", "coordatt", shards="blocks"),
]
OTHERS = [
    Case("coordatt, its tree", "coordatt", lower=False),
    *(Case(name, name) for name in ("triplet", "bam", "sknet", "srmnet")),
    *(Case(f"{name}, norms in eval mode", name, train_norms=False) for name in ("triplet", "sknet", "cbam")),
    Case("several axes", WIDE),
    Case("without norms", "senet"),
]
SHARDED = [
    case._replace(name=f"{case.name}, FSDP shards the {shards}", shards=shards)
    for shards in ("network", "blocks")
    for case in [*SAMPLE[:2], *OTHERS]
]
CASES = [SAMPLE, pytest.param([*OTHERS, *SHARDED], marks=pytest.mark.exhaustive)]


@pytest.mark.parametrize("cases", CASES, ids=["sample", "others"])
def test_two_processes_equal_one(cases: list[Case], tmp_path: Path) -> None:
    """The results of two processes are equal, and those of one process with the whole batch."""
    first, second = in_two_processes(cases, tmp_path)
    expected = {f"{case.name}, {key}": value for case in cases for key, value in train(network(case), images(), 1).items()}
    assert first.keys() == second.keys() == expected.keys()
    for key, value in expected.items():
        assert torch.equal(first[key], second[key]), key
        assert float((first[key] - value).abs().max()) <= 1e-9 * max(1, float(value.abs().max())), key


@pytest.fixture
def one_process(tmp_path: Path) -> Iterator[None]:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/one", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("offset", [0, 1000])
@pytest.mark.usefixtures("one_process")
def test_it_is_the_batch_norm_of_torch(dtype: torch.dtype, offset: int) -> None:
    torch.manual_seed(0)
    theirs = nn.BatchNorm2d(5).to(torch.float64 if dtype == torch.float64 else torch.float32)
    nn.init.uniform_(theirs.weight), nn.init.uniform_(theirs.bias)
    ours = copy.deepcopy(theirs)
    inputs = [(torch.randn(3, 5, 4, 6, dtype=torch.float64) + offset).to(dtype).requires_grad_() for _ in range(2)]
    inputs[1].data.copy_(inputs[0].data)
    running, affine = (ours.running_mean, ours.running_var), (ours.weight, ours.bias)
    found = synchronized_batch_norm(inputs[0], running, affine, 0.1, theirs.eps, None)
    expected = theirs(inputs[1])
    factor = torch.randn(expected.shape).to(dtype)
    (found * factor).sum().backward(), (expected * factor).sum().backward()
    close = {torch.float64: 1e-9, torch.float32: 1e-3, torch.bfloat16: 2e-2}[dtype]
    torch.testing.assert_close(found, expected, atol=close, rtol=close)
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad, atol=close, rtol=close)
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_var, theirs.running_var)
    torch.testing.assert_close(ours.weight.grad, theirs.weight.grad, atol=10 * close, rtol=close)


@pytest.mark.usefixtures("one_process")
def test_the_variance_is_precise_where_the_mean_is_far_from_0() -> None:
    x = torch.randn(4, 5, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 1e8
    _, _, found, _ = batch_statistics(x, None)
    torch.testing.assert_close(found, x.var((0, 2, 3), correction=0), rtol=1e-6, atol=0)


@pytest.mark.usefixtures("one_process")
def test_few_numbers_are_reduced(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many processes there are: sums and the number of values, then squares; in the backward pass their gradients."""
    reduced, reduce = list[int](), torch.distributed.all_reduce
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda x, group: reduced.append(len(x)) or reduce(x, group=group))
    x = torch.randn(3, 5, 4, 6, requires_grad=True)
    y = synchronized_batch_norm(x, (None, None), (None, None), 0.1, 1e-5, None)
    assert reduced == [6, 5]
    y.square().sum().backward()
    assert reduced == [6, 5, 5, 6]


def test_a_synchronised_block_in_one_process_is_as_before() -> None:
    block = sf.build("coordatt", 32).train()
    x, before = torch.randn(2, 32, 6, 6), copy.deepcopy(block)
    torch.testing.assert_close(nn.SyncBatchNorm.convert_sync_batchnorm(block)(x), before(x))
    assert all(torch.equal(a, b) for a, b in zip(block.state_dict().values(), before.state_dict().values(), strict=True))
