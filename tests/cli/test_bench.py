"""The command line, in process: every message literally, and that what was measured stays on disk."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import sefactory as sf
from sefactory.bench.benchmark import Comparison
from sefactory.cli import main as cli

SMALL = ["input=single", "input.channels=64", "input.size=7", "batch=2", "rounds=1", "seconds=0.001"]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command line in an empty folder; (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr("sys.argv", ["sefactory"])

    def call(*arguments: str) -> tuple[int, str, str]:
        code = cli.run(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def _rows(folder: Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads((folder / "results.json").read_text())["rows"]
    return found


def _written(tmp_path: Path, kind: str = "outputs") -> Path:
    (folder,) = (path.parent for path in tmp_path.glob(f"{kind}/*/*/results.json"))
    return folder


@pytest.mark.parametrize(
    ("block", "channels", "overrides", "total"),
    [
        ("senet", 256, [], "8,464"),
        ("sknet", 256, [], "62,528"),
        ("cbam", 256, [], "8,564"),
        ("coordatt", 256, [], "6,680"),
        ("triplet", 256, [], "300"),
        ("seaformer", 256, ["block.let.heads=8", "block.let.key=24"], "811,264"),
        ("pam", 256, [], "82,241"),
    ],
)
def test_show_prints_the_parameter_counts(run: Run, block: str, channels: int, overrides: list[str], total: str) -> None:
    code, out, err = run("show", f"block={block}", f"channels={channels}", "size=14", *overrides)
    last = next(line for line in out.splitlines() if line.startswith("total"))
    assert (code, err) == (0, "") and total in last.split()


def test_show_json_is_the_description(run: Run, tmp_path: Path) -> None:
    from sefactory.bench.summary import summarize

    code, out, _ = run("show", "block=cbam", "channels=64", "size=[7,9]", "format=json")
    expected = summarize(sf.build("cbam", 64), 7, 9).as_dict()
    assert code == 0 and json.loads(out) == json.loads(json.dumps(expected))
    assert list(tmp_path.iterdir()) == []


def test_a_block_beside_the_folder_of_blocks_is_found_out(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("gate: [sigmoid]")
    code, _, err = run("show", "--config-dir", str(tmp_path), "block=mine")
    path = tmp_path / "mine.yaml"
    assert (code, err) == (
        2,
        f"block=mine: {path} is not in a folder block; move it into a folder named block, where the command line looks\n",
    )


def test_the_sides_of_a_size_say_which_grid(run: Run, tmp_path: Path) -> None:
    for size, shape in (("[5]", [2, 64, 5]), ("[4,5]", [2, 64, 4, 5]), ("[3,4,5]", [2, 64, 3, 4, 5])):
        code, out, _ = run("show", "block=cbam", "channels=64", f"size={size}", "format=json")
        assert code == 0 and json.loads(out)["output"] == [1, *shape[1:]]
        quick = ("rounds=1", "seconds=0.0001", f"hydra.run.dir={tmp_path / str(len(shape))}", "channels_last=true")
        code, _, _ = run("bench", "blocks=[cbam]", "input=single", f"input.size={size}", "input.channels=64", *quick)
        rows = json.loads((tmp_path / str(len(shape)) / "results.json").read_text())["rows"]
        assert code == 0 and [row["shape"] for row in rows] == 2 * ["x".join(map(str, shape))]
        assert all(row["error"] is None and row["forward_s"] for row in rows)
        assert [rows[0][key] for key in ("depth", "height", "width")] == [*([None] * (5 - len(shape))), *shape[2:]]


def test_one_override_changes_each_of_the_seven(run: Run) -> None:
    changes = {
        "senet": "let.r=8",
        "sknet": "let.G=16",
        "cbam": "series.spatial.excite.0.conv.kernel=3",
        "coordatt": "let.r=4",
        "triplet": "let.k=3",
        "danet": "let.D=C/2",
        "seaformer": "let.heads=2",
    }
    for block, change in changes.items():
        plain, changed = (
            json.loads(run("show", f"block={block}", "channels=128", "size=8", "format=json", *extra)[1])["parameters"]
            for extra in ([], [f"block.{change}"])
        )
        assert plain != changed, block


MISTAKES = [
    (["benhc"], "sefactory: no command 'benhc'; the commands are show, bench, completion; did you mean 'bench'?"),
    (
        ["show", "chanels=8"],
        "override chanels=8: there is no key 'chanels'; there are block, squeeze, excite, gate, host, channels, size, format; "
        "did you mean 'channels'?",
    ),
    (
        ["bench", "round=1"],
        "override round=1: there is no key 'round'; there are input, block, squeeze, excite, gate, host, blocks, hosts, "
        "baseline, batch, device, dtype, threads, compile, channels_last, rounds, seconds; did you mean 'rounds'?",
    ),
    (
        ["show", "block=cbam", "let.r=8"],
        "override let.r=8: there is no key 'let.r'; there are block, squeeze, excite, gate, host, channels, size, format; "
        "for a key of the block write block.let.r",
    ),
    (["show", "format=xml"], "format: 'xml'; allowed: one of table, json, rewrites"),
    (["show", "channels=0"], "channels: 0; allowed: a positive integer"),
    (["show", "size=[1,2,3,4]"], "size: [1, 2, 3, 4]; allowed: a number, [height, width], [width] or [depth, height, width]"),
    (
        ["show", "block=unit", "squeeze=meen"],
        "squeeze=meen: no squeeze word named 'meen'; there are channels, cluster, columns, conv, linear, max, mean, "
        "mean_max, none, rows, std, window; did you mean 'mean'?",
    ),
    (
        ["show", "block=cbam", "block.let.r=max(C/4,8)"],
        "override block.let.r=max(C/4,8): is not key=value; quote a value with parentheses or commas: "
        "'block.let.r=\"max(C/4,8)\"'",
    ),
    (["show", "cbam"], "override cbam: is not key=value; write block=cbam"),
    (["show", "cbm"], "override cbm: is not key=value; write path=value, +path=value or ~path"),
    (["show", "block.let.x=3"], "override block.let.x=3: there is no 'x' at let; there are r"),
    (["bench", "block.let.r=3"], "override block.let.r=3: there is no block to change; select one with block=NAME"),
    (["bench", "squeeze=mean"], "block: squeeze= without a block; add block=NAME, for example block=unit"),
    (
        ["bench", "blocks=[senet]", "block=cbam"],
        "blocks: blocks= and block= cannot be used together; give a list of blocks, or one block with overrides",
    ),
    (
        ["bench", "blocks=senet"],
        "blocks: 'senet'; allowed: a list of names, YAML files and mappings, for example blocks=[my.yaml]",
    ),
    (["bench", "blocks=[senet,senet]"], "blocks: senet is listed twice; remove one"),
    (["bench", "blocks=[3]"], "blocks.0: 3; allowed: a name, a YAML file or a mapping"),
    (["bench", "blocks=[nope.yaml]", *SMALL], "nope.yaml: no such file"),
    (["bench", "input=foo"], "input=foo: no input named 'foo'; there are mobilenet_v2, resnet50, single, tiny"),
    (
        ["bench", "input.shapes=[[1]]"],
        "input.shapes.0: [1]; allowed: [channels, height, width], [channels, width] or [channels, depth, height, width]",
    ),
    (["bench", "dtype=float8"], "bench: dtype: 'float8' is none of float32, float64, bfloat16, float16"),
    (["bench", "batch=x"], "batch: 'x'; allowed: a positive integer"),
    (["show", "--config-dir", "nope"], "--config-dir nope: no such folder"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=[" ".join(a) for a, _ in MISTAKES])
def test_mistakes(run: Run, tmp_path: Path, arguments: list[str], message: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out, err) == (2, "", f"{message}\n")


def test_an_unknown_block_lists_the_blocks(run: Run) -> None:
    for arguments in (["show", "block=cbamm"], ["bench", "block=cbamm"]):
        code, _, err = run(*arguments)
        assert code == 2 and err.startswith("block=cbamm: no block named 'cbamm'; there are a2net, bam, bisenet_arm, ")
        assert err.endswith("; did you mean 'cbam'?\n") and err.count("\n") == 1
    code, _, err = run("bench", "blocks=[cbamm]")
    assert code == 2 and "cbamm" in err and "did you mean 'cbam'?" in err


def test_a_slot_word_on_a_block_without_that_slot(run: Run) -> None:
    code, _, err = run("show", "block=cbam", "squeeze=mean")
    assert code == 2 and err.startswith("cbam.yaml: the slot 'squeeze' cannot stand beside 'series'; ") and "@series" in err
    code, out, _ = run("show", "block=cbam", "+squeeze@block.series.channel=cluster", "channels=64")
    assert code == 0 and "cluster" in out


def test_bench_writes_results_and_report(run: Run, tmp_path: Path) -> None:
    inline = "{squeeze: [{pool: HW}], gate: [sigmoid]}"
    code, out, _ = run("bench", f"blocks=[senet,{inline},cbam]", *SMALL)
    folder = _written(tmp_path)
    rows = _rows(folder)
    assert code == 0 and {row["block"] for row in rows} == {"senet", "blocks.1", "cbam"}
    assert all(row["forward_s"] and row["train_s"] and row["forward_ratio"] for row in rows)
    assert (folder / "results.csv").is_file() and (folder / "report.html").is_file() and "senet" in out
    assert str(folder) in out.replace("\n", "")


def test_a_refused_block_is_a_row_and_the_rest_is_measured(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("bench", "blocks=[senet,ecanet]", "input=single", "input.channels=8", *SMALL[2:])
    rows = {row["block"]: row for row in _rows(_written(tmp_path))}
    assert code == 0 and "floors to 0" in str(rows["senet"]["refused"]) and rows["senet"]["forward_s"] is None
    assert rows["ecanet"]["forward_s"] and rows["ecanet"]["forward_ratio"] is None


def test_a_block_of_ones_own_folder(run: Run, tmp_path: Path) -> None:
    block = tmp_path / "my" / "block"
    block.mkdir(parents=True)
    (block / "strips.yaml").write_text("let: {r: 4}\nsqueeze: [{pool: W}]\nexcite: [{mlp: C/r}]\ngate: [sigmoid]\n")
    (block / "both.yaml").write_text("series: [senet, strips]\n")
    (block / "thin.yaml").write_text("defaults: [cbam, _self_]\nseries: {spatial: null}\n")
    (tmp_path / "my" / "gate").mkdir()
    (tmp_path / "my" / "gate" / "half.yaml").write_text("# @package block\ngate: [sigmoid, {affine: {scale: 0.5}}]\n")
    for name, path in (("both", "series.1.excite.0"), ("thin", "series.channel.excite.0")):
        code, out, err = run("show", "--config-dir", "my", f"block={name}", "channels=64", "size=7")
        assert (code, err) == (0, "") and path in out and "series.spatial" not in out
    code, out, _ = run("show", "--config-dir", "my", "block=strips", "gate=half", "block.let.r=8", "channels=64")
    assert code == 0 and "affine" in out and "let: r = 8" in out
    code, _, _ = run("bench", "--config-dir", "my", "blocks=[both,senet]", *SMALL)
    assert code == 0 and {row["block"] for row in _rows(_written(tmp_path))} == {"both", "senet"}


def test_a_sweep_lists_refusals_and_keeps_one_table(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("bench", "-m", "block=unit", "squeeze=mean,channels", "excite=mlp", "gate=sigmoid,softmax", *SMALL)
    folder = _written(tmp_path, "multirun") if (tmp_path / "multirun").is_dir() else tmp_path
    rows = {row["block"]: row for row in _rows(folder)}
    assert code == 0 and set(rows) == {
        "senet",
        "unit mean/mlp/sigmoid",
        "unit mean/mlp/softmax",
        "unit channels/mlp/sigmoid",
        "unit channels/mlp/softmax",
    }
    assert str(rows["unit channels/mlp/softmax"]["refused"]).startswith("unit.yaml gate.0: softmax: over C of size 1")
    assert rows["unit mean/mlp/sigmoid"]["forward_ratio"] and (folder / "report.html").is_file() and "refused" in out


def test_overrides_are_a_sweep_too(run: Run, tmp_path: Path) -> None:
    code, _, _ = run("bench", "-m", "block=senet,cbam", "block.let.r=8,16", "baseline=null", *SMALL)
    names = {row["block"] for row in _rows(_written(tmp_path, "multirun"))}
    assert code == 0 and names == {f"{block} let.r={r}" for block in ("senet", "cbam") for r in (8, 16)}


def test_jobs_that_differ_in_the_measurement_alone_keep_their_rows(run: Run, tmp_path: Path) -> None:
    settings = [text for text in SMALL if not text.startswith("batch=")]
    code, _, _ = run("bench", "-m", "block=cbam", "batch=1,2", "dtype=float32,float64", *settings)
    rows = {(row["block"], row["batch"]) for row in _rows(_written(tmp_path, "multirun")) if row["block"] != "senet"}
    assert code == 0 and rows == {(f"cbam dtype={dtype}", batch) for dtype in ("float32", "float64") for batch in (1, 2)}


def _interrupting(after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C after so many timings."""
    original, seen = Comparison.run, []

    def run(self: Comparison):  # type: ignore[no-untyped-def]
        for name in original(self):
            seen.append(name)
            yield name
            if len(seen) >= after:
                raise KeyboardInterrupt

    monkeypatch.setattr(Comparison, "run", run)


