"""A holder stands for its module: the same attributes, keys and hooks, but no tensors; what bypasses it is refused."""

import copy
import pickle
import sys
import warnings
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import sefactory as sf
from sefactory.networks.holder import Holder, InsertionPoint, named_places
from tests.networks.attributes import attributes, changes
from tests.networks.models import max_difference, outputs
from tests.networks.small_net import SIZE, images, net


class Routed(nn.Sequential):
    """A Sequential with a forward and attributes of its own, as hosts have that read `f` and `i` of each layer."""

    def __init__(self, *steps: nn.Module) -> None:
        super().__init__(*steps)
        self.f, self.i = -1, 3

    def forward(self, x: Tensor) -> Tensor:
        for step in self:
            x = step(x)
        return x


def routed() -> nn.Sequential:
    torch.manual_seed(0)
    inner = Routed(nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32))
    return nn.Sequential(inner, nn.Conv2d(32, 8, 1)).double().eval()


def test_attributes_iteration_and_indexing_are_those_of_the_module() -> None:
    model = routed()
    inner = model[0]
    sf.insert(model, "senet", "0", input_size=SIZE)
    holder = model[0]
    assert isinstance(holder, Holder) and holder.original is inner
    assert (holder.f, holder.i, len(holder), bool(holder)) == (-1, 3, 2, True)
    assert list(holder) == list(inner) and holder[1] is inner[1] and model.get_submodule("0.1") is inner[1]
    assert not bool(Holder(nn.Sequential(), nn.Identity(), InsertionPoint("0")))
    with pytest.raises(AttributeError, match="'Routed' object has no attribute 'missing'"):
        _ = holder.missing
    with pytest.raises(TypeError, match="not iterable"):
        iter(Holder(nn.ReLU(), nn.Identity(), InsertionPoint("0")))


@pytest.mark.parametrize("name", ["weight", "bias", "running_mean", "num_batches_tracked"])
def test_tensors_are_not_those_of_the_module(name: str) -> None:
    model = nn.Sequential(nn.BatchNorm2d(32))
    sf.insert(model, "senet", "0", input_size=(32, 4, 4))
    assert not hasattr(model[0], name) and hasattr(model[0].original, name)
    with pytest.raises(AttributeError) as caught:
        getattr(model[0], name)
    assert str(caught.value) == (
        f"0.{name}: a sefactory block is inserted at 0; a tool that computes with this tensor itself would drop the block; "
        f"read 0.original.{name}, or insert the block at the module that contains 0"
    )


def test_an_absent_bias_is_refused_too() -> None:
    """A fuser reads `bias`, finds None, and would go on."""
    model = nn.Sequential(nn.Conv2d(3, 32, 1, bias=False))
    sf.insert(model, "senet", "0", input_size=SIZE)
    assert not hasattr(model[0], "bias") and model[0].original.bias is None


def test_forward_hooks_see_the_output_with_the_block() -> None:
    model, x = net(), images()
    seen: list[Tensor] = []
    handles = [
        model[0].register_forward_hook(lambda module, args, y: seen.append(y)),
        model[0].register_forward_hook(lambda module, args, kwargs, y: seen.append(y), with_kwargs=True),
    ]
    sf.insert(model, "senet", "0", start="own", input_size=SIZE)
    seen.clear()
    model(x)
    block = model[0].inserted
    assert len(seen) == 2 and all(torch.equal(y, block(model[0].original(x))) for y in seen)
    handles[0].remove()
    model(x)
    assert len(seen) == 3
    sf.remove(model, "0")
    model(x)
    assert len(seen) == 4 and torch.equal(seen[-1], model[0](x))
    handles[1].remove()
    assert not model[0]._forward_hooks and not model[0]._forward_hooks_with_kwargs


def test_hooks_that_set_a_weight_stay_with_the_module() -> None:
    model, x = net(), images()
    with pytest.warns(FutureWarning):
        nn.utils.weight_norm(model[0])
    before = outputs(model, x)
    sf.insert(model, "senet", "0", input_size=SIZE)
    assert max_difference(outputs(model, x), before) == 0
    model[0].original.weight_g.data.mul_(2)
    assert max_difference(outputs(model, x), before) > 1e-3


