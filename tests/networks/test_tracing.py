"""A trace changes nothing of the network, and takes examples of several forms."""

import random
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

import sefactory as sf
from sefactory.networks.attachment import INSERTED_PATHS
from sefactory.networks.tracing import trace
from tests.networks.attributes import attributes, changes
from tests.networks.caching import Caching
from tests.networks.models import outputs
from tests.networks.yolo_like import yolo_like

SIZE = (3, 16, 16)


def random_states() -> list[Any]:
    return [torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()]


@pytest.mark.parametrize("reads_values", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_nothing_differs_after_a_trace(reads_values: bool, training: bool) -> None:
    model = Caching(reads_values).train(training)
    model(torch.zeros(2, *SIZE))
    model.by_size["first"] = torch.ones(1)
    before, states = attributes(model), random_states()
    assert len(before) > 150
    assert set(trace(model, torch.zeros(1, *SIZE))) == {"", "conv", "norm"}
    assert changes(model, before) == []
    assert random_states() == states


REFUSED = [
    ("conv.none", SIZE, "the network has no module of this path"),
    ("norm", SIZE, "hidden is C/r = 0.162, which rounds down to 0"),
    ("conv", (4, 8, 8), "the network does not run on"),
]


@pytest.mark.parametrize("reads_values", [False, True])
def test_nothing_differs_after_a_refusal(reads_values: bool) -> None:
    model = Caching(reads_values)
    before = attributes(model)
    for at, size, message in REFUSED:
        with pytest.raises(sf.ConfigError, match=message):
            sf.insert(model, "senet", at, input_size=size, overrides=["let.r=99"])
        assert changes(model, before) == []


def test_the_comparison_notices_each_change() -> None:
    model = Caching(False).eval()
    model.hidden[0].eval()
    before = attributes(model)
    model(torch.zeros(2, *SIZE))
    names = "table calls _buffers['runs'] scale maps[0] maps[1] by_size by_size['nested']['deep'][1] ordered seen late array"
    names += " cache.tables[0] cache.size slotted.table generator hidden[0].training"
    assert {f"model.{name}" for name in names.split()} <= set(changes(model, before))


def test_an_insertion_changes_the_places_alone() -> None:
    model = yolo_like().train()
    before = attributes(model)
    sf.insert(model, "cbam", "4.cv2.bn", input_size=(3, 64, 64))
    names = ("[4]", "['4']", INSERTED_PATHS, "_state_dict_hooks")  # the last one adds the recipe to the state dict
    assert all(any(name in path for name in names) for path in changes(model, before))
    assert all(not y.is_meta for y in outputs(model, torch.zeros(1, 3, 64, 64)))


def recorded(seen: list[Any], *_: Any) -> None:
    seen.append(_)


@pytest.mark.parametrize("reads_values", [False, True])
def test_hooks_of_the_user_do_not_run(reads_values: bool) -> None:
    model, seen = Caching(reads_values), list[Any]()
    hook: Callable[..., None] = partial(recorded, seen)
    for module in (model, model.conv, model.hidden[0]):
        module.register_forward_hook(hook, always_call=True)
        module.register_forward_pre_hook(hook, prepend=True)
        module.register_full_backward_hook(hook)
        module.register_full_backward_pre_hook(hook)
    with register_module_forward_hook(hook), register_module_forward_pre_hook(hook):
        before = attributes(model)
        trace(model, torch.zeros(1, *SIZE))
        with pytest.raises(sf.ConfigError, match=r"the network does not run on \(1, 4, 8, 8\)"):
            trace(model, torch.zeros(1, 4, 8, 8))
        assert not seen and changes(model, before) == []
        model.conv(torch.zeros(1, *SIZE))
        assert seen
        count = len(seen)
        nn.Identity()(torch.zeros(1))
        assert len(seen) == count + 2


def pruned(conv: nn.Conv2d) -> nn.Module:
    prune.l1_unstructured(conv, "weight", 0.5)
    return conv


class Halved(prune.RandomUnstructured):
    """A pruning method of the user's, which computes a weight as torch's do."""


def halved(conv: nn.Conv2d) -> nn.Module:
    Halved.apply(conv, "weight", 0.5)
    return conv


def old_weight_norm(conv: nn.Conv2d) -> nn.Module:
    with pytest.warns(FutureWarning, match="weight_norm"):
        return weight_norm(conv)


WEIGHTS: dict[str, Callable[[nn.Conv2d], nn.Module]] = {
    "weight_norm": old_weight_norm,
    "spectral_norm": spectral_norm,
    "pruning": pruned,
    "pruning of a derived class": halved,
    "parametrized weight_norm": parametrizations.weight_norm,
    "parametrized spectral_norm": parametrizations.spectral_norm,
    "parametrized orthogonal": parametrizations.orthogonal,
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_that_torch_computes_are_traced(name: str) -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 1), WEIGHTS[name](nn.Conv2d(8, 32, 3, padding=1)), nn.BatchNorm2d(32))
    before = attributes(model)
    (call,) = trace(model, torch.zeros(1, *SIZE))["1"]
    assert call.input_shape == (1, 8, 16, 16) and call.output_shape == (1, 32, 16, 16)
    assert changes(model, before) == []


