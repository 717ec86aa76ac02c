"""A network that keeps something of each forward pass in every kind of attribute."""

import random
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


@dataclass
class Cache:
    """A plain object with a table, as anchor generators are."""

    tables: list[Tensor] = field(default_factory=list)
    size: tuple[int, ...] = ()


@dataclass(slots=True)
class Slotted:
    """The same in slots."""

    table: Tensor | None = None


class Caching(nn.Module):
    """Keeps something of each forward pass in every kind of attribute."""

    def __init__(self, reads_values: bool) -> None:
        super().__init__()
        self.reads_values = reads_values
        self.conv, self.norm = nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.hidden = (nn.Conv2d(16, 16, 1),)
        self.register_buffer("runs", torch.zeros(()))
        self.table, self.scale = torch.zeros(0), torch.ones(2)
        self.maps: list[Any] = [torch.ones(1), [torch.ones(2)]]
        self.by_size: dict[Any, Any] = {"first": torch.ones(1), "nested": {"deep": (torch.ones(1), [])}}
        self.ordered = OrderedDict(a=1, b=torch.ones(1))
        self.seen: set[Any] = set()
        self.cache, self.slotted, self.array = Cache([torch.ones(1)]), Slotted(torch.ones(1)), np.zeros(2)
        self.calls, self.generator = 0, torch.Generator().manual_seed(1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.hidden[0](self.norm(self.conv(x)))
        if self.reads_values:
            float(x.detach().sum())
        self.table = x.new_ones(x.shape[2:])
        self.calls += 1
        self.runs += 1
        self.scale.add_(1)
        self.maps.append(x)
        self.maps[1].clear()
        self.maps[0] = x
        self.by_size[tuple(x.shape)] = x
        self.by_size["nested"]["deep"][1].append(x)
        self.by_size.pop("first", None)
        self.ordered.move_to_end("a")
        self.seen.add(x.shape)
        self.cache.tables[0], self.cache.size = x, x.shape
        self.slotted.table = x
        self.array += 1
        self.late = x
        self.hidden[0].train()
        if not x.is_meta:
            torch.rand(1, generator=self.generator)
        return x + self.table * self.scale[0] + torch.rand(1, device=x.device) * random.random() * np.random.rand()