def test_holders_inside_of_holders() -> None:
    model, x = routed(), images()
    plain, before = {key: tensor.clone() for key, tensor in model.state_dict().items()}, outputs(model, x)
    sf.insert(model, "senet", "0.1", input_size=SIZE)
    sf.insert(model, "cbam", "0", input_size=SIZE)
    sf.insert(model, "simam", "0.0", input_size=SIZE)
    assert {path for path, module in named_places(model) if isinstance(module, Holder)} == {"0", "0.0", "0.1"}
    state = model.state_dict()
    assert not any("original" in key for key in state) and set(plain) <= set(state)
    assert {"0.0.inserted.mix", "0.1.inserted.mix", "0.inserted.mix"} <= set(state)
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        again.load_state_dict(plain, strict=True)
        again.load_state_dict(state, strict=True)
        assert max_difference(outputs(again, x), before) == 0
    assert list(state) == list(model.state_dict())
    for path in ("0.0", "0", "0.1"):
        sf.remove(model, path)
    assert not any(isinstance(module, Holder) for module in model.modules()) and list(model.state_dict()) == list(plain)


def test_versions_are_saved_under_the_names_of_the_network() -> None:
    model = nn.Sequential(nn.BatchNorm2d(32))
    plain = model.state_dict()._metadata  # type: ignore[attr-defined]
    sf.insert(model, "senet", "0", input_size=(32, 4, 4))
    found = model.state_dict()._metadata  # type: ignore[attr-defined]
    assert found["0"] == plain["0"] == {"version": 2}


def test_names_of_parameters_load_as_well() -> None:
    """A checkpoint that a tool made from `named_parameters` and not from the state dict."""
    model = nn.Sequential(nn.Conv2d(3, 32, 1))
    sf.insert(model, "senet", "0", input_size=SIZE)
    state = {name: torch.full_like(parameter, 2) for name, parameter in model.named_parameters()}
    model.load_state_dict(state, strict=True)
    assert all((parameter == 2).all() for parameter in model.parameters())


class ReadsWeight(nn.Module):
    """Calls its convolution, and computes with the weight again."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 32, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + F.conv2d(x, self.conv.weight)


class HeldTwice(nn.Module):
    """Calls its convolution by a list that is no ModuleList."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 32, 1)
        self.steps = [self.conv]

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.steps[0](x)
        return y


REFUSED: list[tuple[nn.Module, str]] = [
    (
        ReadsWeight(),
        "conv: the network reads 'weight' of this module and computes with it, so a block here would break it; "
        "insert the block at the module that contains conv",
    ),
    (
        HeldTwice(),
        "conv: the network calls this module by another reference than its parent's child, which bypasses the block; "
        "insert the block at the module that contains conv",
    ),
]


@pytest.mark.parametrize(("model", "message"), REFUSED)
@pytest.mark.parametrize("options", [{}, {"start": "own"}])
def test_a_network_that_bypasses_the_place(model: nn.Module, message: str, options: dict[str, Any]) -> None:
    before = attributes(model)
    with pytest.raises(sf.ConfigError) as caught:
        sf.insert(model, "senet", "conv", input_size=SIZE, **options)
    assert str(caught.value) == message
    assert changes(model, before) == []


class Switched(nn.Module):
    """A layer with a switch, an inner layer and hooks that its library adds in the first forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.checkpointing = nn.Conv2d(3, 32, 1), False

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return -y if self.checkpointing else y


def switched() -> tuple[nn.Sequential, Switched, Holder]:
    torch.manual_seed(0)
    layer = Switched()
    model = nn.Sequential(layer).double().eval()
    sf.insert(model, "senet", "0", start="own", input_size=SIZE)
    return model, layer, model[0]


def test_attributes_of_the_module_are_set_at_the_module() -> None:
    """Trainers set switches by path (`model.layer4.grad_checkpointing = True`), converters replace children."""
    model, layer, holder = switched()
    holder.checkpointing, holder.conv, holder.noted, holder._private = True, nn.Conv2d(3, 32, 1).double(), 3, 4
    assert layer.checkpointing and layer.conv is holder.conv and "conv" not in holder._modules
    assert holder.noted == 3 and not hasattr(layer, "noted") and not hasattr(layer, "_private")
    model.train()
    assert holder.training and layer.training
    holder.added = nn.Identity()
    assert layer.added is holder.added and "inserted" in holder._modules and len(holder._modules) == 2
    del holder.added
    assert not hasattr(layer, "added")
    with pytest.raises(AttributeError, match="missing"):
        del holder.missing


def library(monkeypatch: pytest.MonkeyPatch, *values: Any) -> None:
    """Lets classes and functions be those of an installed package."""
    package = ModuleType("modelhub")
    package.__file__ = "/usr/lib/python3/site-packages/modelhub/__init__.py"
    monkeypatch.setitem(sys.modules, "modelhub", package)
    for value in values:
        monkeypatch.setattr(value, "__module__", "modelhub.parts")


def test_hooks_that_a_library_adds_to_its_module_see_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Transformers finds modules by their classes, and collects their outputs for decoders by hooks."""
    model, layer, holder = switched()
    seen = dict[str, Tensor]()

    def collect(module: nn.Module, args: Any, y: Tensor) -> None:
        seen["library"] = y

    def watch(module: nn.Module, args: Any, y: Tensor) -> None:
        seen["user"] = y

    library(monkeypatch, Switched, collect)
    handle = layer.register_forward_hook(collect)
    layer.register_forward_hook(watch)
    x = images()
    y = copy.deepcopy(model)(x)
    assert torch.equal(seen["library"], y) and not torch.equal(seen["user"], y)
    sf.remove(model)
    assert torch.equal(model(x), seen["library"]) and "register_forward_hook" not in layer.__dict__
    handle.remove()
    assert len(layer._forward_hooks) == 1 and not holder._forward_hooks


