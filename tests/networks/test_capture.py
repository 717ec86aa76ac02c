"""torch.fx records a block as one module, torch.jit.trace its module tree; torch.jit.script is refused."""

import copy
import io
import pickle
from typing import Any

import onnxruntime
import pytest
import torch
from torch import Tensor, fx, nn
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import convert_fx, fuse_fx, prepare_fx
from torchvision.models import resnet18
from torchvision.models.feature_extraction import create_feature_extractor

import sefactory as sf
from tests.invariants.cases import SPECTRAL
from tests.invariants.export_checks import third_party_warnings
from tests.sampling import SEVEN_PAPERS, sampled

with third_party_warnings():
    from torch.fx.experimental.optimization import fuse

CHANNELS = 64
CONVS = {"W": nn.Conv1d, "HW": nn.Conv2d, "DHW": nn.Conv3d}
NORMS = {"W": nn.BatchNorm1d, "HW": nn.BatchNorm2d, "DHW": nn.BatchNorm3d}


def network(config: Any = "cbam", grid: str = "HW", lower: bool = True) -> nn.Sequential:
    """A block (module 2) between two pairs of a convolution and a norm."""
    torch.manual_seed(0)
    conv, norm = CONVS[grid], NORMS[grid]
    block = sf.build(config, CHANNELS, grid=grid, lower=lower)
    return nn.Sequential(
        conv(3, CHANNELS, 3), norm(CHANNELS), block, nn.ReLU(), conv(block.sizes[1].number("C"), 8, 1), norm(8)
    )


def images(grid: str = "HW") -> Tensor:
    return torch.randn(2, 3, *[10] * len(grid), generator=torch.Generator().manual_seed(0))


def has_block(model: nn.Module) -> bool:
    return any(isinstance(module, sf.Block) for module in model.modules())


def message(call: Any) -> str:
    with pytest.raises(sf.ConfigError) as caught:
        call()
    return str(caught.value)


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize(
    ("config", "grid"), [*((name, "HW") for name in SEVEN_PAPERS), ("simam", "HW"), ("senet", "W"), ("cbam", "DHW")]
)
def test_fx_records_a_block_as_one_module(config: str, grid: str, lower: bool) -> None:
    model, x = network(config, grid, lower).eval(), images(grid)
    traced = fx.symbolic_trace(model)
    calls = [(node.op, node.target) for node in traced.graph.nodes]
    assert calls[1:-1] == [("call_module", str(i)) for i in range(6)]
    assert traced.get_submodule("2") is model[2] and list(traced.state_dict()) == list(model.state_dict())
    for twin in (traced, copy.deepcopy(traced), pickle.loads(pickle.dumps(traced))):
        assert torch.equal(twin(x), model(x))
    traced.train()(x).sum().backward()
    assert model[2].training and all(parameter.grad is not None for parameter in model.parameters())


def test_fx_records_each_call_of_a_block() -> None:
    block = sf.build("senet", CHANNELS)
    traced = fx.symbolic_trace(nn.Sequential(block, nn.Sequential(block), nn.Sequential(sf.build("cbam", CHANNELS))))
    assert [node.target for node in traced.graph.nodes][1:-1] == ["0", "0", "2.0"]


@pytest.mark.filterwarnings("ignore")  # torch.ao is deprecated in several ways
def test_fx_fuses_and_quantises_around_a_block() -> None:
    model, x = network().eval(), images()
    for fused in (fuse(model), fuse_fx(copy.deepcopy(model))):
        assert has_block(fused) and not any(type(module) is nn.BatchNorm2d for module in fused.modules())
        torch.testing.assert_close(fused(x), model(x))
    prepared = prepare_fx(copy.deepcopy(model), get_default_qconfig_mapping(), (x,))
    prepared(x)
    quantised = convert_fx(prepared)
    assert has_block(prepared) and has_block(quantised) and type(quantised.get_submodule("0")) is not nn.Conv2d
    with torch.no_grad():
        assert float((quantised(x) - model(x)).abs().max()) <= 0.1 * float(model(x).abs().max())


def test_torchvision_extracts_features_of_a_block() -> None:
    model, x = resnet18().eval(), torch.randn(2, 3, 64, 64)
    report = sf.insert(model, "cbam", "layer3", start="own", example=x)
    assert len(report.places) == 1
    features = create_feature_extractor(model, ["layer3.inserted", "layer4.0.relu"])
    found = features(x)
    assert has_block(features) and found["layer3.inserted"].shape == (2, 256, 4, 4)
    before = model.layer3[:2](model.layer2(model.layer1(model.maxpool(model.relu(model.bn1(model.conv1(x)))))))
    torch.testing.assert_close(found["layer3.inserted"], model.layer3.inserted(before))


