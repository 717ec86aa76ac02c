"""Networks with blocks, trained on two processes by gloo: one has three images of a batch, the other has one."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

import sefactory as sf

IMAGES = (3, 1)
Result = dict[str, Tensor]


class Case(NamedTuple):
    """A block; whether its norms are in training mode; whether it runs its program or its module tree; what FSDP shards.

    `shards`: "network"; "blocks" for each block and then the network; None for DistributedDataParallel.
    """

    name: str
    block: Any
    train_norms: bool = True
    lower: bool = True
    shards: str | None = None


def network(case: Case) -> nn.Module:
    """A small network in float64 with a block after its first convolution, which learns from the first step on."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 4, 3, padding=1)).double()
    sf.insert(model, case.block, "0", start="own", input_size=(3, 6, 6))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train(case.train_norms)
        if isinstance(module, sf.Block) and not case.lower:
            module.lowered = None
    return model


def images() -> Tensor:
    """The batch of all processes. The means of the images differ."""
    x = torch.randn(sum(IMAGES), 3, 6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return x * torch.arange(1, len(x) + 1).view(-1, 1, 1, 1)


def train(model: nn.Module, x: Tensor, scale: int) -> Result:
    """Runs two forward and backward passes and returns the summed gradients and the buffers.

    In the second pass DDP raises an error if a parameter got no gradient in the first.
    """
    for _ in range(2):
        (model(x).square().sum() * scale).backward()
    inner = model.module if isinstance(model, DistributedDataParallel) else model
    gradients = {f"gradient of {key}": whole(p.grad) for key, p in inner.named_parameters() if p.grad is not None}
    return gradients | {key: buffer.detach().clone() for key, buffer in inner.named_buffers()}


def whole(x: Tensor) -> Tensor:
    """The tensor of which each process has a part."""
    return x.full_tensor() if hasattr(x, "full_tensor") else x


def parallel(case: Case) -> nn.Module:
    """The network after torch's converter of norms, under FSDP's fully_shard or DistributedDataParallel."""
    from torch.distributed.device_mesh import init_device_mesh  # here, since the imports take a second
    from torch.distributed.fsdp import fully_shard

    model = nn.SyncBatchNorm.convert_sync_batchnorm(network(case))
    if case.shards is None:
        return DistributedDataParallel(model)
    mesh = init_device_mesh("cpu", (len(IMAGES),))
    parts = [module for module in model.modules() if isinstance(module, sf.Block)] if case.shards == "blocks" else []
    for part in [*parts, model]:
        fully_shard(part, mesh=mesh)
    return model


def in_two_processes(cases: Sequence[Case], folder: Path) -> list[Result]:
    """What `train` returns on each process for its part of the batch. The processes are forks of one with all imports."""
    multiprocessing.get_context("forkserver").set_forkserver_preload([__name__, "torch._dynamo"])
    multiprocessing.start_processes(_train_part, (cases, folder), nprocs=len(IMAGES), start_method="forkserver")
    return [torch.load(folder / f"{rank}.pt") for rank in range(len(IMAGES))]


def _train_part(rank: int, cases: Sequence[Case], folder: Path) -> None:
    torch.set_num_threads(1)
    if sys.platform == "linux":  # the name of the machine may not be known to its resolver
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=len(IMAGES))
    results: Result = {}
    for case in cases:
        found = train(parallel(case), images().split(IMAGES)[rank], len(IMAGES))  # gradients are averaged over processes
        results |= {f"{case.name}, {key}": value for key, value in found.items()}
    torch.save(results, folder / f"{rank}.pt")
    distributed.destroy_process_group()
