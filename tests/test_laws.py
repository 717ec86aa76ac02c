"""Laws that hold for every operator and every shipped config."""

import copy
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from subjects import CONFIGS, ESTIMATED, EXAMPLES, GRID, SUBJECTS, WIDTH, Subject
from torch import Tensor, nn
from torch.func import functional_call

import sefactory as sf
from sefactory.registry import find

COPIES: dict[str, Callable[[nn.Module], nn.Module]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda module: pickle.loads(pickle.dumps(module)),
}
LAW = pytest.mark.parametrize("name", SUBJECTS)


def run(subject: Subject, batch: int = 2, grid: tuple[int, int] = GRID) -> Tensor:
    with torch.no_grad():
        y: Tensor = subject.module(subject.input(batch, grid))
    return y


def test_no_operator_and_no_config_is_missing() -> None:
    shipped = [name for name in sf.operators() if find(name).make.__module__.startswith("sefactory.")]  # type: ignore[union-attr]
    assert sorted({name for name, _, _ in EXAMPLES}) == shipped
    assert list(CONFIGS) == sf.configs() and len(CONFIGS) >= 25


@LAW
def test_it_leaves_the_sizes_it_declares(name: str) -> None:
    subject = SUBJECTS[name]()
    for grid in subject.grids:
        for batch in (1, 3):
            y = run(subject, batch, grid)
            assert tuple(y.shape) == subject.output_shape(batch, grid) and y.isfinite().all()


@pytest.mark.parametrize("name", [name for name in SUBJECTS if name not in ESTIMATED])
def test_its_gradients_are_those_of_finite_differences(name: str) -> None:
    subject = SUBJECTS[name]()
    names = [key for key, _ in subject.module.named_parameters()]
    weights = [parameter.detach().clone().requires_grad_() for parameter in subject.module.parameters()]

    def function(x: Tensor, *values: Tensor) -> Tensor:
        y: Tensor = functional_call(subject.module, dict(zip(names, values, strict=True)), (x,))
        return y

    x = subject.input(2, GRID).requires_grad_()
    # ATen's hardsigmoid and hardswish take 1/6 in float32: 1e-4 leaves room for that
    assert torch.autograd.gradcheck(function, (x, *weights), fast_mode=True, atol=1e-4, rtol=1e-4)


@LAW
def test_every_parameter_takes_part(name: str) -> None:
    subject = SUBJECTS[name]()
    y = subject.module.train()(subject.input(3, GRID).requires_grad_())
    y.backward(torch.randn(y.shape, generator=torch.Generator().manual_seed(0), dtype=y.dtype))
    assert all(parameter.grad is not None for parameter in subject.module.parameters())


@LAW
def test_a_sample_does_not_see_its_batch_in_eval(name: str) -> None:
    subject = SUBJECTS[name]()
    x = subject.input(3, GRID)
    with torch.no_grad():
        torch.testing.assert_close(subject.module(x[1:2]), subject.module(x)[1:2], rtol=1e-10, atol=1e-10)


@LAW
def test_a_state_dict_goes_through_safetensors(name: str, tmp_path: Path) -> None:
    subject, other = SUBJECTS[name](), SUBJECTS[name]()
    for parameter in other.module.parameters():
        nn.init.zeros_(parameter)
    save_file(subject.module.state_dict(), tmp_path / "state.safetensors")
    other.module.load_state_dict(load_file(tmp_path / "state.safetensors"))
    assert torch.equal(run(subject), run(other))


@LAW
def test_a_state_dict_is_loadable_with_weights_only(name: str, tmp_path: Path) -> None:
    state = SUBJECTS[name]().module.state_dict()
    torch.save(state, tmp_path / "state.pt")
    loaded = torch.load(tmp_path / "state.pt", weights_only=True)
    assert list(loaded) == list(state) and all(torch.equal(loaded[key], state[key]) for key in state)


@LAW
@pytest.mark.parametrize("how", COPIES)
def test_a_copy_is_equal_and_its_own(name: str, how: str) -> None:
    subject = SUBJECTS[name]()
    before, twin = run(subject), COPIES[how](subject.module)
    x = subject.input(2, GRID)
    assert torch.equal(twin.eval()(x), before)
    for tensor in (*twin.parameters(), *twin.buffers()):
        tensor.data.zero_()
    twin.train()(x)
    assert torch.equal(run(subject), before)


