"""The block at its boundary: input checks, and a root node whose names it shares."""

import copy
import io
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.func import functional_call

import sefactory as sf

# ---- Input ----------------------------------------------------------------------------------------------------------

WRONG: list[tuple[Any, str]] = [
    (torch.zeros(2, 8, 5), "(2, 8, 5)"),
    (torch.zeros(2, 3, 8, 5, 5), "(2, 3, 8, 5, 5)"),
    (torch.zeros(2, 7, 5, 5), "(2, 7, 5, 5)"),
    (torch.zeros(()), "()"),
    (torch.zeros(2, 8, 5, 5, dtype=torch.float64), "float64"),
    (torch.zeros(2, 8, 5, 5, dtype=torch.long), "int64"),
    ([1.0], "list"),
    (None, "NoneType"),
]


@pytest.mark.parametrize(("x", "given"), WRONG)
def test_a_wrong_input_is_refused_with_what_was_expected(x: Any, given: str) -> None:
    with pytest.raises(sf.ConfigError) as error:
        sf.build("ecanet", 8)(x)
    assert str(error.value) == f"ecanet.yaml: expected an input (B, 8, H, W) of float32, got {given}"


@pytest.mark.parametrize("shape", [(2, 8, 6, 5), (2, 8, 5, 6)])
def test_a_wrong_grid_is_refused(shape: tuple[int, ...]) -> None:
    block = sf.build({"linear": {"mix": "HW"}}, 8, height=5, width=5)
    with pytest.raises(sf.ConfigError) as error:
        block(torch.zeros(shape))
    assert str(error.value) == f"block: expected an input (B, 8, 5, 5) of float32, got {shape}"


def test_one_axis_of_the_grid_may_be_fixed() -> None:
    block = sf.build({"gain": {"each": "H"}}, 8, height=5)
    assert block(torch.zeros(1, 8, 5, 33)).shape == (1, 8, 5, 33)
    with pytest.raises(sf.ConfigError, match=r"\(B, 8, 5, W\)"):
        block(torch.zeros(1, 8, 6, 33))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_a_block_without_weights_takes_any_floating_dtype(dtype: torch.dtype) -> None:
    assert sf.build("unit", 8)(torch.ones(1, 8, 2, 2, dtype=dtype)).dtype == dtype
    with pytest.raises(sf.ConfigError, match="of floating point, got int64"):
        sf.build("unit", 8)(torch.ones(1, 8, 2, 2, dtype=torch.long))


def test_the_expected_dtype_follows_the_block() -> None:
    block = sf.build("ecanet", 8).double()
    block(torch.zeros(1, 8, 2, 2, dtype=torch.float64))
    with pytest.raises(sf.ConfigError, match="of float64, got float32"):
        block(torch.zeros(1, 8, 2, 2))


def test_the_expected_dtype_is_not_that_of_a_module_that_was_exchanged() -> None:
    block = sf.build("senet", 32)
    setattr(block.get_submodule("excite.0"), "0", copy.deepcopy(block.get_submodule("excite.0.0")))
    assert block.double()(torch.zeros(1, 32, 2, 2, dtype=torch.float64)).dtype == torch.float64


def test_autocast_takes_another_dtype() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        sf.build("ecanet", 8)(torch.zeros(1, 8, 2, 2, dtype=torch.bfloat16))


# ---- Layout ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["senet", "sknet", "a2net"])  # the last two lay maps out anew on their way
def test_channels_last_in_is_channels_last_out(name: str) -> None:
    block = sf.build(name, 32).eval()
    x = torch.randn(2, 32, 5, 6, requires_grad=True)
    y = block(x.to(memory_format=torch.channels_last))
    assert y.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(y, block(x))
    assert block(x).is_contiguous()
    (gradient,) = torch.autograd.grad(y.square().sum(), [x])
    torch.testing.assert_close(gradient, torch.autograd.grad(block(x).square().sum(), [x])[0])


@pytest.mark.parametrize("lower", [True, False])
def test_channels_last_sequences(lower: bool) -> None:
    block, x = sf.build("sknet", 32, grid="W", lower=lower), torch.randn(2, 5, 32).movedim(2, 1)
    assert block(x).stride() == x.stride() and block(x.contiguous()).is_contiguous()


def test_channels_last_inside_of_vmap() -> None:
    block = sf.build("sknet", 32).eval()
    x = torch.randn(3, 2, 5, 6, 32).movedim(-1, 2)
    torch.testing.assert_close(torch.func.vmap(block)(x), torch.stack([block(part) for part in x]))


# ---- The root node: the block shares its dictionaries ----------------------------------------------------------------

X = torch.randn(4, 8, 5, 6, generator=torch.Generator().manual_seed(0))


def norm() -> sf.Block:
    """A batch norm at the root: weights, statistics and mode belong to the node itself."""
    return sf.build("batch_norm", 8)


def test_the_root_follows_train_and_eval() -> None:
    block = norm()
    block.eval()(X)
    assert block.num_batches_tracked == 0 and not block.node.training
    block.train()(X)
    assert block.num_batches_tracked == 1 and block.node.training
    model = nn.Sequential(block).eval()
    model(X)
    assert block.num_batches_tracked == 1 and not block.node.training


