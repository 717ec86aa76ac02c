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
    assert [line for line in lines if not re.match(r"[\w.-]+>=\d", line)] == ["sefactory[networks,study]"]


def page_rows() -> dict[str, list[str]]:
    """The cells after the first of each row of docs/versions.md, by the first."""
    lines = versions_page.PAGE.read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return {name: rest for name, *rest in cells}


def test_the_page_has_the_declared_versions() -> None:
    rows = page_rows()
    for name, declared in versions_page.minimums().items():
        requirement, lowest, newest = rows[name]
        assert requirement == f">={declared}", f"{name}: run scripts/versions.sh"
        assert parts(lowest)[: len(parts(declared))] == parts(declared) <= parts(newest), name
    assert [version.rpartition(".")[0] for version in rows["Python"][1:]] == [*versions_page.pythons()]


def test_every_test_passed_at_the_lowest_and_newest_versions() -> None:
    rows = page_rows()
    assert rows["tests failed"][1:] == ["0", "0"] and all(int(count) > 1000 for count in rows["tests passed"][1:])
    for figure in rows["full-graph cases compiled"][1:]:
        compiled, total = figure.split(" of ")
        assert compiled == total != "0"


def parts(version: str) -> list[int]:
    """The numbers of a version: 2.13.0+cpu is 2, 13, 0."""
    return [int(part) for part in re.findall(r"\d+", version.partition("+")[0])]
