"""Runs of the command line and their results."""

import json
from collections.abc import Callable
from pathlib import Path

Run = Callable[..., tuple[int, str, str]]
"""Arguments -> (exit code, stdout, stderr)."""
SMALL = ["input=single", "input.channels=64", "input.size=7", "batch=2", "rounds=1", "seconds=0.001"]


def read_rows(folder: Path) -> list[dict[str, object]]:
    """The rows of a folder's results.json."""
    rows: list[dict[str, object]] = json.loads((folder / "results.json").read_text())["rows"]
    return rows


def results_folder(tmp_path: Path, kind: str = "outputs") -> Path:
    """The output folder of the one run below a folder; `kind` is "multirun" for a sweep."""
    (folder,) = (path.parent for path in tmp_path.glob(f"{kind}/*/*/results.json"))
    return folder
