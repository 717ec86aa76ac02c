"""Networks with blocks: exported, compiled, pickled, copied, replicated, in bf16; and blocks in a replica of their own."""

import copy
import pickle
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim, export

import sefactory as sf
from tests.invariants.export_checks import third_party_warnings
from tests.networks.models import build_network, images, max_difference, outputs, set_alpha, step, tensors
from tests.networks.small_net import SIZE, net
from tests.networks.small_net import images as maps
from tests.sampling import sampled

replication = import_module("torch.nn.parallel.replicate")

# A network; what is selected; how the block is put there.
NETWORKS: list[Any] = [
    pytest.param("timm resnet", "layer*.*.bn2", {"where": "after"}, id="behind"),
    pytest.param("timm convnext", "stages.*.blocks.*", {"where": "before"}, id="before"),
    pytest.param("timm efficientnet", "SqueezeExcite", {"where": "replace"}, id="beside"),
    pytest.param("torchvision mobilenet", "SqueezeExcitation", {"where": "replace", "start": "own"}, id="in place"),
    pytest.param("yolo", "SplitStack", {"where": "after"}, id="routed"),
]
EACH = pytest.mark.parametrize(("name", "at", "options"), NETWORKS)


def placed(name: str, at: str, options: dict[str, Any]) -> nn.Module:
    """With coordinate attention that is mixed in by 0.3."""
    model = build_network(name)
    torch.manual_seed(3)
    sf.insert(model, "coordatt", at, **options, input_size=(3, 64, 64))
    set_alpha(model, 0.3)
    return model


@EACH
def test_a_copy_is_independent(name: str, at: str, options: dict[str, Any]) -> None:
    x, model = images(2), placed(name, at, options)
    before = outputs(model, x)
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert max_difference(outputs(again, x), before) == 0
        step(again, x)
        assert max_difference(outputs(again, x), before) > 1e-4
        assert max_difference(outputs(model, x), before) == 0  # the copy's hooks run the copy's blocks
        again.load_state_dict(build_network(name).state_dict(), strict=True)  # and its keys are read by its own


@pytest.mark.parametrize(("name", "at", "options"), sampled(NETWORKS, {"behind", "routed"}))
def test_it_is_exported(name: str, at: str, options: dict[str, Any]) -> None:
    model = placed(name, at, options)
    with third_party_warnings():
        program = export(model, (images(3),), dynamic_shapes=({0: Dim("B")},))
    x = images(2, seed=5)
    with torch.no_grad():
        assert max_difference(tensors(program.module()(x)), outputs(model, x)) <= 1e-5
    assert set(program.state_dict) == {name for name, _ in [*model.named_parameters(), *model.named_buffers()]}


@pytest.mark.parametrize(("name", "at", "options"), sampled(NETWORKS, {"before", "routed"}))
def test_it_runs_in_bf16(name: str, at: str, options: dict[str, Any]) -> None:
    x, model = images(2), placed(name, at, options)
    with torch.autocast("cpu", torch.bfloat16):
        found = outputs(model, x)
        loss = sum(y.float().square().mean() for y in tensors(model.train()(x)))
    assert isinstance(loss, Tensor)
    loss.backward()
    expected = outputs(model.eval(), x)
    assert all(y.dtype == torch.bfloat16 for y in found)
    scale = max(float(y.abs().max()) for y in expected)
    plain = astray(name, x)
    assert max_difference([y.float() for y in found], expected) <= max(0.05 * scale, 2 * plain)
    assert all(p.grad is not None and p.grad.isfinite().all() for key, p in model.named_parameters() if "inserted" in key)


def astray(name: str, x: Tensor) -> float:
    """How far bf16 takes the network itself, without blocks."""
    model = build_network(name)
    with torch.autocast("cpu", torch.bfloat16):
        found = outputs(model, x)
    return max_difference([y.float() for y in found], outputs(model, x))


