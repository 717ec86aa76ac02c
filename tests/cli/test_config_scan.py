"""Folders of `--config-dir`: they add blocks and slot words, and cannot configure Hydra."""

import os
from pathlib import Path
from typing import Any

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
    **{
        f"block/line_{ord(end)}.yaml": (
            f"# a comment{end}# @package hydra.job_logging{end}root: {{handlers: []}}{end}",
            "the package 'hydra.job_logging' is refused",
        )
        for end in "\r\x85\u2028"
    },
    "block/two.yaml": ("# @package  hydra.job_logging\nx: 1\n", "the package 'hydra.job_logging' is refused"),
    "block/hashes.yaml": ("## @package hydra.job_logging\nx: 1\n", "the package 'hydra.job_logging' is refused"),
    "hydra/launcher/evil.yaml": ("x: 1\n", "cannot configure Hydra"),
}


@pytest.mark.parametrize("file", HOSTILE)
def test_a_config_dir_cannot_configure_hydra(run: Run, tmp_path: Path, file: str) -> None:
    text, reason = HOSTILE[file]
    path = tmp_path / "my" / file
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode())
    for flag in (["--config-dir", "my"], ["--config-dir=my"], ["-cd", "my"]):
        code, out, err = run("show", *flag, "block=senet")
        assert (code, out) == (2, "") and err.startswith(f"my/{file}") and reason in err and "Traceback" not in err


SIGMOID = "gate: [sigmoid]\n"


@pytest.fixture
def folder(run: Run, tmp_path: Path) -> Path:
    """A folder of configs with a block, a dangling link, a folder with the suffix of a file, a pipe and an unreadable file."""
    block = tmp_path / "my" / "block"
    (block / "folder.yaml").mkdir(parents=True)
    (block / "folder.yaml" / "inner.yaml").write_text(SIGMOID)
    (block / "good.yaml").write_text(SIGMOID)
    (block / "locked.yaml").write_text(SIGMOID)
    (block / "dangling.yaml").symlink_to(tmp_path / "nowhere.yaml")
    os.mkfifo(block / "pipe.yaml")
    return block


@pytest.fixture
def locked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file locked.yaml cannot be opened, also by root."""
    original = Path.open

    def open_unlocked(self: Path, *args: Any, **options: Any) -> Any:
        if self.name == "locked.yaml":
            raise PermissionError(13, "Permission denied", str(self))
        return original(self, *args, **options)

    monkeypatch.setattr(Path, "open", open_unlocked)


def test_files_that_hydra_cannot_read_refuse_no_other_block(run: Run, locked: None) -> None:
    for command in (("show", "block=good"), ("show", "block=cbam", "channels=32")):
        code, _, err = run(*command, "--config-dir", "my", "size=4")
        assert (code, err) == (0, "")


BROKEN = {
    "dangling": "my/block/dangling.yaml is a link to a file that does not exist",
    "locked": "my/block/locked.yaml: cannot be read: Permission denied",
    "pipe": "my/block/pipe.yaml: is not a regular file",
    "folder": "my/block/folder.yaml: is a folder, not a YAML file",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_cannot_be_read_is_one_line(run: Run, locked: None, name: str) -> None:
    assert run("show", "--config-dir", "my", f"block={name}") == (2, "", f"block={name}: {BROKEN[name]}\n")
    assert run("bench", "--config-dir", "my", f"blocks=[good,{name}]") == (2, "", f"blocks: {BROKEN[name]}\n")


def test_a_file_that_cannot_be_read_is_not_suggested(run: Run, folder: Path) -> None:
    code, _, err = run("show", "--config-dir", "my", "block=danglin")
    assert code == 2 and "no block named 'danglin'" in err and "dangling" not in err.replace("'danglin'", "")


@pytest.mark.parametrize("link", ["block/sub", "block", "hydra", "deep"])
def test_a_link_to_a_folder_is_scanned(run: Run, tmp_path: Path, link: str) -> None:
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "evil.yaml").write_text(HOSTILE["block/b.yaml"][0])
    (tmp_path / "my" / link).parent.mkdir(parents=True)
    (tmp_path / "my" / link).symlink_to(tmp_path / "evil")
    code, _, err = run("show", "--config-dir", "my", "block=senet")
    reason = "cannot configure Hydra" if link == "hydra" else "'_global_' is refused"
    assert code == 2 and err.startswith(f"my/{link}/evil.yaml: ") and reason in err and err.count("\n") == 1


def test_a_folder_named_hydra_that_links_to_blocks_is_refused(run: Run, folder: Path) -> None:
    (folder.parent / "hydra").symlink_to(folder)
    (folder.parent / "a").symlink_to(folder)
    code, _, err = run("show", "--config-dir", "my", "block=senet")
    assert code == 2 and "my/hydra/good.yaml: a config folder cannot configure Hydra" in err and "my/a/" not in err


def test_a_link_to_the_folder_itself_ends(run: Run, folder: Path) -> None:
    (folder / "again").symlink_to(folder.parent)
    assert run("show", "--config-dir", "my", "block=good", "size=4")[0] == 0


def test_a_folder_that_cannot_be_listed_is_refused(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = os.scandir

    def scandir(path: Any = ".") -> Any:
        if str(path).endswith("block"):
            raise PermissionError(13, "Permission denied", str(path))
        return original(path)

    monkeypatch.setattr(os, "scandir", scandir)
    code, _, err = run("show", "--config-dir", "my", "block=senet")
    assert (code, err) == (2, "my/block: the folder cannot be listed: Permission denied\n")


REFUSED = {
    "hydra.searchpath=[file:///tmp]": (
        "override hydra.searchpath=[file:///tmp]: is refused: a config of such a folder could run code; "
        "use --config-dir, whose files are checked"
    ),
    "--experimental-rerun=config.pickle": (
        "--experimental-rerun: is refused: it loads a pickle, which can run code; repeat the command"
    ),
}


@pytest.mark.parametrize("argument", REFUSED)
def test_arguments_that_read_unchecked_files_are_refused(run: Run, argument: str) -> None:
    assert run("show", argument) == (2, "", f"{REFUSED[argument]}\n")
