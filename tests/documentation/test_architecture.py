"""Files that the documentation names exist, and the two walks of docs/architecture.md enter them in that order."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import torch

import sefactory as sf

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "sefactory"
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
NAME = re.compile(r"`((?:[a-z_]+/)*(?:[a-z_]+\.py|[a-z_]+/))`")
SE = "let: {r: 16}\nsqueeze: [pool]\nexcite: [{linear: C/r}, relu, {linear: C}]\ngate: [sigmoid]\n"


def _entered(function: Callable[[], object]) -> list[str]:
    """The files of the package that a call enters, in the order of their first function. errors.py is left out."""
    files: dict[str, None] = {}

    def profile(frame: FrameType, event: str, _: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(PACKAGE):
            files.setdefault(str(path.relative_to(PACKAGE)))

    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(None)
    return [file for file in files if file != "errors.py"]


def _check_walk(heading: str, entered: list[str]) -> None:
    """The numbered items under a heading: their first names are entered in order, and nothing else is entered."""
    section = TEXT.split(f"## {heading}")[1].split("\n## ")[0]
    items = [NAME.findall(item) for item in re.split(r"^\d+\. ", section, flags=re.MULTILINE)[1:]]
    named = {name for names in items for name in names}
    assert [file for file in entered if not any(file.startswith(name) for name in named)] == []
    first = [next(i for i, file in enumerate(entered) if file.startswith(names[0])) for names in items]
    assert first == sorted(first), entered


def test_the_files_exist() -> None:
    names = [name for name in NAME.findall(TEXT) if not name.startswith("my/")]
    assert len(names) > 40
    assert [name for name in names if not (PACKAGE / name).exists() and not (ROOT / name).exists()] == []


def test_the_walks_are_as_described(tmp_path: Path) -> None:
    path = tmp_path / "se.yaml"
    path.write_text(SE)
    built: list[sf.Block] = []
    _check_walk("`sf.build`: the files in order", _entered(lambda: built.append(sf.build(path, 64, overrides=["let.r=8"]))))
    x = torch.randn(2, 64, 14, 14)
    _check_walk("`block(x)`: the files in order", _entered(lambda: built[0](x)))


def test_what_contributing_names_exists() -> None:
    text = " ".join((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split())
    paths = set(re.findall(r"`((?:[\w-]+/)+[\w.-]*)`", text))
    assert len(paths) > 20 and [path for path in paths if not (ROOT / path).exists()] == ["configs/block/NAME.yaml"]
    names = re.findall(r"`(\w+)` in `([\w/]+\.py)`", text)
    assert len(names) >= 5 and [(name, path) for name, path in names if name not in (ROOT / path).read_text()] == []
