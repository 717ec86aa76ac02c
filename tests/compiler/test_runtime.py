"""When the steps are written: before the first run and not at the build, wherever that is, and without touching a tensor."""

import copy
import itertools
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event, Thread, current_thread
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.overrides import TorchFunctionMode

import sefactory as sf
from sefactory.compiler import runtime as lower
from sefactory.compiler.codegen.emitter import Program
from sefactory.compiler.codegen.generate import generate
from sefactory.compiler.graph import Node
from sefactory.kernels.dispatch import SMALL
from tests.compiler.comparison import tree_of
from tests.sampling import sampled

NAMES = ["cbam", "danet_head", "seaformer", "sknet"]


class Refusing(TorchFunctionMode):
    """No operation of torch passes; what only asks for a shape does."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") not in ("__get__", "dim"):
            raise AssertionError(f"{func} was called")
        return func(*args, **(kwargs or {}))


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[Node]:
    """The graphs of which steps were written, in order."""
    graphs = list[Node]()

    def noted(root: Node, frozen: bool = False) -> Program:
        graphs.append(root)
        return generate(root, frozen)

    monkeypatch.setattr(lower, "generate", noted)
    return graphs


def x_of(channels: int = 32, side: int = 6) -> Tensor:
    return torch.randn(2, channels, side, side + 1, generator=torch.Generator().manual_seed(0))


def plain_of(block: sf.Block) -> sf.Block:
    twin = sf.build(block.config, 32, lower=False).train(block.training)
    twin.load_state_dict(block.state_dict())
    return twin


def test_the_program_is_compiled_once_at_the_first_run(written: list[Node]) -> None:
    block = sf.build("cbam", 32)
    block.to(torch.float32).load_state_dict(block.state_dict())
    assert not written
    block(x_of())
    assert len(written) == 1  # the program for any mode
    block(x_of())
    assert len(written) == 1
    block.eval()
    assert len(written) == 1
    block(x_of())
    block.train()(x_of())
    block.eval()(x_of())
    assert len(written) == 3  # that again, and the one in which the norms are constants


@pytest.mark.parametrize("train", [True, False])
def test_a_norm_is_folded_from_the_first_run_in_eval_mode_on(train: bool) -> None:
    block = sf.build("cbam", 32).train(train)
    wanted = plain_of(block)(x_of())
    torch.testing.assert_close(block(x_of()), wanted)
    torch.testing.assert_close(block.eval()(x_of()), plain_of(block)(x_of()))


@pytest.mark.parametrize("name", sf.configs())
def test_compiling_touches_no_tensor(name: str) -> None:
    """So it may happen while a network is traced, compiled, exported or transformed."""
    block = sf.build(name, 64, height=14, width=14).eval()
    assert block.lowered is not None
    with Refusing():
        assert block.lowered.guards_hold()


def compiled(block: sf.Block, x: Tensor) -> Any:
    """Of a large map without gradients: else a compiler gets the tree itself."""
    torch._dynamo.reset()
    with torch.no_grad():
        return torch.compile(block, fullgraph=True, backend="eager", dynamic=True)(x)


def faked(block: sf.Block, x: Tensor) -> Any:
    with FakeTensorMode(allow_non_fake_inputs=True):
        block(x)
    return block(x)


def traced(block: sf.Block, x: Tensor) -> Any:
    """A tracer records the module tree, whether the program was compiled or not."""
    trace = partial(torch.jit.trace, block, x)
    graph, again = trace(), trace()
    block(x)
    after = trace()
    assert operations(graph) == operations(again) == operations(after)
    torch.testing.assert_close(after(x), block(x))
    return graph(x)


def operations(graph: Any) -> list[str]:
    """Those that compute on maps and weights, sorted."""
    kinds = [node.kind() for node in graph.inlined_graph.nodes()]
    return sorted(kind for kind in kinds if any(word in kind for word in ("conv", "linear", "norm", "mean", "max", "softmax")))


FIRST: dict[str, Callable[[sf.Block, Tensor], Any]] = {
    "compile": compiled,
    "export": lambda block, x: torch.export.export(block, (x,)).module()(x),
    "strict export": lambda block, x: torch.export.export(block, (x,), strict=True).module()(x),
    "trace": traced,
    "make_fx": lambda block, x: make_fx(block)(x)(x),
    "vmap": lambda block, x: torch.func.vmap(block)(x[None])[0],
    "grad": lambda block, x: (torch.func.grad(lambda t: block(t).sum())(x), block(x))[1],
    "functional_call": lambda block, x: torch.func.functional_call(block, dict(block.state_dict()), (x,)),
    "fake": faked,
    "deepcopy": lambda block, x: copy.deepcopy(block)(x),
    "pickle": lambda block, x: pickle.loads(pickle.dumps(block))(x),
    "inference": lambda block, x: torch.inference_mode()(block)(x),
    "checkpoint": lambda block, x: torch.utils.checkpoint.checkpoint(block, x, use_reentrant=False),
}


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize(("first", "name"), sampled(itertools.product(FIRST, NAMES), 3))
def test_the_first_run_may_be_in_any_transform(first: str, name: str, written: list[Node]) -> None:
    side = 24 if first == "compile" else 6  # a compiler is given the plain tree of a small map
    block, x = sf.build(name, 32).eval(), x_of(side=side)
    assert x.numel() > SMALL or first != "compile"
    wanted = plain_of(block)(x)
    assert not written
    found = FIRST[first](block, x)
    assert written
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(block(x), wanted, rtol=1e-4, atol=1e-5)  # and what was written there is there to stay


def test_threads_may_run_it_for_the_first_time_at_once() -> None:
    for _ in range(20):
        block, x = sf.build("cbam", 32).eval(), x_of()
        wanted = plain_of(block)(x)
        with ThreadPoolExecutor(8) as pool:
            for found in pool.map(lambda _, block=block, x=x: block(x), range(8)):  # type: ignore[misc]
                torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("step", range(5))
def test_threads_do_not_mix_the_programs_of_two_edits(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first compiles before the edit, and ends after so many assignments of the second, which compiles after the edit."""
    block, x = sf.build("cbam", 32), x_of()
    compiled, may_end, assigned = Event(), Event(), list[str]()

    def generate_slowly(root: Node, frozen: bool = False) -> Program:
        program = generate(root, frozen)
        if current_thread() is first:
            compiled.set()
            assert may_end.wait(60)
        return program

    def assign(self: lower.CompiledBlock, name: str, value: object) -> None:
        object.__setattr__(self, name, value)
        if current_thread() is not first:
            assigned.append(name)
            if len(assigned) == step + 1:
                may_end.set()
                first.join()

    first = Thread(target=block, args=(x,))
    monkeypatch.setattr(lower, "generate", generate_slowly)
    monkeypatch.setattr(lower.CompiledBlock, "__setattr__", assign, raising=False)
    first.start()
    assert compiled.wait(60)
    block.get_submodule("series.spatial.excite.1").eps = 0.5
    block(x)
    may_end.set()
    first.join()
    monkeypatch.undo()
    y = block(x)  # before a copy is made, whose modules are edits
    torch.testing.assert_close(y, tree_of(block)(x))