BLOCKS = ["senet", "cbam", "coordatt", "triplet", "gcnet"]


@pytest.mark.parametrize("block", BLOCKS)
def test_it_is_compiled_in_one_graph(block: str) -> None:
    model = net().float()
    sf.insert(model, block, "0", input_size=SIZE)
    set_alpha(model, 0.3)
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    x = maps().float()
    assert max_difference(outputs(compiled, x), outputs(model, x)) <= 1e-6
    assert max_difference(outputs(compiled, x), outputs(net().float(), x)) > 0 or block == "gcnet"


def replicas(model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What DataParallel makes of a network, with the tensors of replica i moved by i instead of to a device i."""

    def moved(values: list[Tensor], devices: list[int], detach: bool = False) -> list[list[Tensor]]:
        return [[value + i if value.is_floating_point() else value.clone() for value in values] for i in devices]

    monkeypatch.setattr(replication, "_broadcast_coalesced_reshape", moved)
    monkeypatch.setattr(replication, "_get_device_index", lambda device, optional=False: device)
    found: list[Any] = replication.replicate(model, [0, 1])
    return found


def shifted(model: nn.Module) -> nn.Module:
    other = copy.deepcopy(model)
    with torch.no_grad():
        for value in [*other.parameters(), *other.buffers()]:
            if value.is_floating_point():
                value += 1
    return other


ROOTS: list[Any] = ["senet", "cbam", "danet", ["senet"], {"linear": {"out": "C", "bias": True}}, {"batch_norm": {}}, "simam"]


@pytest.mark.parametrize("config", ROOTS, ids=str)
def test_a_replica_of_a_block_has_its_own_weights(config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    block, x = sf.build(config, 32).eval(), torch.randn(2, 32, 7, 7)
    same, other = replicas(block, monkeypatch)
    torch.testing.assert_close(same(x), block(x))  # a replica runs its tree
    torch.testing.assert_close(other(x), shifted(block)(x))
    assert torch.allclose(other(x), block(x)) == (config == "simam")
    assert isinstance(other, sf.Block) and other.node is not block.node and not list(other.parameters())
    if config != "simam":  # gradients go back to the original
        assert all(grad.isfinite().all() for grad in torch.autograd.grad(same(x).sum(), list(block.parameters())))


def test_a_replica_that_shares_the_root_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(sf.Block, "_replicate_for_data_parallel")
    block, x = sf.build("senet", 32).eval(), torch.randn(2, 32, 7, 7)
    _, other = replicas(block, monkeypatch)
    assert torch.allclose(other(x), block(x))


@pytest.mark.parametrize("block", ["senet", "cbam", "gcnet", {"linear": {"out": "C"}}], ids=str)
@pytest.mark.parametrize("where", ["after", "before", "replace"])
def test_a_replica_of_a_network_runs_its_own_blocks(where: Any, block: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = net().insert(1, nn.BatchNorm2d(32).double()).eval(), maps()
    sf.insert(model, block, "1", where=where, input_size=SIZE)
    set_alpha(model, 0.3)
    same, other = replicas(model, monkeypatch)
    with torch.no_grad():
        assert max_difference([same(x)], [model(x)]) <= 1e-12  # a replica runs the trees of its blocks
        assert (
            max_difference([other(x)], [shifted(model)(x)]) <= 1e-9 * float(other(x).abs().max())
            and max_difference([other(x)], [model(x)]) > 1
        )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_quantisation_of_linear_layers_leaves_blocks_as_they_are() -> None:
    block = sf.build("sknet", 32)
    model = nn.Sequential(block, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 4)).eval()
    quantised = torch.ao.quantization.quantize_dynamic(model, {nn.Linear})
    assert type(quantised[3]) is not nn.Linear
    assert [type(module) for module in quantised[0].modules()] == [type(module) for module in block.modules()]
    x = torch.randn(2, 32, 8, 8)
    assert torch.equal(quantised[0](x), block(x))
