"""The weights of a seed: the same draws in the same order, one for each parameter, whatever a build does besides."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import sefactory as sf
from sefactory.config import registry
from sefactory.operators.deferred_init import DeferredInit
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
def test_what_is_rehearsed_is_drawn_as_without(name: str, sizes: Sizes, given: dict[str, Any]) -> None:
    operator = registry.find_operator(name)
    assert operator is not None and operator.is_builtin
    torch.manual_seed(0)
    wanted = operator.make(sizes, **given)
    with DeferredInit() as rehearsal:
        module = operator.make(sizes, **given)
    held = [tensor for part in module.modules() for tensor in vars(part).values() if isinstance(tensor, Tensor)]
    assert rehearsal.whole and not held and all(tensor.is_meta for tensor in module.state_dict().values())
    torch.manual_seed(0)
    rehearsal.perform(module)
    assert list(module.state_dict()) == list(wanted.state_dict())
    for key, tensor in module.state_dict(keep_vars=True).items():
        other = wanted.state_dict(keep_vars=True)[key]
        assert torch.equal(tensor, other) and type(tensor) is type(other) and tensor.dtype == other.dtype


def checked_twins(first: nn.Module, second: nn.Module) -> None:
    """Trees of the same modules with nothing of torch's registries and no tensor in common."""
    for one, other in zip(first.modules(), second.modules(), strict=True):
        assert one is not other and type(one) is type(other)
        assert all(value is not vars(other)[name] for name, value in vars(one).items() if isinstance(value, dict))
        tensors = [*one.parameters(), *one.buffers()], [*other.parameters(), *other.buffers()]
        assert all(a is not b and a.shape == b.shape and a.dtype == b.dtype for a, b in zip(*tensors, strict=True))


@pytest.mark.parametrize(("name", "sizes", "given"), EXAMPLES)
def test_the_second_of_the_same_is_drawn_as_if_made(name: str, sizes: Sizes, given: dict[str, Any]) -> None:
    """A rehearsal makes it once and copies it."""
    operator = registry.find_operator(name)
    assert operator is not None
    torch.manual_seed(0)
    wanted = nn.ModuleList([operator.make(sizes, **given) for _ in range(3)])
    with DeferredInit() as rehearsal:
        found = nn.ModuleList([rehearsal.made(operator.make, sizes, given) for _ in range(3)])
    checked_twins(found[0], found[1])
    checked_twins(found[1], found[2])
    torch.manual_seed(0)
    rehearsal.perform(found)
    checked_twins(found[0], found[1])
    assert list(found.state_dict()) == list(wanted.state_dict())
    assert all(torch.equal(*pair) for pair in zip(found.state_dict().values(), wanted.state_dict().values(), strict=True))


def test_what_is_not_the_same_is_made_anew() -> None:
    linear, sizes, calls = registry.find_operator("linear"), Sizes.of_map(8), list[dict[str, Any]]()
    assert linear is not None
    make = linear.make

    def counted(sizes: Sizes, **given: Any) -> nn.Module:
        calls.append(given)
        return make(sizes, **given)

    with DeferredInit() as rehearsal:
        for given in ({"out": 4}, {"out": 1}, {"out": 4, "bias": 1}, {"out": 4}, {"out": 4, "bias": True}):
            rehearsal.made(counted, sizes, given)
        for other in (
            Sizes.of_map(16),
            Sizes.of_map(8, {"H": 4}),
            Sizes.of_map(8, grid="W"),
            replace(sizes, stacked_at="here"),
        ):
            rehearsal.made(counted, other, {"out": 4})
    assert len(calls) == 8


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