class Collecting(nn.Module):
    """Returns what its own hook collects, as timm's FeatureHookNet does."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.found = nn.Conv2d(3, 8, 1), dict[str, Tensor]()
        self.conv.register_forward_hook(partial(self.collect, "conv"))

    def collect(self, name: str, module: nn.Module, args: Any, output: Tensor) -> None:
        self.found[name] = output

    def forward(self, x: Tensor) -> Tensor:
        self.conv(x)
        return self.found.pop("conv")


def test_hooks_of_the_network_run_if_it_needs_them() -> None:
    model = Collecting()
    model.conv.register_forward_hook(partial(recorded, seen := list[Any]()))
    before = attributes(model)
    assert trace(model, torch.zeros(1, *SIZE))[""][0].output_shape == (1, 8, 16, 16)
    assert not seen and changes(model, before) == []


def test_a_compiled_module_is_not_compiled_for_the_trace() -> None:
    compiled = list[Any]()
    model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU())
    model[0].compile(backend=lambda graph, _: compiled.append(graph) or graph)
    assert set(trace(model, torch.zeros(1, *SIZE))) == {"", "0", "1"}
    assert not compiled


@pytest.mark.parametrize("reads_values", [False, True])
def test_the_layers_of_a_transformer_are_traced(reads_values: bool) -> None:
    layers = [nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), *([Reading()] if reads_values else [])]
    calls = trace(nn.Sequential(*layers), torch.zeros(1, 4, 8))
    assert {"0", "0.self_attn", "0.norm1", "0.linear1", "0.linear2"} <= set(calls)


class Reading(nn.Module):
    """Cannot run on the meta device."""

    def forward(self, x: Tensor) -> Tensor:
        return x * float(x.sum())


class Scripted(nn.Module):
    """Is in training mode as long as nobody changes it."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x, 0.5, self.training)


def test_a_scripted_module_keeps_its_mode() -> None:
    with warnings.catch_warnings(action="ignore"):
        scripted = torch.jit.script(Scripted())
    model = nn.Sequential(nn.Conv2d(3, 8, 1), scripted)
    before = attributes(model)
    assert set(trace(model, torch.zeros(1, *SIZE))) == {"", "0", "1"}
    assert scripted.training and changes(model, before) == []
    sf.insert(model, "senet", "0", input_size=(3, 8, 8), overrides=["let.r=2"])
    assert [status.fault for status in sf.check(model, input_size=(3, 8, 8))] == [""] and sf.remove(model) == ("0",)


def test_parameters_without_a_shape_are_refused() -> None:
    with warnings.catch_warnings(action="ignore"):
        model = nn.Sequential(nn.LazyConv2d(8, 1), nn.ReLU())
    with pytest.raises(sf.ConfigError) as caught:
        sf.insert(model, "senet", "1", input_size=SIZE)
    message = "0: weight of LazyConv2d has no shape yet; run the network once before blocks are inserted"
    assert str(caught.value) == message and model[0].has_uninitialized_params()


def test_a_network_is_restored_after_an_interrupt() -> None:
    class Interrupted(Caching):
        def forward(self, x: Tensor) -> Tensor:
            super().forward(x)
            raise KeyboardInterrupt

    model = Interrupted(False)
    before = attributes(model)
    with pytest.raises(KeyboardInterrupt):
        trace(model, torch.zeros(1, *SIZE))
    assert changes(model, before) == []
