"""Folders of `--config-dir`: they add blocks and slot words, and cannot configure Hydra."""

from pathlib import Path

import pytest

from tests.cli.command_line import SMALL, Run, read_rows, results_folder


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
    assert code == 0 and {row["block"] for row in read_rows(results_folder(tmp_path))} == {"both", "senet"}


HOSTILE = {
    "block/a.yaml": ("# @package _global_\nhydra: {callbacks: {y: {_target_: os.system}}}\n", "_target_"),
    "block/b.yaml": ("# @package _global_\nlet: {r: 3}\ngate: [sigmoid]\n", "the package '_global_' is refused"),
    "block/c.yaml": ("# @package hydra.callbacks\ny: {x: 1}\n", "the package 'hydra.callbacks' is refused"),
    "block/d.yaml": ("hydra: {run: {dir: /tmp}}\ngate: [sigmoid]\n", "the key 'hydra' is refused"),
    "block/e.yaml": ("gate: [{_target_: os.system}]\n", "a config cannot run code"),
    "block/f.yaml": ("gate: ['${oc.env:HOME}']\n", "'${' is not allowed"),
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
