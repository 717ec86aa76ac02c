"""What tools do to the blocks of a network: at each kind of place a block is kept, or the tool fails.

python scripts/network_tools.py            runs all tools, and writes the table into docs/networks.md
python scripts/network_tools.py --check    exit code 1 if the table is out of date

The network is torchvision's resnet18 with random weights and batch statistics. A block is kept if the output after the tool is
that of the network with blocks, and not that of the network without blocks after the same tool.
"""

import copy
import io
import pickle
import sys
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from markdown_table import markdown_table
from torch import Tensor, nn
from torch.ao import quantization
from torch.ao.quantization import quantize_fx
from torch.nn.utils import parametrizations, prune
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.optim.swa_utils import AveragedModel, update_bn
from written_pages import write_or_check

import sefactory as sf
from sefactory.networks.adapter import ResidualAdapter
from sefactory.networks.zoos import import_torchvision

import_torchvision()
import timm  # noqa: E402
from torchvision.models import resnet18  # noqa: E402
from torchvision.models.feature_extraction import create_feature_extractor  # noqa: E402

PAGE = Path(__file__).parent.parent / "docs" / "networks.md"
START, END = "<!-- tools: written by scripts/network_tools.py -->\n", "<!-- end of tools -->\n"
SIZE = (3, 64, 64)
Tool = Callable[[nn.Module], Callable[[Tensor], Tensor]]
"""Changes a network, and returns what is then called."""
PLACES = {
    "norm": "layer*.*.bn2",
    "convolution": "layer*.*.conv2",
    "block": "BasicBlock",
    "stage": "layer3",
    "Sequential": "layer*.0.downsample",
}


@cache
def _plain() -> nn.Module:
    torch.manual_seed(0)
    model = resnet18().eval()
    for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.momentum = 1.0
    with torch.no_grad():
        model.train()(images(8))
    return model.eval()


def network(place: str | None) -> nn.Module:
    """The network with blocks at a kind of place; None for none."""
    model = copy.deepcopy(_plain())
    if place is not None:
        torch.manual_seed(1)
        sf.insert(model, "senet", PLACES[place], input_size=SIZE, overrides=["let.r=4"])
        for module in model.modules():
            if isinstance(module, ResidualAdapter):
                module.mix.data.fill_(0.8)
    return model.eval()


def images(batch: int = 2) -> Tensor:
    """Random images."""
    return torch.randn(batch, *SIZE, generator=torch.Generator().manual_seed(2))


# ---- Copies ----------------------------------------------------------------------------------------------------------


def save_and_load(model: nn.Module) -> nn.Module:
    """torch.save of the whole network."""
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    loaded: nn.Module = torch.load(buffer, weights_only=False)
    return loaded


def load_strictly(model: nn.Module) -> nn.Module:
    """A checkpoint of the network without blocks, and then one with them."""
    state = copy.deepcopy(model.state_dict())
    model.load_state_dict(_plain().state_dict(), strict=True)
    model.load_state_dict(state, strict=True)
    return model


# ---- Norms -----------------------------------------------------------------------------------------------------------


def sync(model: nn.Module) -> nn.Module:
    """torch's conversion to synchronised norms, which compute as others in eval mode."""
    converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    return converted


def estimate_norms(model: nn.Module) -> nn.Module:
    """New batch statistics by update_bn."""
    update_bn([images(8)], model)
    return model.eval()


# ---- Fusion ----------------------------------------------------------------------------------------------------------

BLOCKS = [f"layer{i}.{j}" for i in range(1, 5) for j in (0, 1)]
PAIRS = [("conv1", "bn1"), *((f"{block}.conv{k}", f"{block}.bn{k}") for block in BLOCKS for k in (1, 2))]


def fuse_pairs(model: nn.Module) -> nn.Module:
    """fuse_conv_bn_eval of each convolution and norm, as detectors do it in their own fuse()."""
    for conv, norm in PAIRS:
        fused = fuse_conv_bn_eval(model.get_submodule(conv), model.get_submodule(norm))
        model.set_submodule(conv, fused)
        model.set_submodule(norm, nn.Identity())
    return model


def fuse_modules(model: nn.Module) -> nn.Module:
    """torch.ao.quantization.fuse_modules of the same pairs."""
    fused: nn.Module = quantization.fuse_modules(model, [list(pair) for pair in PAIRS])
    return fused


def fuse_fx(model: nn.Module) -> nn.Module:
    """torch.fx.experimental.optimization.fuse."""
    from torch.fx.experimental.optimization import fuse

    return fuse(model)


# ---- Quantisation ----------------------------------------------------------------------------------------------------


def quantize_by_fx(model: nn.Module) -> nn.Module:
    """Static int8 quantisation of a traced network."""
    mapping = quantization.get_default_qconfig_mapping("x86")
    prepared = quantize_fx.prepare_fx(model, mapping, (images(),))
    prepared(images(8))
    return quantize_fx.convert_fx(prepared)


def quantize_dynamic(model: nn.Module) -> nn.Module:
    """Dynamic int8 quantisation of linear layers."""
    quantized: nn.Module = quantization.quantize_dynamic(model, {nn.Linear})
    return quantized


# ---- Capture ---------------------------------------------------------------------------------------------------------


def export(model: nn.Module) -> nn.Module:
    """torch.export."""
    return torch.export.export(model, (images(),)).module()