def test_ctrl_c_keeps_what_was_measured(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _interrupting(5, monkeypatch)
    shapes = "input.shapes=[[32,7,7],[64,7,7]]"
    code, out, err = run("bench", "blocks=[senet,ecanet]", shapes, "batch=2", "rounds=1", "seconds=0.001")
    rows = _rows(_written(tmp_path))
    assert code == cli.INTERRUPTED and "interrupted; the finished measurements are in" in out.replace("\n", " ")
    done = {(row["block"], row["channels"]): row for row in rows}
    assert done["senet", 32]["train_s"] and done["senet", 64]["forward_s"] and done["senet", 64]["train_s"] is None


def test_ctrl_c_in_a_sweep_keeps_the_earlier_jobs(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _interrupting(5, monkeypatch)
    code, out, _ = run("bench", "-m", "block=cbam,ecanet,scse", *SMALL)
    rows = {row["block"]: row for row in _rows(_written(tmp_path, "multirun"))}
    assert code == cli.INTERRUPTED and rows["cbam"]["train_s"] and rows["ecanet"]["forward_s"] and "scse" not in rows
    assert "cbam" in out


HOSTILE = {
    "block/a.yaml": ("# @package _global_\nhydra: {callbacks: {y: {_target_: os.system}}}\n", "_target_"),
    "block/b.yaml": ("# @package _global_\nlet: {r: 3}\ngate: [sigmoid]\n", "the package '_global_' is refused"),
    "block/c.yaml": ("# @package hydra.callbacks\ny: {x: 1}\n", "the package 'hydra.callbacks' is refused"),
    "block/d.yaml": ("hydra: {run: {dir: /tmp}}\ngate: [sigmoid]\n", "the key 'hydra' is refused"),
    "block/e.yaml": ("gate: [{_target_: os.system}]\n", "a config cannot run code"),
    "block/f.yaml": ("gate: ['${oc.env:HOME}']\n", "'${' is refused"),
    "block/g.yaml": ("defaults: [{/hydra/launcher: evil}]\ngate: [sigmoid]\n", "is refused"),
    "block/h.yaml": ("defaults: ['/hydra/launcher@_global_']\ngate: [sigmoid]\n", "is refused"),
    "block/i.yaml": ("gate: !!python/object/apply:os.system [ls]\n", "malformed YAML"),
    "hydra/launcher/evil.yaml": ("x: 1\n", "cannot configure Hydra"),
}


@pytest.mark.parametrize("file", HOSTILE)
def test_a_config_dir_cannot_configure_hydra(run: Run, tmp_path: Path, file: str) -> None:
    text, reason = HOSTILE[file]
    path = tmp_path / "my" / file
    path.parent.mkdir(parents=True)
    path.write_text(text)
    for flag in (["--config-dir", "my"], ["--config-dir=my"], ["-cd", "my"]):
        code, out, err = run("show", *flag, "block=senet")
        assert (code, out) == (2, "") and err.startswith(f"my/{file}") and reason in err and "Traceback" not in err


def test_help_and_usage(run: Run) -> None:
    assert run("--help") == (0, f"{cli.USAGE}\n", "")
    assert run() == (2, f"{cli.USAGE}\n", "")
    code, out, _ = run("--version")
    assert code == 0 and out.count(".") == 2


def test_completion_prints_a_script(run: Run) -> None:
    for shell in ("bash", "zsh"):
        code, out, _ = run("completion", shell)
        assert code == 0 and "complete -o nospace" in out and "-sc query=bash" in out
    assert run("completion", "fish")[0] == 2