def test_hooks_before_a_block_stay_with_the_module() -> None:
    model, seen = net(), list[Tensor]()
    model[1].register_forward_hook(lambda module, args, y: seen.append(y))
    sf.insert(model, "senet", "1", where="before", input_size=SIZE)
    sf.remove(model)
    model(images())
    assert len(seen) == 1


def test_networks_whose_library_collects_outputs_by_hooks_are_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their decoders find nothing without these hooks."""

    class Collecting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.head = Switched(), nn.Conv2d(32, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            found.clear()
            self.layer(x)
            y: Tensor = self.head(found[-1])
            return y

    found = list[Tensor]()

    def collect(module: nn.Module, args: Any, y: Tensor) -> None:
        found.append(y)

    model = Collecting()
    model.layer.register_forward_hook(collect)
    with pytest.raises(sf.ConfigError, match="list index out of range"):
        sf.insert(model, "senet", "layer", input_size=SIZE)
    library(monkeypatch, Switched, Collecting, collect)
    (place,) = sf.insert(model, "senet", "layer", input_size=SIZE).places
    assert place.shape[1] == 32


def test_a_copy_keeps_the_block_of_a_module_that_says_how_it_is_copied() -> None:
    """Parametrized modules have a __deepcopy__ in their class, which copies them without their holder."""
    model = nn.Sequential(nn.Conv2d(3, 32, 1), nn.ReLU()).double()
    nn.utils.parametrizations.weight_norm(model[0])
    sf.insert(model, "senet", "0", input_size=SIZE, start="own")
    again = copy.deepcopy(model)
    assert isinstance(again[0], Holder) and torch.equal(again(images()), model(images()))


class Named(nn.Module):
    """A module with children that are named as the words of an insertion."""

    def __init__(self) -> None:
        super().__init__()
        self.path, self.where, self.layout = nn.Conv2d(3, 32, 1), nn.ReLU(), 3

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.where(self.path(x))
        return y


def test_a_module_with_names_of_an_insertion() -> None:
    model = nn.Sequential(Named(), nn.Conv2d(32, 4, 1)).double().eval()
    before = model(images())
    sf.insert(model, "senet", "0", input_size=SIZE)
    assert isinstance(model[0].path, nn.Conv2d) and model[0].layout == 3
    model[0].layout = 4
    assert model[0].original.layout == 4 and torch.equal(model(images()), before)
    sf.insert(model, "senet", "0.path", input_size=SIZE)
    assert torch.equal(model(images()), before)


def test_a_part_with_a_block_that_a_network_has_twice() -> None:
    part = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU()).double()
    sf.insert(part, {"gate": ["sigmoid"]}, "0", input_size=SIZE)
    model = nn.Module()
    model.a, model.b = part, part
    paths = [path for path, _ in named_places(model, remove_duplicate=False)]
    assert "b.0" in paths and not [path for path in paths if "original" in path]


@pytest.mark.parametrize(
    "kind",
    ["register_forward_pre_hook", "register_forward_hook", "register_full_backward_hook", "register_full_backward_pre_hook"],
)
def test_hooks_that_were_registered_at_a_place_stay_when_the_block_is_removed(kind: str) -> None:
    model, calls = net(), list[str]()
    sf.insert(model, "senet", "0", input_size=SIZE)
    handle = getattr(model[0], kind)(lambda *_: calls.append(kind))
    sf.remove(model)
    model(images().requires_grad_()).sum().backward()
    assert calls == [kind]
    handle.remove()
    model(images().requires_grad_()).sum().backward()
    assert calls == [kind]


class HalfOutput(nn.Module):
    """A norm that computes in float32 and returns bfloat16."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(32)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(x.float()).bfloat16()
        return y


def test_a_map_of_another_dtype_than_the_module() -> None:
    model = nn.Sequential(nn.Conv2d(3, 32, 1).bfloat16(), HalfOutput()).eval()
    before = attributes(model)
    with pytest.raises(sf.ConfigError) as caught:
        sf.insert(model, "senet", "1", input_size=SIZE)
    assert str(caught.value) == "1: with the block here, expected an input (B, 32, H, W) of float32, got bfloat16"
    assert changes(model, before) == []