@LAW
def test_autocast_to_bfloat16_is_close(name: str) -> None:
    subject = SUBJECTS[name]()
    module, x = subject.module.float(), subject.input(2, GRID, torch.float32)
    with torch.no_grad():
        exact = module(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = module(x)
    assert y.isfinite().all() and y.shape == exact.shape
    assert float((y.float() - exact).abs().mean()) <= 0.05 * float(exact.abs().mean())


@LAW
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_computes_in_the_dtype_of_its_input(name: str, dtype: torch.dtype) -> None:
    subject = SUBJECTS[name]()
    assert subject.module.to(dtype)(subject.input(2, GRID, dtype)).dtype == dtype


@LAW
def test_the_strides_of_its_input_make_no_difference(name: str) -> None:
    subject = SUBJECTS[name]()
    x = subject.input(2, GRID)
    channels_last = x.movedim(-3, -1).contiguous().movedim(-1, -3)
    with torch.no_grad():
        torch.testing.assert_close(subject.module(channels_last), subject.module(x), rtol=1e-10, atol=1e-10)


@LAW
def test_training_moves_the_statistics_of_norms_alone(name: str) -> None:
    subject = SUBJECTS[name]()
    before = {key: tensor.clone() for key, tensor in subject.module.state_dict().items()}
    x = subject.input(3, GRID)
    with torch.no_grad():
        subject.module(x)
        assert all(torch.equal(tensor, before[key]) for key, tensor in subject.module.state_dict().items())
        subject.module.train()(x)
    moved = {key for key, tensor in subject.module.state_dict().items() if not torch.equal(tensor, before[key])}
    tracked = re.compile(r"(^|\.)(running_mean|running_var|num_batches_tracked)$")
    assert moved == {key for key in before if tracked.search(key)}


# ---- Building -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONFIGS)
def test_building_is_reproducible(name: str) -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(sf.build(name, 2 * WIDTH).state_dict())
    assert all(torch.equal(tensor, states[1][key]) for key, tensor in states[0].items())


@pytest.mark.parametrize("name", CONFIGS)
def test_building_on_meta_allocates_nothing(name: str) -> None:
    with torch.device("meta"):
        block = sf.build(name, 2 * WIDTH)
    assert all(tensor.is_meta for tensor in (*block.parameters(), *block.buffers()))
    out = block.eval()(torch.empty(2, 2 * WIDTH, 8, 9, device="meta"))
    assert out.is_meta and tuple(out.shape) == (2, *block.sizes[1].at(2, {"H": 8, "W": 9})[2:])
    real = sf.build(name, 2 * WIDTH)
    assert {key: t.shape for key, t in block.state_dict().items()} == {key: t.shape for key, t in real.state_dict().items()}


def test_a_huge_block_is_refused_before_anything_is_allocated() -> None:
    with pytest.raises(sf.ConfigError, match="parameters"):
        sf.build([{"linear": {"out": 10**6}}, {"linear": {"out": 10**6}}], 4)
    with pytest.raises(sf.ConfigError, match="parameters"):
        sf.build([{"linear": {"out": 25_000}}, {"linear": {"out": 25_000}}, {"linear": {"out": 25_000}}], 4)


@pytest.mark.parametrize("config", [[{"linear": 0}], {"mlp": "C/64"}, ["mlp", "nothing"], [{"linear": 2}, {"softmax": "S"}]])
def test_a_refusal_leaves_the_generator_and_the_defaults_alone(config: Any) -> None:
    before = torch.get_rng_state(), torch.get_default_dtype(), torch.get_default_device()
    with pytest.raises(sf.ConfigError):
        sf.build(config, 8)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (torch.get_default_dtype(), torch.get_default_device()) == before[1:]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_block_is_built_in_the_default_dtype(dtype: torch.dtype) -> None:
    torch.set_default_dtype(dtype)
    try:
        block = sf.build("seaformer", 16)
    finally:
        torch.set_default_dtype(torch.float32)
    assert {tensor.dtype for tensor in block.parameters()} == {dtype}


def test_parts_are_the_nodes_from_the_root_down() -> None:
    parts = sf.build("senet", 32).parts
    assert [(part.path, part.operator) for part in parts] == [
        ("", "unit, multiply"),
        ("squeeze.0", "pool"),
        ("excite.0", "mlp"),
        ("gate.0", "sigmoid"),
    ]
