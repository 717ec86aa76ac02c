"""`sefactory COMMAND key=value ...`: each command is a Hydra application of its own primary config."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..config.repository import SHIPPED
from ..errors import ConfigError, did_you_mean, join_words

USAGE = """\
usage: sefactory COMMAND [key=value ...]

  show        one block as a table of path / operator / sizes / parameters / MACs
  bench       several blocks side by side: time, memory, cost, with a report
  completion  print the shell code of tab completion: eval "$(sefactory completion bash)"

`sefactory COMMAND --help` lists its keys and the configs to choose from."""

INTERRUPTED = 130


def main() -> None:
    """The console script: runs the command and exits; a user's mistake is a line or two on stderr and exit code 2."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """The exit code of a command line."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE)
        return 0 if arguments else 2
    if arguments[0] == "--version":
        from importlib.metadata import version

        print(version("sefactory"))
        return 0
    if arguments[0] == "completion":
        return _completion(arguments[1:])
    if arguments[0] not in ("show", "bench"):
        hint = did_you_mean(arguments[0], ["show", "bench", "completion"])
        print(f"sefactory: no command {arguments[0]!r}; there are show, bench, completion{hint}", file=sys.stderr)
        return 2
    try:
        return _application(arguments[0], arguments[1:])
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of a pipe has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def _application(command: str, arguments: Sequence[str]) -> int:
    """Runs one Hydra application; its own errors are said in our words."""
    from . import config_scan as scan
    from . import errors as explain

    scan.check(arguments)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # exceptions reach us instead of being printed
    sys.argv = [f"sefactory {command}", *arguments]
    import hydra

    task = _task(command)
    faults: list[ConfigError] = []
    sweeps: set[Path] = set()
    application = hydra.main(version_base="1.3", config_path=str(SHIPPED.resolve()), config_name=command)
    try:
        with explain.hydra_errors(command, arguments):
            application(_kept(task, faults, sweeps))()
    finally:
        _close(command, sweeps)
    if faults:
        raise ConfigError(dict.fromkeys(fault for error in faults for fault in error.faults))
    return 0


def _kept(task: Callable[[Any], None], faults: list[ConfigError], sweeps: set[Path]) -> Callable[[Any], None]:
    """The task with its faults kept for later: Hydra would put lines of its own before them, and end a sweep."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    def run(config: Any) -> None:
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            sweeps.add(Path(HydraConfig.get().sweep.dir))
        try:
            task(config)
        except ConfigError as error:
            faults.append(error)

    return run


def _close(command: str, sweeps: set[Path]) -> None:
    """The combined table of a sweep, also of one that was interrupted."""
    if command == "bench" and sweeps:
        from .bench import finish_sweep

        for folder in sweeps:
            finish_sweep(folder)


def _task(command: str) -> Callable[[Any], None]:
    if command == "show":
        from .show import show

        return show
    from .bench import bench

    return bench


def _completion(arguments: Sequence[str]) -> int:
    from .completion import SCRIPTS

    shell = arguments[0].removeprefix("install=") if arguments else "bash"
    if shell not in SCRIPTS:
        print(f"sefactory completion: no shell {shell!r}; there are {join_words(SCRIPTS)}", file=sys.stderr)
        return 2
    print(SCRIPTS[shell])
    return 0
