"""Networks with blocks keep them at other sizes than that of a trace, and in averages that move.

scripts/network_tools.py has more tools, at one size.
"""

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import onnx
import onnxruntime
import pytest
import torch
from timm.utils import ModelEmaV3
from torch import Tensor, fx, nn
from torch.ao.quantization.quantize_fx import fuse_fx
from torch.export import Dim
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.models.resnet import BasicBlock, ResNet

import sefactory as sf
from tests.invariants.export_checks import third_party_warnings
from tests.networks.models import set_alpha
from tests.sampling import sampled

PLACES: dict[str, tuple[Any, int]] = {
    "norm": ("layer*.*.bn2", 4),
    "convolution": ("layer[34].*.conv2", 2),
    "block": ("BasicBlock", 4),
    "stage": ("stage:-1", 1),
    "Sequential": ("layer2", 1),
}
"""A pattern of each kind of place, and the number of places."""


def plain_network() -> nn.Module:
    return ResNet(BasicBlock, [1, 1, 1, 1], num_classes=10).eval()


def network(place: str, where: Any = "after") -> nn.Module:
    """A ResNet in which coordinate attention is mixed in by 0.3."""
    torch.manual_seed(0)
    model = plain_network()
    at, count = PLACES[place]
    assert len(sf.insert(model, "coordatt", at, where=where, input_size=(3, 64, 64)).places) == count
    set_alpha(model, 0.3)
    return model


def images(batch: int = 2, side: int = 64) -> Tensor:
    return torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(batch))


def blocks(model: nn.Module) -> int:
    return sum(isinstance(module, sf.Block) for module in model.modules())


def traced_by_fx(model: nn.Module) -> Callable[..., Any]:
    traced = fx.symbolic_trace(model)
    again = pickle.loads(pickle.dumps(copy.deepcopy(traced)))
    assert blocks(again) == blocks(traced) == blocks(model)
    return again


def fused_for_quantisation(model: nn.Module) -> Callable[..., Any]:
    made = fuse_fx(copy.deepcopy(model))
    assert blocks(made) == blocks(model)
    return made


def exported(model: nn.Module) -> Callable[..., Any]:
    program = torch.export.export(model, (images(3),), dynamic_shapes=({0: Dim("B"), 2: Dim.AUTO, 3: Dim.AUTO},))
    names = {name for name, _ in (*model.named_parameters(), *model.named_buffers())}
    assert set(program.state_dict) == names
    return program.module()


def traced_by_jit(model: nn.Module) -> Callable[..., Any]:
    return torch.jit.trace(model, images(3))


def in_onnxruntime(model: nn.Module) -> Callable[..., Any]:
    file, axes = io.BytesIO(), {"x": {0: "B", 2: "H", 3: "W"}}
    torch.onnx.export(model, (images(3),), file, dynamo=False, input_names=["x"], dynamic_axes=axes)
    onnx.checker.check_model(onnx.load_from_string(file.getvalue()), full_check=True)
    session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(session.run(None, {"x": x.numpy()})[0])


def averaged(model: nn.Module) -> Callable[..., Any]:
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.5), use_buffers=True)
    average.update_parameters(model)
    return average


def averaged_by_timm(model: nn.Module) -> Callable[..., Any]:
    average = ModelEmaV3(model, decay=0.5)
    average.update(model)
    return average


TOOLS = [fused_for_quantisation, exported, traced_by_jit, in_onnxruntime]
CASES = [(place, tool) for place in PLACES for tool in TOOLS]
IN_SAMPLE = {("block", fused_for_quantisation), ("stage", traced_by_jit), ("norm", in_onnxruntime)}


@pytest.mark.parametrize(("place", "tool"), sampled(CASES, IN_SAMPLE))
def test_a_tool_keeps_the_blocks_at_other_sizes(place: str, tool: Callable[[nn.Module], Callable[..., Any]]) -> None:
    model = network(place)
    with third_party_warnings():
        made = tool(model)
    with torch.no_grad():
        for x in (images(), images(1, 96)):
            torch.testing.assert_close(made(x), model(x), rtol=1e-4, atol=1e-4)
        assert not torch.allclose(model(images()), without_blocks(model)(images()), atol=1e-4)


def without_blocks(model: nn.Module) -> nn.Module:
    """The network without its blocks: what a tool that drops them would make."""
    plain = plain_network()
    keys = plain.state_dict().keys()
    plain.load_state_dict({key: tensor for key, tensor in model.state_dict().items() if key in keys})
    return plain


@pytest.mark.parametrize("where", ["before", "replace"])
@pytest.mark.parametrize("tool", [traced_by_fx, traced_by_jit], ids=lambda tool: tool.__name__)
def test_a_trace_keeps_blocks_before_and_beside_a_module(where: str, tool: Callable[[nn.Module], Callable[..., Any]]) -> None:
    model = network("norm", where)
    with third_party_warnings():
        made = tool(model)
    torch.testing.assert_close(made(images()), model(images()), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("tool", [averaged, averaged_by_timm], ids=lambda tool: tool.__name__)
def test_an_average_moves_the_weights_of_blocks(tool: Callable[[nn.Module], Any]) -> None:
    model = network("norm")
    average = tool(model)
    inner, key = average.module, "layer1.0.bn2.inserted.mix"
    assert list(inner.state_dict()) == list(model.state_dict())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 1
    average.update_parameters(model) if tool is averaged else average.update(model)
    torch.testing.assert_close(inner.state_dict()[key], model.state_dict()[key] - 0.5)


def test_features_of_a_place_have_the_block() -> None:
    model, x = network("norm"), images()
    found = create_feature_extractor(model, ["layer1.0.bn2"])(x)["layer1.0.bn2"]
    seen = list[Tensor]()
    model.get_submodule("layer1.0.bn2").register_forward_hook(lambda module, args, y: seen.append(y.clone()))
    model(x)
    torch.testing.assert_close(found, seen[0])
