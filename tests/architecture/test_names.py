"""Names of the package are standard terms: words that were given up are not defined again, and no name is a paper's."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.architecture.source import FUNCTIONS, MODULES, ROOMS, TESTS, modules_of, syntax_tree

# Words of this project's own, by the standard term that stands in their place.
RETIRED = {
    "Asked": "cache key",
    "Said": "recorded answer",
    "Reading": "parsed config",
    "Rehearsed": "deferred module",
    "Made": "built module",
    "Slot": "cache entry",
    "met": "seen before",
    "stands": "is_valid",
    "agrees": "matches",
    "forget": "clear_cache",
    "recall": "cache",
    "Rehearsal": "deferred initialisation",
    "rehearsal": "deferred initialisation",
    "plan": "defer",
    "perform": "materialize",
    "drawn": "init_parameter",
    "twin": "clone",
    "whole": "fully deferred",
    "within": "iter_modules, is_at_most",
    "Operation": "OpNode",
    "Chain": "SequenceNode",
    "Fork": "ParallelNode",
    "Gated": "UnitNode",
    "Broken": "ErrorNode",
    "Place": "SourceLocation",
    "place": "location, source path",
    "Grammar": "Parser",
    "At": "ParseContext",
    "Shelf": "ConfigRepository",
    "Maker": "ModuleBuilder",
    "maker": "builder",
    "FAULTY": "FAILED",
    "Named": "SymbolicDim",
    "Extent": "Dim",
    "coarser": "ceil_div",
    "finer": "multiply",
    "since": "stacked_at",
    "told": "given",
    "Steps": "Sequential",
    "Branches": "ModuleDict",
    "trunk": "shared_trunk",
    "own": "branch_heads, record",
    "onto": "upsample_to",
    "coarse": "upsample_axes",
    "fit": "broadcast_axes",
    "Lowered": "compiled block",
    "faithful": "guards hold",
    "left_up_to": "prefers_module_tree",
    "descriptive": "prefers_module_tree",
    "ALIKE": "the name of what the modes share",
    "Watch": "guard",
    "settled": "has_static_shapes",
    "behind": "stale",
    "evaluates": "wants_eval_program",
    "resting_on": "with_inputs",
    "ordered": "topological order",
    "Plain": "OpaqueCall",
    "plain": "the noun that is meant",
    "Spread": "Variance",
    "spread": "variance, std",
    "Gather": "WeightedPool",
    "Stacked": "Stack",
    "Enlarged": "NearestUpsample",
    "Coarsened": "AvgPool",
    "Cut": "ChannelSplit",
    "cut": "split, slice",
    "Join": "ConcatPositions",
    "Split": "SplitPositions",
    "Scaled": "ScalarAffine",
    "Gained": "LearnedScale",
    "Combined": "Elementwise",
    "Dense": "Linear",
    "Window": "Conv",
    "Writer": "Emitter",
    "made": "record, built, result",
    "spent": "may_overwrite_in_inference",
    "fresh": "newly_allocated",
    "solid": "non_unit_axes",
    "bare": "strip_unit_axes",
    "terms": "params",
    "held": "read_params",
    "token": "forward context",
    "edge": "forward context",
    "sides": "slicing, input_dims",
    "thin": "few_channel_conv",
    "bands": "separable_resample",
    "correlated": "conv_weight_grad",
    "blockwise": "cache_tiling",
    "roomy": "fits_cache",
    "spots": "argmax_positions",
    "row_dots": "row_dot",
    "row_lines": "row_affine",
    "pieces": "chunks",
    "normal_": "flush_subnormals_",
    "better": "has_faster_form",
    "together": "merged_groups",
    "apart": "custom_backward",
    "phased": "dilation_decomposed",
    "wanted": "use_custom_op",
    "eager": "cpu_fast_path",
    "eligible": "the condition that is tested",
    "fused": "under_inductor, with_fuse",
    "asked_once": "assume_constant_result",
    "Blend": "ResidualAdapter",
    "waken": "reinit_zero_weights",
    "beside": "parallel",
    "former": "original",
    "starting": "wrap",
    "sites": "selectors",
    "Calls": "CallRecord",
    "alone": "has_single_argument",
    "Refused": "InvalidValue",
    "words": "join_words",
    "shown": "short_repr",
    "laws": "invariants",
    "subjects": "cases",
    "witnesses": "reference implementations",
    "hostile": "fuzz",
    "mutants": "mutations",
}
# Words with a standard meaning elsewhere, which were given up in one room.
RETIRED_IN = {
    "compiler": {
        "Value": "Node",
        "slot": "register",
        "common": "broadcast_layout",
        "view": "conversion",
        "units": "gated_reduction",
    }
    | {"squeezed": "reduced", "applied": "gated", "positions": "resample", "maps": "linear", "descriptors": "pooling"}
    | {"heads": "channel_attention", "rules": "passes"},
    "kernels": {"columns": "im2col", "squeezed": "reduce", "applied": "gate", "Asked": "the type of an answer"},
    "networks": {
        "nearest": "nearest_axis",
        "left": "output_shapes",
        "mix": "alpha",
        "carry": "transfer_weights",
        "taken": "input_shapes",
    },
    "bench": {
        "floor": "roofline_bound",
        "elements": "elementwise_ops",
        "base": "baseline",
        "saved": "saved_bytes",
        "peak": "peak_bytes",
    },
}
# Names that users and files hold: YAML keys, arguments of the public functions, keys of state dicts and of result files.
KEPT = {
    ("operators", "own"),  # key of a state dict and YAML key
    ("networks", "mix"),  # key of a state dict
    ("networks", "place"),  # function of the public API
    ("networks", "carry"),  # argument of sf.insert and YAML key
    ("compiler", "place"),  # key of the JSON of rewrites
    ("bench", "elements"),  # column of the results
}
PAPERS = set(
    "senet sknet cbam coordatt triplet danet seaformer ecanet eca gcnet genet bam scse ese sse pam cam srm simam fca fcanet "
    "nonlocal splat a2net srmnet resnest lka ela sge lct sanet squeezeandexcitation coordinateattention tripletattention "
    "selectivekernel epsanet msca lsk lska mdta xca mcanet nafnet scnet parnet rcab focalnet gnconv convnextv2 dynconv bisenet "
    "segformer involution restormer hornet segnext xcit caa gam grn".split()
)


def targets(node: ast.AST) -> Iterator[str]:
    """The names and attributes of self that an assignment sets."""
    for target in node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]:
        for part in ast.walk(target) if target is not None else ():
            if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                yield part.id
            elif isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id == "self":
                yield f"self.{part.attr}"


def defined(tree: ast.Module) -> Iterator[str]:
    """The classes, functions, methods, attributes and module-level names that a module defines."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.ClassDef, *FUNCTIONS)):
            yield node.name
        if isinstance(node, (ast.Module, ast.ClassDef)):
            yield from (name for statement in node.body for name in targets(statement))
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            yield from (name.removeprefix("self.") for name in targets(node) if name.startswith("self."))


