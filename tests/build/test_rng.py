"""The weights of a seed: the same draws in the same order, one for each parameter, whatever a build does besides."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import sefactory as sf
from sefactory.config import registry
from sefactory.shapes import Sizes
from tests.invariants.cases import EXAMPLES

RECORDED = {  # checksum of the weights at seed 0 and C = 64, and the number drawn next
    "senet": (1.5595414857380092, 0.35765838623046875),
    "sknet": (162.89179117042684, 0.753834068775177),
    "cbam": (3.6734313882925376, 0.8424056172370911),
    "coordatt": (11.153213272992389, 0.20495140552520752),
    "triplet": (5.583262525039145, 0.38754892349243164),
    "danet": (72.99449379061369, 0.4856894612312317),
    "seaformer": (734.1705127522746, 0.8618849515914917),
    "dynconv": (2.369540599985951, 0.178544282913208),
    "gcnet": (1.714296321151778, 0.9505568742752075),
}


def checksum(block: nn.Module) -> float:
    """The sum over all tensors of their entries, each weighted by its position."""
    tensors = [tensor.detach().double().flatten() for tensor in block.state_dict().values()]
    return sum(float((tensor * torch.arange(1, tensor.numel() + 1)).sum()) / tensor.numel() for tensor in tensors)


@pytest.mark.parametrize("name", RECORDED)
def test_a_seed_gives_the_recorded_weights(name: str) -> None:
    torch.manual_seed(0)
    found = checksum(sf.build(name, 64)), torch.rand(1).item()
    assert found == pytest.approx(RECORDED[name], rel=1e-6)


@pytest.mark.parametrize(("name", "sizes", "given"), EXAMPLES)
def test_on_the_meta_device_nothing_is_allocated_or_drawn(name: str, sizes: Sizes, given: dict[str, Any]) -> None:
    operator = registry.find_operator(name)
    assert operator is not None
    expected, rng_state = operator.make(sizes, **given).state_dict(keep_vars=True), torch.get_rng_state()
    with torch.device("meta"):
        module = operator.make(sizes, **given)
    assert torch.equal(torch.get_rng_state(), rng_state)
    assert not [tensor for part in module.modules() for tensor in vars(part).values() if isinstance(tensor, Tensor)]
    state = module.state_dict(keep_vars=True)
    assert list(state) == list(expected) and all(tensor.is_meta for tensor in state.values())
    assert all(
        type(t) is type(expected[key]) and (t.shape, t.dtype) == (expected[key].shape, expected[key].dtype)
        for key, t in state.items()
    )


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_equal_steps_of_a_block_have_weights_of_their_own(device: str) -> None:
    with torch.device(device):
        block = sf.build({"series": {"a": ["batch_norm", {"linear": 8}], "b": ["batch_norm", {"linear": 8}]}}, 8)
    assert len({id(tensor) for tensor in [*block.parameters(), *block.buffers()]}) == 2 * (5 + 1)
    if device == "cpu":
        before = block.get_parameter("series.a.1.weight").clone()
        with torch.no_grad():
            block.get_parameter("series.b.1.weight").zero_()
        block.train()(torch.randn(4, 8, 3, 3))
        assert torch.equal(block.get_parameter("series.a.1.weight"), before) and before.any()
        assert not torch.equal(block.get_buffer("series.a.0.running_var"), block.get_buffer("series.b.0.running_var"))


class Noisy(nn.Module):
    """An operator of a user: it allocates and draws with torch alone, and keeps a tensor that is not registered."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(channels, channels))
        self.fixed = torch.rand(channels)

    def forward(self, x_BSCHW: Tensor) -> Tensor:
        y: Tensor = self.inner(x_BSCHW.movedim(2, -1) * self.fixed).movedim(-1, 2)
        return y


def noisy(sizes: Sizes) -> nn.Module:
    return Noisy(sizes.number("C"))


def sequential(sizes: Sizes) -> nn.Module:
    return nn.Sequential(nn.Identity(), Noisy(sizes.number("C")))


@pytest.mark.parametrize("make", [noisy, sequential])
def test_an_operator_of_a_user_draws_between_those_of_the_package(make: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_OPERATORS", dict(registry._OPERATORS))
    sf.operator("noisy")(make)  # type: ignore[type-var, arg-type]
    torch.manual_seed(0)
    block = sf.build([{"linear": {"bias": True}}, "noisy", {"linear": 4}], 8)
    torch.manual_seed(0)
    drawn = [torch.empty(size).uniform_(-(8**-0.5), 8**-0.5) for size in ((8, 8), (8,))]
    module = Noisy(8)
    drawn += [*module.parameters(), torch.empty(4, 8).uniform_(-(8**-0.5), 8**-0.5)]
    assert all(torch.equal(*pair) for pair in zip(block.parameters(), drawn, strict=True))
    kept = [part.fixed for part in block.modules() if isinstance(part, Noisy)]
    assert torch.equal(kept[0], module.fixed)
    assert block(torch.randn(2, 8, 3, 3)).shape == (2, 4, 3, 3)
    with torch.device("meta"):
        assert all(t.is_meta for t in sf.build(["noisy"], 8).parameters())
