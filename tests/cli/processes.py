"""The command line in processes of its own, with the launchers of Hydra."""

import os
import subprocess
import sys
from pathlib import Path

COMMAND = [sys.executable, "-c", "from sefactory.cli.main import main; main()"]
LAUNCHERS = {
    "basic": [],
    "joblib": ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
    "submitit": ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=5"],
}


def start(folder: Path, *arguments: str, start_new_session: bool = False) -> subprocess.Popen[str]:
    """A command line that runs in a folder."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    pipe = subprocess.PIPE
    command = [*COMMAND, *arguments]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True, start_new_session=start_new_session
    )


def finish(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of a command line that runs in a folder."""
    process = start(folder, *arguments)
    out, err = process.communicate()
    return process.returncode, out, err