def compile_aot(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """torch.compile with AOT autograd, in one graph."""
    torch._dynamo.reset()
    compiled: Callable[[Tensor], Tensor] = torch.compile(model, backend="aot_eager", fullgraph=True)
    return compiled


def extract_features(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """torchvision's create_feature_extractor, at the last layer."""
    extractor = create_feature_extractor(model, {"fc": "y"})
    return lambda x: extractor(x)["y"]


def children_as_sequential(model: nn.Module) -> nn.Module:
    """nn.Sequential of the children, as backbones are cut off."""
    children = list(model.children())
    return nn.Sequential(*children[:-1], nn.Flatten(), children[-1])


# ---- Weights ---------------------------------------------------------------------------------------------------------


def convolutions(model: nn.Module) -> list[nn.Conv2d]:
    """All convolutions of the network."""
    return [module for module in model.modules() if isinstance(module, nn.Conv2d)]


def prune_convolutions(model: nn.Module) -> nn.Module:
    """torch.nn.utils.prune of no weight: the convolutions get a mask."""
    for conv in convolutions(model):
        prune.l1_unstructured(conv, "weight", amount=0)
    return model


def weight_norm(model: nn.Module) -> nn.Module:
    """parametrizations.weight_norm on all convolutions."""
    for conv in convolutions(model):
        parametrizations.weight_norm(conv)
    return model


def average(model: nn.Module) -> nn.Module:
    """torch.optim.swa_utils.AveragedModel after one update."""
    averaged = AveragedModel(model)
    averaged.update_parameters(model)
    return averaged.eval()


def functional(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """torch.func.functional_call with all parameters and buffers."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return lambda x: torch.func.functional_call(model, tensors, (x,))


def to_half_and_back(model: nn.Module) -> nn.Module:
    """bfloat16 and float32 again."""
    return model.bfloat16().float()


TOOLS: dict[str, Tool] = {
    "`copy.deepcopy`": copy.deepcopy,
    "`pickle`": lambda model: pickle.loads(pickle.dumps(model)),
    "`torch.save`": save_and_load,
    "`load_state_dict(strict=True)`": load_strictly,
    "`SyncBatchNorm.convert_sync_batchnorm`": sync,
    "timm `convert_sync_batchnorm`": lambda model: timm.layers.convert_sync_batchnorm(model),
    "timm `freeze_batch_norm_2d`": lambda model: timm.layers.freeze_batch_norm_2d(model),
    "timm `convert_splitbn_model`": lambda model: timm.layers.convert_splitbn_model(model, 2).eval(),
    "`swa_utils.update_bn`": estimate_norms,
    "`fuse_conv_bn_eval`": fuse_pairs,
    "`torch.ao` `fuse_modules`": fuse_modules,
    "`torch.fx` `fuse`": fuse_fx,
    "`prepare_fx`, `convert_fx`": quantize_by_fx,
    "`quantize_dynamic`": quantize_dynamic,
    "`torch.fx.symbolic_trace`": torch.fx.symbolic_trace,
    "torchvision `create_feature_extractor`": extract_features,
    "`torch.export`": export,
    "`torch.compile`": compile_aot,
    "`torch.jit.trace`": lambda model: torch.jit.trace(model, images()),
    "`torch.jit.script`": torch.jit.script,
    "`nn.Sequential(*model.children())`": children_as_sequential,
    "`prune`": prune_convolutions,
    "`parametrizations.weight_norm`": weight_norm,
    "`swa_utils.AveragedModel`": average,
    "timm `ModelEmaV3`": lambda model: timm.utils.ModelEmaV3(model).module.eval(),
    "`torch.func.functional_call`": functional,
    "`model.bfloat16().float()`": to_half_and_back,
}


def outcome(tool: str, place: str) -> tuple[str, str]:
    """("kept", ""), ("refused", message), or ("silent", what differs)."""
    x = images()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            changed = TOOLS[tool](network(place))(x)
        except Exception as error:  # a tool that fails aloud
            return "refused", f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        with_blocks, without = _reference(tool, place), TOOLS[tool](network(None))(x)
    distance, difference = float((changed - with_blocks).norm()), float((without - with_blocks).norm())
    return ("kept", "") if distance < 0.5 * difference else ("silent", f"{distance:.3g} of {difference:.3g}")


def _reference(tool: str, place: str) -> Tensor:
    """The output with blocks. After a tool that changes statistics or rounds weights, that of the modules it ran on."""
    model = network(place)
    if TOOLS[tool] in (estimate_norms, to_half_and_back):
        TOOLS[tool](model)
    y: Tensor = model(images())
    return y


def table() -> str:
    """The table of all tools and places. Raises ValueError for a block that is silently gone."""
    rows = []
    for tool in TOOLS:
        cells = []
        for place in PLACES:
            result, reason = outcome(tool, place)
            if result == "silent":
                raise ValueError(f"{tool} at {place}: the block is gone without an error ({reason})")
            cells.append(result)
            print(f"{tool:45} {place:12} {result:8} {reason[:150]}", file=sys.stderr)
        rows.append([tool, *cells])
    return "\n".join(markdown_table(["tool", *PLACES], rows)) + "\n"


def page() -> str:
    """docs/networks.md with the table."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(START)
    return f"{before}{START}\n{table()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    sys.exit(write_or_check({PAGE: page()}))