def retired(module: str, name: str) -> bool:
    """True if a name, with or without a leading underscore, is one that was given up."""
    room, word = module.split(".")[0], name.removeprefix("_")
    words = RETIRED | RETIRED_IN.get(room, {})
    return (word in words or name in words) and (room, word) not in KEPT


def test_no_file_of_the_tests_has_a_retired_name() -> None:
    retired_files = {
        "laws",
        "subjects",
        "portable",
        "witnesses",
        "golden",
        "hostile",
        "field",
        "seven",
        "draws",
        "boundary",
        "mutants",
    }
    paths = [path.relative_to(TESTS) for path in TESTS.rglob("*.py")]
    assert len(paths) > 100
    assert not [
        path for path in paths if retired_files & {part.removeprefix("test_").removesuffix(".py") for part in path.parts}
    ]


@pytest.mark.parametrize("room", ROOMS)
def test_no_retired_word_is_defined(room: str) -> None:
    found = {(module, name) for module in modules_of(room) for name in defined(syntax_tree(module)) if retired(module, name)}
    found |= {(module, "") for module in modules_of(room) if retired(module, module.split(".")[-1])}
    assert not found


def test_a_retired_word_would_be_seen() -> None:
    code = "spots = 1\nclass Blend:\n  beside: bool = True\n  def waken(self):\n    self._made, (self.apart, _) = 1, (2, 3)\n"
    names = set(defined(ast.parse(code)))
    assert {"spots", "Blend", "beside", "waken", "_made", "apart"} <= names
    assert all(retired("kernels.x", name) for name in names - {"_"})
    assert retired("compiler.x", "slot") and not retired("config.x", "slot")


def defined_in(module: str) -> set[str]:
    """Every class, function and file name."""
    return {MODULES[module].stem} | {n.name for n in ast.walk(syntax_tree(module)) if isinstance(n, (ast.ClassDef, *FUNCTIONS))}


def words(name: str) -> set[str]:
    """The words of a name, alone and run together.

    >>> sorted(words("make_SKNet"))
    ['make', 'makesknet', 'sk', 'sknet']
    """
    parts = [word.lower() for word in name.split("_") if word]
    return {*parts, "".join(parts), *(word.lower() for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", name))} - {"net"}


@pytest.mark.parametrize("module", MODULES)
def test_no_name_is_a_papers(module: str) -> None:
    assert not {name for name in defined_in(module) if words(name) & PAPERS}


def test_a_papers_name_would_be_seen() -> None:
    names = ["SKNet", "cbam", "make_coordatt", "CoordinateAttention", "build_eca_block"]
    assert all(words(name) & PAPERS for name in names)
