"""The declared versions: every requirement has a minimum, where the tests pass. The private names of torch are few."""

import ast
import re
from collections.abc import Iterator

import versions_page

from tests.architecture.source import MODULES, syntax_tree

PRIVATE = {
    "bench.dry_run": {"torch._C.DisableTorchFunction"},
    "bench.macs": {"torch.utils._pytree.tree_leaves"},
    "bench.memory": {"torch.utils._python_dispatch.TorchDispatchMode", "torch.utils._pytree.tree_leaves"},
    "compiler.codegen.linear": {"torch._foreach_add_"},
    "kernels.attention": {"torch.ops.aten._softmax_backward_data.out"},
    "kernels.constants": {"torch.utils._python_dispatch._disable_current_modes"},
    "kernels.dispatch": {
        "torch._C._are_functorch_transforms_active",
        "torch._C._get_tracing_state",
        "torch._C._len_torch_dispatch_stack",
        "torch._C._set_tracing_state",
        "torch.autograd.forward_ad._current_level",
    },
    "kernels.im2col": {"torch._C._nn.thnn_conv2d"},
}
"""The private names of torch that each module uses. A new torch may lack any of them."""


def private_names(module: str) -> Iterator[str]:
    """The dotted names of torch in a module that have a part with a leading underscore, each with all that it is part of."""
    for node in ast.walk(syntax_tree(module)):
        names = [ast.unparse(node)] if isinstance(node, ast.Attribute) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (name for name in names if re.match(r"torch\.(\w+\.)*_[a-zA-Z]", name) and re.fullmatch(r"[\w.]+", name))


def test_private_names_of_torch_are_used_in_a_few_modules() -> None:
    found = {module: set(private_names(module)) for module in MODULES}
    longest = {
        module: {name for name in names if not any(other.startswith(f"{name}.") for other in names)}
        for module, names in found.items()
        if names
    }
    assert longest == PRIVATE


def test_every_requirement_has_a_minimum() -> None:
    data = versions_page.project()
    lines = [*data["dependencies"], *(line for extra in data["optional-dependencies"].values() for line in extra)]
    assert [line for line in lines if not re.match(r"[\w.-]+>=\d", line)] == ["sefactory[networks]"]