def test_fx_refuses_a_block_as_the_root() -> None:
    assert message(lambda: fx.symbolic_trace(sf.build("cbam", CHANNELS))) == (
        "cbam.yaml: torch.fx records a block as one module, so it cannot be the root; "
        "trace a network that holds it, such as nn.Sequential(block)"
    )


def test_fx_refuses_a_block_whose_hooks_would_run_twice() -> None:
    model = network().eval()
    handle = model[2].register_forward_hook(lambda module, args, output: 2 * output)
    assert message(lambda: fx.symbolic_trace(model)) == (
        "cbam.yaml at 2: has hooks, which torch.fx would record and run again; "
        "remove them, or use a Tracer whose is_leaf_module is True for sefactory.Block"
    )
    features = create_feature_extractor(model, ["3"], tracer_kwargs={"leaf_modules": [sf.Block]})
    torch.testing.assert_close(features(images())["3"], model[:4](images()))
    handle.remove()
    torch.testing.assert_close(fx.symbolic_trace(model)(images()), model(images()))


def test_script_is_refused_and_changes_nothing() -> None:
    model = network().eval()
    modules, y = list(model.modules()), model(images())
    with pytest.warns((DeprecationWarning, FutureWarning), match="`torch.jit.script` is deprecated"):
        found = message(lambda: torch.jit.script(model))
    cure = "use torch.export.export, or torch.jit.trace with an example input"
    assert found == f"cbam.yaml: torch.jit.script cannot compile a block; {cure}"
    assert list(model.modules()) == modules and torch.equal(model(images()), y)


OTHER_GRIDS = [(name, grid) for grid in ("W", "DHW") for name in sf.configs() if name not in SPECTRAL]


@pytest.mark.parametrize(("config", "grid"), sampled(OTHER_GRIDS, {("senet", "W"), ("cbam", "DHW"), ("coordatt", "DHW")}))
def test_a_trace_on_another_grid_runs_at_other_sizes(config: str, grid: str) -> None:
    """Also in onnxruntime, by the exporter that uses such a trace."""
    block, x = sf.build(config, CHANNELS, grid=grid).eval(), torch.randn(2, CHANNELS, *[8] * len(grid))
    file, axes = io.BytesIO(), {"x": {0: "B"} | {2 + i: axis for i, axis in enumerate(grid)}}
    with third_party_warnings():
        traced = torch.jit.trace(block, x)
        torch.onnx.export(block, (x,), file, dynamo=False, input_names=["x"], dynamic_axes=axes)
    session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    for size in ((12, 8, 16), (9, 7, 5)):
        x = torch.randn(3, CHANNELS, *size[: len(grid)])
        with torch.no_grad():
            wanted = block(x)
        torch.testing.assert_close(traced(x), wanted, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(torch.from_numpy(session.run(None, {"x": x.numpy()})[0]), wanted, rtol=1e-4, atol=1e-4)


def test_a_trace_of_a_block_is_that_of_its_tree() -> None:
    x, graphs = torch.randn(2, CHANNELS, 7, 7), list[list[str]]()
    for lower in (True, False):
        with third_party_warnings():
            traced = torch.jit.trace(sf.build("coordatt", CHANNELS, lower=lower).eval(), x)
        graphs.append([node.kind() for node in traced.inlined_graph.nodes()])
    assert graphs[0] == graphs[1]


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning:torch.nn.functional")  # as of any norm in training
def test_a_trace_of_a_frozen_block_and_of_training() -> None:
    block, x = sf.build("cbam", CHANNELS).eval(), torch.randn(2, CHANNELS, 7, 7)
    with third_party_warnings():
        frozen, trained = torch.jit.trace(sf.freeze(block), x), torch.jit.trace(copy.deepcopy(block).train(), x)
    torch.testing.assert_close(frozen(x[:1]), block(x[:1]))
    y = trained(x)
    torch.testing.assert_close(y, copy.deepcopy(block).train()(x))
    y.sum().backward()
    assert all(parameter.grad is not None for parameter in trained.parameters())


@pytest.mark.parametrize("x", [torch.zeros(2, 3, 5, 5), torch.zeros(2, CHANNELS, 5), torch.zeros(2, CHANNELS, 5, 5).double()])
def test_a_trace_of_a_wrong_input_is_refused(x: Tensor) -> None:
    block = sf.build("senet", CHANNELS)
    with third_party_warnings():
        found = message(lambda: torch.jit.trace(block, x))
    assert found == message(lambda: block(x))
    block(torch.zeros(2, CHANNELS, 5, 5))  # tracing has ended