def test_the_statistics_of_the_root_are_those_of_torch() -> None:
    block, theirs = norm(), nn.BatchNorm2d(8)
    torch.testing.assert_close(block(X), theirs(X))
    for key, tensor in theirs.state_dict().items():
        torch.testing.assert_close(block.state_dict()[key], tensor)


def test_the_root_follows_its_block_to_another_dtype_and_device() -> None:
    block = norm().to(torch.float64)
    assert block(X.double()).dtype == torch.float64
    assert block.to("meta")(X.to("meta", torch.float64)).is_meta
    assert not block.to_empty(device="cpu").node.weight.is_meta


def loaded(block: sf.Block, state: dict[str, Tensor], **options: bool) -> Tensor:
    block.load_state_dict(state, **options)
    y: Tensor = block.eval()(X)
    return y


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("config", ["batch_norm", {"gain": {"each": "C", "bias": True}}, ["gain"], "senet"])
def test_the_root_follows_load_state_dict(config: Any, assign: bool) -> None:
    overrides = ["let.r=2"] if config == "senet" else []
    block, other = (sf.build(config, 8, overrides=overrides) for _ in range(2))
    state = {key: torch.rand(t.shape) + 0.5 if t.is_floating_point() else t for key, t in block.state_dict().items()}
    assert torch.equal(loaded(block, state, assign=assign), loaded(other, load(save(state))))
    assert all(torch.equal(t, state[key]) for key, t in block.state_dict().items())


def test_assigning_trains_the_assigned_weights() -> None:
    with torch.device("meta"):
        block = norm()
    block.load_state_dict(norm().state_dict(), assign=True)
    block(X).sum().backward()
    assert block.bias.grad is not None and block.num_batches_tracked == 1


def test_functional_call_reaches_the_root() -> None:
    block = norm().eval()
    y = functional_call(block, {"weight": torch.full((8,), 2.0), "bias": torch.ones(8)}, (X,))
    torch.testing.assert_close(y, 2 * X / (1 + 1e-5) ** 0.5 + 1)
    torch.testing.assert_close(block(X), X / (1 + 1e-5) ** 0.5)


def test_functional_statistics_do_not_touch_the_block() -> None:
    block = norm()
    state = {key: tensor.clone() for key, tensor in block.state_dict().items()}
    functional_call(block, state, (X,))
    assert state["num_batches_tracked"] == 1 and block.num_batches_tracked == 0
    assert state["running_mean"].any() and not block.running_mean.any()


def test_per_sample_gradients_of_a_root() -> None:
    block = sf.build({"linear": {"out": 3, "bias": True}}, 8)
    parameters = dict(block.named_parameters())

    def loss(values: dict[str, Tensor], x: Tensor) -> Tensor:
        y: Tensor = functional_call(block, values, (x[None],))
        return y.square().sum()

    grads = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(parameters, X)
    torch.testing.assert_close(grads["weight"].sum(0), torch.func.grad(lambda v: loss_sum(block, v))(parameters)["weight"])


def loss_sum(block: sf.Block, values: dict[str, Tensor]) -> Tensor:
    y: Tensor = functional_call(block, values, (X,))
    return y.square().sum()


def test_a_copy_of_the_root_is_its_own() -> None:
    block = norm()
    twin = copy.deepcopy(block)
    twin(X)
    assert twin.num_batches_tracked == 1 and block.num_batches_tracked == 0
    assert twin.node is not block.node and twin.node.weight is twin.weight


def test_a_whole_block_goes_through_torch_save() -> None:
    block, file = norm(), io.BytesIO()
    block(X)
    torch.save(block, file)
    file.seek(0)
    twin = torch.load(file, weights_only=False)
    assert torch.equal(twin.eval()(X), block.eval()(X))
    twin.train()(X)
    assert twin.num_batches_tracked == 2 and block.num_batches_tracked == 1


def test_a_replaced_child_is_used() -> None:
    block = sf.build(["tanh", "relu"], 8)
    setattr(block, "0", nn.Identity())
    assert torch.equal(block(X), X.relu())


def test_a_hook_of_the_block_is_called_once() -> None:
    calls: list[int] = []
    block = norm()
    block.register_forward_hook(lambda module, inputs, output: calls.append(output.dim()))
    block(X)
    assert calls == [4]


def test_every_module_and_parameter_is_listed_once() -> None:
    block = sf.build("seaformer", 32)
    assert len(list(block.parameters())) == len({id(p) for p in block.parameters()}) == len(dict(block.named_parameters()))
    assert block.node not in list(block.modules())


def test_an_optimizer_moves_the_root() -> None:
    block = norm()
    optimizer = torch.optim.SGD(block.parameters(), lr=1.0)
    block(X).sum().backward()
    optimizer.step()
    torch.testing.assert_close(block.bias.detach(), torch.full((8,), -float(X.numel() / 8)))
    assert block.node.bias is block.bias
