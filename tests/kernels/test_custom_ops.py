"""Under torch.compile some convolutions are an operator of the package: the same values, and none in an export."""

import pytest
import torch
from torch import Tensor
from torch.export import export

import sefactory as sf
from sefactory.config.registry import find_operator
from sefactory.kernels import convolution
from sefactory.kernels import custom_ops as compiled
from sefactory.shapes import Sizes
from tests.sampling import sampled

SQUARE = (4, 64, 40, 36)


def random(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator).requires_grad_()


@pytest.mark.parametrize(("groups", "out", "kernel", "biased"), [(1, 1, 7, True), (4, 8, 3, False), (8, 8, 3, True)])
def test_convolutions(groups: int, out: int, kernel: int, biased: bool) -> None:
    planes = 2 if out == 1 else 8
    x, weight = random(2, planes, 64, 40), random(out, planes // groups, kernel, kernel)
    bias = random(out) if biased else None
    given = (1, (kernel // 2,) * 2, 1, groups)
    inputs = [t for t in (x, weight, bias) if t is not None]
    theirs = torch.nn.functional.conv2d(x, weight, bias, *given)
    cotangent = torch.randn(theirs.shape, generator=torch.Generator().manual_seed(0))
    ours = compiled._convolve(x, weight, bias, given[0], list(given[1]), *given[2:])
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    for a, b in zip(torch.autograd.grad(ours, inputs, cotangent), torch.autograd.grad(theirs, inputs, cotangent), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-2)  # sums of thousands of products


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # torch's own check
def test_torch_accepts_the_operator() -> None:
    given = (random(2, 4, 6, 6), random(4, 2, 3, 3), random(4), 1, [1, 1], 1, 2)
    torch.library.opcheck(torch.ops.sefactory.convolve.default, given)


def given(block: sf.Block, *maps: Tensor, dynamic: bool = False) -> list[list[str]]:
    """What a compiler is given to run on some maps, one after the other: the calls of every graph."""
    graphs = []

    def backend(module: torch.fx.GraphModule, _: list[Tensor]) -> object:
        graphs.append([str(node.target) for node in called(module)])
        return module.forward

    torch._dynamo.reset()
    run = torch.compile(block, backend=backend, fullgraph=True, dynamic=dynamic)
    for x in maps:
        run(x)
    return graphs


def called(module: torch.fx.GraphModule) -> list[torch.fx.Node]:
    return [node for node in module.graph.nodes if node.op.startswith("call")]


def own(block: sf.Block, x: Tensor, what: str = "convolve") -> int:
    """How many calls of what a compiler is given are to an operator of the package."""
    (calls,) = given(block, x)
    return calls.count(f"sefactory.{what}.default")


@pytest.mark.parametrize(("name", "many"), [("triplet", 3), ("cbam", 1), ("cbam_channel", 0), ("coordatt", 0), ("senet", 0)])
@pytest.mark.parametrize("size", [28, 48])
def test_a_compiler_that_trains_sees_no_convolution_of_few_planes(name: str, many: int, size: int) -> None:
    block = sf.build(name, 64)
    assert own(block, torch.randn(16, 64, size, size)) == many
    assert own(block, torch.randn(2, 64, 8, 8)) == 0


@pytest.mark.parametrize(("name", "products"), [("coordatt", 3), ("pam", 3), ("gcnet", 4)])
def test_a_compiler_sees_a_linear_layer_over_channels_as_a_product(name: str, products: int) -> None:
    """The layers of coordatt; the layer of pam and its attention; the layers of gcnet and its weighted mean."""
    block = sf.build(name, 64)
    (calls,) = given(block, torch.randn(2, 64, 8, 8))
    assert not any("conv" in call for call in calls)
    assert sum("matmul" in call or "linear" in call for call in calls) == products


@pytest.mark.parametrize("shape", [(3, 2, 6, 4, 5), (3, 2, 6, 2, 4, 5), (0, 2, 6, 4, 5)])
@pytest.mark.parametrize("bias", [False, True])
def test_the_product_gives_the_values_and_gradients_of_the_convolution(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    found = find_operator("linear")
    assert found is not None
    linear = found.make(Sizes(shape[1:], grid="DHW" if len(shape) == 6 else "HW"), out=4, bias=bias).double()
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    inputs = [x, *linear.parameters()]
    torch._dynamo.reset()
    ours, theirs = torch.compile(linear, backend="aot_eager", fullgraph=True)(x), linear(x)
    g = torch.randn_like(theirs)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    for a, b in zip(torch.autograd.grad(ours, inputs, g), torch.autograd.grad(theirs, inputs, g), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("size", "many"), [(28, 0), (48, 1)])
def test_inference_uses_the_compilers_convolution_if_as_fast(size: int, many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "LANES", 8)
    with torch.no_grad():
        assert own(sf.build("cbam", 64), torch.randn(16, 64, size, size)) == many


def test_convolutions_that_a_compiler_does_as_fast_are_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of four in epsanet two are wide, 7 and 9, one has no groups, and one has groups of whole registers: 32 channels to 8."""
    monkeypatch.setattr(convolution, "LANES", 8)
    assert own(sf.build("epsanet", 128), torch.randn(8, 128, 24, 24)) == 0
    assert own(sf.build({"conv": {"along": "HW", "kernel": 3, "groups": 32}}, 128), torch.randn(8, 128, 24, 24)) == 1


@pytest.mark.parametrize(
    ("name", "many"),
    [("pam", 1), ("segformer", 1), ("nonlocal", 1), ("cam", 1), ("xca", 0)],  # xca has few tokens, the channels of a head
)
@pytest.mark.parametrize("trained", [True, False])
def test_compiled_attention_stores_no_weights_of_many_tokens(name: str, many: int, trained: bool) -> None:
    block = sf.build(name, 64)
    with torch.set_grad_enabled(trained):
        assert own(block, torch.randn(6, 64, 20, 20), "attend") == many
        assert own(block, torch.randn(1, 64, 9, 8), "attend") == 0


def test_not_at_dynamic_sizes() -> None:
    block = sf.build("pam", 64)
    found = given(block, torch.randn(4, 64, 24, 20), torch.randn(5, 64, 32, 28), torch.randn(90, 64, 9, 8), dynamic=True)
    assert [calls.count("sefactory.attend.default") for calls in found] == [1, 0]  # of few tokens weights are small


def test_half_types_and_autocast_have_their_weights_in_float32() -> None:
    block, x = sf.build("pam", 64), torch.randn(4, 64, 24, 24)
    assert own(sf.build("pam", 64).bfloat16(), x.bfloat16(), "attend") == 0
    with torch.autocast("cpu", torch.bfloat16):
        assert own(block, x, "attend") == 0


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # torch's own check
def test_torch_accepts_attention() -> None:
    q, k, v = random(2, 1, 3, 400), random(2, 1, 3, 400), random(2, 1, 5, 400)
    torch.library.opcheck(torch.ops.sefactory.attend.default, (q, k, v, 0.7))


@pytest.mark.parametrize(
    "name", sampled(["senet", "sknet", "cbam", "coordatt", "triplet", "pam", "cam", "segformer"], {"cbam", "pam"})
)
def test_a_compiled_block_of_large_maps_is_equal(name: str) -> None:
    torch._dynamo.reset()
    torch.manual_seed(0)
    block = sf.build(name, 64)
    run = torch.compile(block, backend="aot_eager", fullgraph=True, dynamic=False)
    x = torch.randn(SQUARE, generator=torch.Generator().manual_seed(0)).requires_grad_()
    parameters = [x, *block.parameters()]
    cotangent = torch.randn(SQUARE, generator=torch.Generator().manual_seed(1))
    theirs = block(x)
    wanted = torch.autograd.grad(theirs, parameters, cotangent)
    ours = run(x)
    found = torch.autograd.grad(ours, parameters, cotangent)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    whole = torch.cat([t.flatten() for t in wanted]).norm()
    for a, b in zip(found, wanted, strict=True):  # as a whole: rounding takes single values across the kink of a relu
        assert float((a - b).norm()) <= 1e-3 * float(max(b.norm(), 1e-3 * whole))


@pytest.mark.parametrize("name", ["triplet", "pam", "cam"])
def test_an_exported_program_has_no_custom_ops(name: str) -> None:
    block = sf.build(name, 64).eval()
    program = export(block, (torch.randn(2, 64, 48, 48),))
    assert "sefactory" not in program.graph_module.code


@pytest.mark.parametrize("name", ["triplet", "pam", "cam"])
def test_functorch_gradients_use_no_custom_ops(name: str) -> None:
    block, x = sf.build(name, 64).eval(), torch.randn(2, 64, 48, 48)

    def gradient(t: Tensor) -> Tensor:
        return torch.func.grad(lambda u: block(u).square().sum())(t)

    torch._dynamo.reset()
    torch.testing.assert_close(torch.compile(gradient, backend="aot_eager")(x), gradient(x), rtol=1e-3, atol=1e-3)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # torch's own, to make tangents
@pytest.mark.parametrize("subject", ["pam", "cam", {"conv": {"along": "HW", "kernel": 3, "groups": 32}}])
def test_forward_mode_uses_no_custom_ops(subject: str | dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "LANES", 8)
    block, x = sf.build(subject, 64).eval(), torch.randn(8, 64, 24, 24)

    def tangent(t: Tensor) -> Tensor:
        return torch.func.jvp(block, (t,), (t,))[1]

    torch._dynamo.reset()
    torch.testing.assert_close(torch.compile(tangent, backend="aot_eager")(x), tangent(x), rtol=1e-3, atol=1e-3)


# ---- Module tree or program ------------------------------------------------------------------------------------------

SMALL, LARGER = (2, 64, 9, 8), (5, 64, 20, 12)


def both(name: str) -> tuple[sf.Block, sf.Block]:
    """Lowered and not, in eval mode."""
    return sf.build(name, 64).eval(), sf.build(name, 64, lower=False).eval()


@pytest.mark.parametrize("name", sampled(["senet", "ecanet", "coordatt", "cbam", "triplet", "sknet"], {"senet", "triplet"}))
def test_inductor_trains_the_module_tree(name: str) -> None:
    lowered, plain = (block.train() for block in both(name))
    for shape in (SMALL, LARGER):
        assert given(lowered, random(*shape)) == given(plain, random(*shape))


@pytest.mark.parametrize("name", sampled(["coordatt", "cbam", "triplet", "sknet"], {"cbam"}))
def test_without_gradients_the_program_runs_for_large_maps(name: str) -> None:
    lowered, plain = both(name)
    with torch.no_grad():
        assert given(lowered, torch.randn(SMALL)) == given(plain, torch.randn(SMALL))
        assert given(lowered, torch.randn(LARGER)) != given(plain, torch.randn(LARGER))


def test_dynamic_sizes_compile_one_graph_each() -> None:
    with torch.no_grad():
        graphs = given(both("gcnet")[0], *(torch.randn(n, *LARGER[1:]) for n in (3, 5, 7)), torch.randn(SMALL), dynamic=True)
    assert len(graphs) == 2


def test_a_map_of_descriptors_is_no_convolution_in_the_module_tree_either() -> None:
    (calls,) = given(both("senet")[1], torch.randn(SMALL))
    assert not any("conv" in call for call in calls) and sum("linear" in call for call in calls) == 2


@pytest.mark.parametrize("shape", [SMALL, LARGER])
def test_a_frozen_block_is_equal(shape: tuple[int, ...]) -> None:
    torch._dynamo.reset()
    frozen, x = sf.freeze(sf.build("sknet", 64)), torch.randn(shape)
    found = torch.compile(frozen, backend="aot_eager", fullgraph=True, dynamic=False)(x)
    torch.testing.assert_close(found, frozen(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("strict", [False, True])
def test_the_program_is_exported_at_every_size(strict: bool) -> None:
    def calls(block: sf.Block, shape: tuple[int, ...]) -> list[object]:
        return [node.target for node in called(export(block, (torch.randn(shape),), strict=strict).graph_module)]

    lowered, plain = both("cbam")
    assert calls(lowered, SMALL) == calls(lowered, LARGER) != calls(plain, SMALL)


def test_a_norm_is_folded_into_weights_for_large_maps_alone() -> None:
    """Of strips, one side of x, the weights are more than the map."""

    def folded(name: str) -> int:
        with torch.no_grad():
            (calls,) = given(both(name)[0], torch.randn(8, 64, 16, 16))
        return sum("rsqrt" in call for call in calls)

    assert folded("sknet") == 2 and folded("strip_pooling") == 0
