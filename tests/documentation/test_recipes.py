"""The recipes of docs/vocabulary.md: the YAML computes what the PyTorch beside it computes, with the same weights."""

import ast
import math
from typing import Any

import pytest
import torch
import yaml
from examples import CHANNELS, GRID, build_node, output_size
from torch import Tensor, nn
from torch.nn import functional as F
from vocabulary import RECIPES

import sefactory as sf

SHAPE = (2, CHANNELS, *GRID)
ROWS = [row for group in RECIPES for row in group["rows"]]
LEARNED = (nn.Module, nn.Parameter)


class Snippet:
    """The left side: modules and parameters are made once, everything else runs at each call."""

    def __init__(self, code: str, x: Tensor) -> None:
        tree = ast.parse(code)
        last = tree.body[-1]
        if isinstance(last, ast.Expr):
            tree.body[-1] = ast.copy_location(ast.Assign([ast.Name("y", ast.Store())], last.value), last)
        ast.fix_missing_locations(_named(tree))
        self.names: dict[str, Any] = {"torch": torch, "nn": nn, "F": F, "math": math, "x": x}
        self.names |= dict(zip("BCHW", x.shape, strict=True))
        exec(compile(tree, "recipe", "exec"), self.names)
        self.learned = {name: value for name, value in self.names.items() if isinstance(value, LEARNED) and name != "y"}
        tree.body = [statement for statement in tree.body if not self._makes(statement)]
        self.code = compile(tree, "recipe", "exec")

    def __call__(self, training: bool) -> Tensor:
        for value in self.learned.values():
            if isinstance(value, nn.Module):
                value.train(training)
        exec(self.code, self.names)
        y = self.names["y"]
        return y(self.names["x"]) if isinstance(y, nn.Module) else y

    def _makes(self, statement: ast.stmt) -> bool:
        stored = {n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        return isinstance(statement, ast.Assign) and bool(stored & set(self.learned))

    def state(self) -> dict[str, Tensor]:
        """Their weights by name."""
        found = dict[str, Tensor]()
        for name, value in self.learned.items():
            entries = value.state_dict() if isinstance(value, nn.Module) else {"": value.detach()}
            found |= {f"{name}.{key}".rstrip("."): tensor for key, tensor in entries.items()}
        return found

    def scramble(self) -> None:
        """Random weights and running statistics: what starts at 0 or 1 would prove nothing."""
        with torch.no_grad():
            for key, tensor in self.state().items():
                if tensor.is_floating_point():
                    tensor.uniform_(0.5, 1.5) if key.endswith("running_var") else tensor.normal_(0, 0.3)


class _Hoist(ast.NodeTransformer):
    """`nn.X(...)` inside an expression becomes a name, so that its weights are found."""

    def __init__(self) -> None:
        self.made: list[ast.stmt] = []

    def visit_Call(self, node: ast.Call) -> ast.expr:
        if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name) and node.func.value.id == "nn":
            name = f"m{len(self.made)}"
            self.made.append(ast.Assign([ast.Name(name, ast.Store())], node))
            return ast.Name(name, ast.Load())
        self.generic_visit(node)
        return node


def _named(tree: ast.Module) -> ast.Module:
    """The code with modules of its last expression named before it."""
    hoist = _Hoist()
    if len(tree.body) == 1:
        tree.body[-1] = hoist.visit(tree.body[-1])
        tree.body[:0] = hoist.made
    return tree


def _keys(row: dict[str, Any], block: sf.Block, theirs: dict[str, Tensor]) -> dict[str, Any]:
    """The key map of the row, or one entry after the other."""
    if "keys" in row:
        return dict(row["keys"])
    ours = [key for key in block.state_dict()]
    assert len(ours) == len(theirs), (ours, list(theirs))
    return dict(zip(ours, theirs, strict=True))


def _loaded(row: dict[str, Any], snippet: Snippet) -> sf.Block:
    """The right side with the weights of the left; several maps at its end are laid on C."""
    block = build_node(yaml.safe_load(row["yaml"]), grid=row.get("grid", False))
    state = eval(row["state"], snippet.names) if "state" in row else snippet.state()
    sf.load_official(block, state, keys=_keys(row, block, state))
    return block


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.get("title", row["torch"])[:60])
def test_the_yaml_is_the_torch(row: dict[str, Any]) -> None:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    try:
        x = torch.randn(SHAPE)
        snippet = Snippet(row["torch"], x.abs() if row.get("positive") else x)
        snippet.scramble()
        block = _loaded(row, snippet)
        for training in (False,) if row.get("random") else (False, True):
            y, expected = block.train(training)(snippet.names["x"]), snippet(training)
            assert (expected.dim() == 5) == (not output_size(block).startswith("1 x ")), (y.shape, expected.shape)
            torch.testing.assert_close(y, expected.reshape(y.shape), rtol=1e-9, atol=1e-9)
    finally:
        torch.set_default_dtype(torch.float32)
