"""Shapes of common functions on the meta device are those that torch computes, and wrong inputs are errors still."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from sefactory.bench.meta_shapes import ACTIVATIONS, ARITHMETIC, MEANS, MetaShapes
from tests.op_recorder import OpRecorder

INPUTS = {
    "map": torch.empty(2, 8, 5, 7),
    "channels last": torch.empty(2, 8, 5, 7).to(memory_format=torch.channels_last),
    "transposed": torch.empty(2, 5, 8).transpose(1, 2),
    "half": torch.empty(2, 8, dtype=torch.float16),
    "integers": torch.zeros(2, 8, dtype=torch.int64),
    "scalar": torch.empty(()),
}
OPERANDS = [
    torch.empty(8, 1, 1),
    torch.empty(2, 8, 5, 7),
    torch.empty(3, 1, 1, 1, 1),
    torch.empty(9),
    torch.empty(2, 8, 1),
    2,
    0.5,
]


def qualified_name(function: Callable[..., Any]) -> str:
    return function.__qualname__


def described(call: Callable[..., Any], args: tuple[Any, ...], short: bool, **options: Any) -> Any:
    """The shape, dtype and strides of the result, or the kind of the error."""
    args = tuple(x.to("meta") if isinstance(x, Tensor) else x for x in args)
    try:
        with MetaShapes() if short else nullcontext():
            y = call(*args, **options)
    except Exception as error:
        return type(error)
    return y.shape, y.dtype, y.stride(), y.device


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("function", sorted(ACTIVATIONS, key=qualified_name), ids=qualified_name)
def test_activations(function: Callable[..., Any], name: str) -> None:
    args = (INPUTS[name],)
    assert described(function, args, True) == described(function, args, False)
    if hasattr(function, "__code__") and "inplace" in function.__code__.co_varnames:
        x = INPUTS[name].to("meta")
        with MetaShapes():
            assert not x.is_floating_point() or function(x, inplace=True) is x


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("function", sorted(ARITHMETIC, key=qualified_name), ids=qualified_name)
def test_arithmetic(function: Callable[..., Any], name: str) -> None:
    for operand in OPERANDS:
        for args in ((INPUTS[name], operand), (operand, INPUTS[name])):
            assert described(function, args, True) == described(function, args, False)


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("keepdim", [True, False])
@pytest.mark.parametrize("function", sorted(MEANS, key=qualified_name), ids=qualified_name)
def test_means(function: Callable[..., Any], keepdim: bool, name: str) -> None:
    for dim in ((2, 3), [-1], 1, (0, 1), (1, 1), (-1, 3), 4, [], None, "C", np.int64(1)):
        for args, options in (((dim, keepdim), {}), ((), {"dim": dim, "keepdim": keepdim})):
            results = [described(function, (INPUTS[name], *args), short, **options) for short in (True, False)]
            assert results[0] == results[1], (dim, args)
    doubled = [described(function, (INPUTS[name], 1), short, dtype=torch.float64) for short in (True, False)]
    assert doubled[0] == doubled[1] and described(function, (INPUTS[name],), True) == described(
        function, (INPUTS[name],), False
    )


@pytest.mark.parametrize("name", INPUTS)
def test_norms(name: str) -> None:
    x = INPUTS[name]
    for width in (8, 7):
        ones = [torch.ones(width, dtype=x.dtype)] * 4
        for training in (False, True):
            results = [described(functional.batch_norm, (x, *ones, training), short) for short in (True, False)]
            if name == "channels last" and width == 8:
                assert results[0][:2] == results[1][:2] and results[0][2] == x.stride()  # as with values
            else:
                assert results[0] == results[1]
        for shape in ([width], (5, width)):
            assert described(functional.layer_norm, (x, shape), True) == described(functional.layer_norm, (x, shape), False)


RECURRENT: list[tuple[Any, dict[str, Any]]] = [
    (nn.LSTM, {}),
    (nn.LSTM, {"bidirectional": True, "num_layers": 2, "batch_first": True}),
    (nn.LSTM, {"proj_size": 3, "bidirectional": True}),
    (nn.GRU, {"bidirectional": True}),
    (nn.RNN, {"nonlinearity": "relu"}),
    (nn.RNN, {"bias": False}),
]


@pytest.mark.parametrize(("layer", "options"), RECURRENT)
def test_recurrent_layers(layer: Any, options: dict[str, Any]) -> None:
    with torch.device("meta"):
        inputs = [torch.empty(4, 5, 8), torch.empty(4, 8), torch.empty(4, 5, 7)]
        module = layer(8, 6, **options)
    for x in inputs:
        results = [recurrent(module, x, short) for short in (True, False)]
        assert results[0] == results[1]
    packed = nn.utils.rnn.pack_sequence([torch.empty(3, 8), torch.empty(2, 8)])
    with MetaShapes():
        assert layer(8, 6, **options)(packed)[0].data.shape[0] == 5


def recurrent(module: nn.Module, x: Tensor, short: bool) -> Any:
    """The shapes and dtypes of output and states, or the kind of the error."""
    try:
        with MetaShapes() if short else nullcontext():
            y, states = module(x)
    except Exception as error:
        return type(error)
    return [(t.shape, t.dtype, t.device) for t in (y, *(states if isinstance(states, tuple) else (states,)))]


MAP = torch.empty(2, 8, 5, 7, device="meta")
CALLS: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
    *((function, (MAP,)) for function in sorted(ACTIVATIONS, key=qualified_name)),
    *((function, (MAP, MAP[:1, :, :1, :1])) for function in sorted(ARITHMETIC, key=qualified_name)),
    *((function, (MAP, (2, 3), True)) for function in sorted(MEANS, key=qualified_name)),
    (functional.layer_norm, (MAP, [7])),
    (nn.BatchNorm2d(8, device="meta").eval(), (MAP,)),
    *((layer(8, 6, device="meta", **options), (MAP[0].transpose(0, 2),)) for layer, options in RECURRENT),
]


@pytest.mark.parametrize(("call", "args"), CALLS, ids=[str(call).split(" at ")[0] for call, _ in CALLS])
def test_torch_computes_nothing_for_them(call: Callable[..., Any], args: tuple[Any, ...]) -> None:
    with OpRecorder() as recorder, MetaShapes():
        call(*args)
    assert recorder.names and set(recorder.names) <= {"aten.detach.default", "aten.empty.memory_format", "aten.zeros.default"}


def test_tensors_with_values_are_computed() -> None:
    with MetaShapes():
        assert torch.equal(functional.relu(torch.tensor([-1.0, 1])) + 1, torch.tensor([1.0, 2]))
