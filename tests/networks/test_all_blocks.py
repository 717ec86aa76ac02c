"""Every shipped block that keeps its shape, behind a convolution: it starts as an identity, and learns all that it can."""

import pytest
import torch
from torch import nn

import sefactory as sf
from tests.networks.models import max_difference, outputs, step, tensors
from tests.networks.small_net import SIDE, SIZE, WIDTH, images, net

# Outputs of other widths than the inputs.
CHANGING = {"bisenet_arm": (1, 16, SIDE, SIDE), "danet": (1, 8, SIDE, SIDE), "danet_head": (1, 57, SIDE, SIDE)}
KEEPING = [name for name in sf.configs() if name not in CHANGING]

# By algebra these terms have no gradient, however long one trains.
BEFORE_NORM = "the batch norm behind it subtracts every constant"
BEFORE_SOFTMAX = "a softmax over positions is the same with a constant added to all of them"
SILENT = {
    "bam": {
        "excite.0.parallel.channel.1.bias": BEFORE_NORM,
        "excite.0.parallel.spatial.0.bias": BEFORE_NORM,
        "excite.0.parallel.spatial.3.bias": BEFORE_NORM,
        "excite.0.parallel.spatial.6.bias": BEFORE_NORM,
    },
    "caa": {"excite.2.bias": BEFORE_NORM},
    "coordatt": {"excite.0.shared.0.bias": BEFORE_NORM},
    "external": {"series.query.0.bias": BEFORE_SOFTMAX},
    "gam": {"series.spatial.excite.0.bias": BEFORE_NORM, "series.spatial.excite.3.bias": BEFORE_NORM},
    "gcnet": {"squeeze.0.bias": BEFORE_SOFTMAX},
    "gcnet_mul_add": {"squeeze.0.bias": BEFORE_SOFTMAX},
    "gcnet_timm": {"squeeze.0.bias": BEFORE_SOFTMAX},
    "nonlocal": {"excite.2.bias": BEFORE_NORM},
    "parnet": {
        "series.branches.parallel.point.0.bias": BEFORE_NORM,
        "series.branches.parallel.window.0.bias": BEFORE_NORM,
    },
    "polarized": {"parallel.channel.excite.0.parallel.query.0.bias": BEFORE_SOFTMAX},
    "resnest": {"series.attend.excite.0.bias": BEFORE_NORM},
    "sknet_linear": {"series.split.parallel.k3.0.bias": BEFORE_NORM, "series.split.parallel.k5.0.bias": BEFORE_NORM},
}
# Residual blocks with a zero start are left alone; those need no mix.
UNMIXED = {"cam", "pam", "gcnet", "nonlocal", "gated_channel", "grn", "nafnet"}


def lit(model: nn.Module) -> None:
    """A bottleneck of one or two relu units is off for all samples by chance; here none is."""
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if key.endswith("excite.0.0.bias") and parameter.numel() <= 2:
                parameter += 1


@pytest.mark.parametrize("name", KEEPING)
def test_it_starts_as_an_identity_and_learns(name: str) -> None:
    x, model = images(), net()
    before = outputs(model, x)
    torch.manual_seed(3)
    report = sf.insert(model, name, "0", input_size=SIZE)
    assert ("0.inserted.mix" in report.new) == (name not in UNMIXED)
    assert max_difference(outputs(model, x), before) <= 1e-6
    assert max_difference(tensors(model.train()(x)), before) <= 1e-6

    lit(model)
    seen = [step(model, x, rate=0.5) for _ in range(2)]
    prefix = "0.inserted." if name in UNMIXED else "0.inserted.block."
    silent = {prefix + key for key in SILENT.get(name, {})}
    assert silent <= set(report.new)
    for key in (key for key in report.new if key in seen[0]):
        largest = max(found[key] for found in seen)
        assert largest < 1e-15 if key in silent else largest > 1e-9, key
    learned = max_difference(outputs(model, x), before)
    assert learned > 1e-6 if seen[0].keys() & set(report.new) else learned > 0


@pytest.mark.parametrize("name", CHANGING)
def test_a_block_that_changes_the_shape_is_rejected(name: str) -> None:
    model = net()
    with pytest.raises(sf.ConfigError) as caught:
        sf.insert(model, name, "0", input_size=SIZE)
    text = f"0: {name}.yaml maps (1, 32, 14, 14) to {CHANGING[name]}, but the network needs (1, 32, 14, 14) here"
    assert str(caught.value) == text


def test_two_zero_factors_in_a_row_do_not_learn() -> None:
    """Why a block that starts with zeros behind its gate gets other weights where it is mixed in."""
    model = net()
    sf.insert(model, "seaformer", "0", input_size=SIZE)
    block = model[0].inserted.block
    key = "series.attend.parallel.axial.3.weight"
    assert block.state_dict()[key].any() and not sf.build("seaformer", WIDTH).state_dict()[key].any()
    block.get_parameter(key).data.zero_()
    row = "0.inserted.block.series.attend.parallel.axial.0.parallel.row.1.position"
    assert step(model, images(), rate=0.5)[row] == 0


@pytest.mark.parametrize("where", ["before", "replace"])
@pytest.mark.parametrize("name", ["cbam", "coordatt", "gcnet", "simam"])
def test_a_block_before_or_replacing_a_module_learns(name: str, where: str) -> None:
    x, model = images(), net().insert(1, nn.ReLU())
    before = outputs(model, x)
    torch.manual_seed(3)
    report = sf.insert(model, name, "1", where=where, input_size=SIZE)
    assert max_difference(outputs(model, x), before) <= 1e-6 and max_difference(tensors(model.train()(x)), before) <= 1e-6
    lit(model)
    seen = [step(model, x, rate=0.5) for _ in range(2)]
    assert report.new
    for key in (key for key in report.new if key in seen[0] and not key.endswith(tuple(SILENT.get(name, ["none"])))):
        assert max(found[key] for found in seen) > 1e-9, key