def test_a_module_exchanged_before_the_first_run_runs(written: list[Node]) -> None:
    """Also one that leaves other sizes than it says: the tree itself runs, until `lower`."""
    block, x = sf.build("senet", 32).eval(), x_of()
    setattr(block.get_submodule("gate"), "0", nn.Tanh())
    torch.testing.assert_close(block(x), block.node(x.unsqueeze(1)).squeeze(1))
    assert not written
    block.lower()
    torch.testing.assert_close(block(x), block.node(x.unsqueeze(1)).squeeze(1))
    assert written


def test_a_hook_before_the_first_run_is_called(written: list[Node]) -> None:
    block, seen = sf.build("senet", 32), list[str]()
    handle = block.get_submodule("gate.0").register_forward_hook(lambda *_: seen.append("called"))
    block(x_of())
    assert seen == ["called"] and not written
    handle.remove()
    block(x_of())
    assert seen == ["called"] and written


def test_rewrites_are_known_before_the_first_run(written: list[Node]) -> None:
    block = sf.build("cbam", 32)
    assert block.lowered is not None
    before = block.lowered.rewrites
    assert before and not written
    block(x_of())
    assert block.lowered.rewrites == before


def test_a_deleted_block_is_freed_at_once() -> None:
    """No cycle keeps its weights until the collector comes by: neither before the first run nor behind it."""
    import gc
    import weakref

    gc.disable()
    try:
        for run in (False, True):
            block = sf.build("cbam", 32)
            if run:
                block(x_of())
            weight = weakref.ref(next(block.parameters()))
            del block
            assert weight() is None
    finally:
        gc.enable()
