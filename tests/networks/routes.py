"""Scripts that run in processes of their own, as the libraries of users do.

Their libraries are the extra `routes` of pyproject.toml, which `make test-all` installs.
"""

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "networks.md"
PRELUDE = """
import json, sys, torch
import sefactory as sf
from sefactory.networks.zoos import import_torchvision

torch.set_num_threads(1)
import_torchvision()
folder = sys.argv[1]
"""
SCRAMBLE = """
def scramble(model):
    torch.manual_seed(1)
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if "inserted" in name and tensor.dim() > 1:
                tensor.normal_(std=tensor[0].numel() ** -0.5)  # larger ones saturate the gates
            elif "inserted" in name and tensor.is_floating_point():
                tensor.uniform_(0.1, 0.5)
    return model.eval()
"""
"""Gives blocks random weights and statistics, and a large alpha."""


def run(folder: Path, script: str) -> Any:
    """The last line that a script prints, as JSON. Settings and downloads of libraries stay in the folder."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder)}
    environment |= {"YOLO_OFFLINE": "1", "YOLO_CONFIG_DIR": str(folder), "YOLO_AUTOINSTALL": "false"}
    command = [sys.executable, "-c", PRELUDE + script, str(folder)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


def snippet(start: str, changes: dict[str, str]) -> str:
    """The code behind a text of docs/networks.md, with values that need no download and little time."""
    text = PAGE.read_text(encoding="utf-8").split(f"\n{start}")[1]
    found = re.search(r"\n((?: {4}.*\n|\n)+)", text[text.index("\n\n    ") :])
    assert found, f"{start}: no code"
    code = textwrap.dedent(found[1])
    for before, after in changes.items():
        assert before in code, f"{start}: the code has no {before}"
        code = code.replace(before, after)
    return code