class Autocast(nn.Module):
    """Computes in bfloat16 by autocast."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 32, 1)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16):
            y: Tensor = self.conv(x)
        return y.float()


def test_a_network_with_autocast_gets_blocks_in_float32() -> None:
    model, x = Autocast().eval(), images().float()
    before = model(x)
    sf.insert(model, "senet", "conv", input_size=SIZE)
    assert {p.dtype for p in model.parameters()} == {torch.float32} and torch.equal(model(x), before)


class Reads(nn.Module):
    """Reads an attribute of a convolution, steps of a stage, and a module that returns nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.stage, self.aux = nn.Conv2d(3, 3, 1), nn.Sequential(nn.ReLU(), nn.ReLU()), Nothing()

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x) * self.conv.stride[0]
        y: Tensor = self.stage(x) * (1 - self.stage[-1].inplace)
        return y if self.aux(x) is None else -y


class Nothing(nn.Module):
    """Returns None."""

    def forward(self, x: Tensor) -> None:
        return None


REFUSED = [
    (
        {"at": "conv", "where": "replace", "start": "own"},
        "conv: with the block here, the network does not run on (1, 3, 14, 14): 'Block' object has no attribute 'stride'",
    ),
    (
        {"at": "stage"},
        "stage: the network reads 'inplace' of the last step of this module, which would be the block; "
        "insert the block at the module that contains stage",
    ),
    ({"at": "aux", "where": "replace"}, "aux: its output is not a single tensor; choose another module, such as one inside"),
    (
        {"at": ["stage", "stage.0"], "where": "replace", "start": "own"},
        "stage.0: is inside stage, which a block replaces; select one of them",
    ),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_places_of_which_the_network_reads_something(options: dict[str, Any], message: str) -> None:
    model = Reads()
    before = attributes(model)
    with pytest.raises(sf.ConfigError) as caught:
        sf.insert(model, {"gate": ["sigmoid"]}, input_size=SIZE, **options)
    assert str(caught.value) == message and changes(model, before) == []


def test_a_scripted_module_is_not_changed() -> None:
    with warnings.catch_warnings(action="ignore"):
        model = nn.Sequential(nn.Conv2d(3, 32, 1), torch.jit.script(nn.Sequential(nn.Conv2d(32, 32, 1))))
    before = attributes(model)
    message = "^1.0: is part of a scripted module, which cannot be changed; insert the block at that module$"
    with pytest.raises(sf.ConfigError, match=message):
        sf.insert(model, "senet", "1.0", input_size=SIZE)
    assert changes(model, before) == []
    sf.insert(model, "senet", "1", input_size=SIZE)
    assert [status.fault for status in sf.check(model, input_size=SIZE)] == [""]


def test_handles_of_hooks_of_the_module_and_of_the_place() -> None:
    model, calls = net(), list[str]()
    inner = model[0].register_forward_pre_hook(lambda *_: calls.append("module"))
    sf.insert(model, "senet", "0", input_size=SIZE)
    model[0].register_forward_pre_hook(lambda *_: calls.append("place"))
    sf.remove(model)
    model(images())
    assert calls == ["module", "place"]
    inner.remove()
    model(images())
    assert calls == ["module", "place", "place"]


@pytest.mark.parametrize("change", [lambda child: child.block, lambda child: sf.build("senet", 32).double()])
def test_a_block_that_was_exchanged(change: Any) -> None:
    model = net()
    sf.insert(model, "senet", "0", input_size=SIZE)
    model[0].inserted = change(model[0].inserted)
    assert "0.inserted.excite.0.0.weight" in model.state_dict() and sf.recipe(model)["place"][0]["where"] == "after"
    assert [status.fault for status in sf.check(model, input_size=SIZE)] == [""] and sf.remove(model) == ("0",)


def test_a_frozen_block_is_removed() -> None:
    model = net().float()
    sf.insert(model, "senet", "0", input_size=SIZE, start="own")
    model[0].inserted = sf.freeze(model[0].inserted)
    sf.remove(model)
    assert sf.check(model, input_size=SIZE) == ()


def test_a_step_of_the_users_own_that_is_named_as_a_block() -> None:
    model = nn.Sequential(nn.Conv2d(3, 32, 1), nn.Sequential())
    model[1].add_module("inserted", sf.build("senet", 32))
    sf.insert(model, "senet", "0", input_size=SIZE)
    assert [entry["at"] for entry in sf.recipe(model.state_dict())["place"]] == [["0"]]
