"""Runs a command: each is a Hydra application with its own primary config, configs/COMMAND.yaml."""

import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import hydra
from omegaconf import DictConfig

from ..config.repository import SHIPPED
from ..errors import ConfigError, first_line
from .arguments import is_given, is_sweep
from .command_line import CommandLine
from .given_configs import store_given_configs
from .hydra_errors import as_config_errors
from .sweep import SweepStart, has_basic_launcher, has_basic_sweeper, new_note, new_run, sweep_folder, write_note

Faults = dict[tuple[str, str], None]


def run_application(line: CommandLine) -> None:
    """Runs a command for one job, or for each job of a sweep. Raises ConfigError with the faults of all jobs.

    After Ctrl-C the results are written and the faults are printed, before KeyboardInterrupt is raised again.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # exceptions reach the caller instead of being printed
    arguments = [*store_given_configs(line).hydra_arguments(), *([new_run()] if line.is_sweep else [])]
    sys.argv = [f"sefactory {line.command}", *arguments]
    SweepStart.started.clear()
    faults: Faults = {}
    interrupt = _run_hydra(line, faults)
    faults.update(dict.fromkeys(_finish_sweeps(line)))
    if interrupt and faults:
        print(ConfigError(faults), file=sys.stderr)
    if interrupt:
        raise interrupt
    if faults:
        raise ConfigError(faults)


def _run_hydra(line: CommandLine, faults: Faults) -> KeyboardInterrupt | None:
    """Runs the jobs, and adds what goes wrong to `faults`. Returns the interrupt that ended them, if there was one."""
    application = hydra.main(version_base="1.3", config_path=str(SHIPPED.resolve()), config_name=line.command)
    try:
        with as_config_errors(line):
            application(_job(line, faults))()
    except KeyboardInterrupt as error:
        return error
    except ConfigError as error:
        faults.update(dict.fromkeys(error.faults))
    except OSError as error:
        faults.update(dict.fromkeys([_file_fault(error, line)]))
    except Exception as error:
        if not SweepStart.started or os.environ.get("SEFACTORY_TRACEBACK"):
            raise
        faults.update(dict.fromkeys([_lost_job_fault(error, line)]))
    return None


def _job(line: CommandLine, faults: Faults) -> Callable[[DictConfig], float | None]:
    """What Hydra runs for each job. Faults of the job are added to `faults`: Hydra would print them in lines of its own."""
    command = _typed(line)

    def run_job(config: DictConfig) -> float | None:
        try:
            return _run_task(line.command, config, command)
        except (ConfigError, OSError) as error:
            found = error.faults if isinstance(error, ConfigError) else (_file_fault(error, line),)
            faults.update(dict.fromkeys(found))
            _report_fault(line.command, error, found)
        return None

    return run_job


def _typed(line: CommandLine) -> str:
    """The command line as a shell reads it."""
    return shlex.join(["sefactory", line.command, *line.hydra_arguments()])


def _finish_sweeps(line: CommandLine) -> Iterator[tuple[str, str]]:
    """Writes and prints the results of the sweep, if one was started. Yields its faults."""
    for folder, layout in SweepStart.started:
        if line.command == "train":
            from .train import finish_trainings

            yield from finish_trainings(folder, layout)
        else:
            from .bench_output import finish_sweep

            yield from finish_sweep(folder, _typed(line), layout)


def _run_task(name: str, config: DictConfig, command: str) -> float | None:
    """Does what the command of this name does. Returns what a sweeper minimises."""
    if name == "bench":
        from .bench import bench_blocks, bench_networks
        from .bench_output import run_job

        is_network = is_given(config, "host") or is_given(config, "hosts")
        return run_job((bench_networks if is_network else bench_blocks)(config), config, command)
    if name == "train":
        from .train import train_network

        return train_network(config)
    _run_command(name, config)
    return None


def _run_command(name: str, config: DictConfig) -> None:
    """Does what a command does that returns nothing to a sweeper."""
    if name == "show":
        from .show import show_block, show_network  # imports torch

        (show_network if is_given(config, "host") else show_block)(config)
        return
    try:
        from .report import report_store
        from .study import run_study
    except ModuleNotFoundError as error:
        raise ConfigError([(name, f"{error.name} is not installed; pip install 'sefactory[study]'")]) from None
    (run_study if name == "study" else report_store)(config)


def _report_fault(command: str, error: Exception, faults: Sequence[tuple[str, str]]) -> None:
    """Notes the faults of a job for the process that started the sweep.

    Raises the error again for a sweeper that needs results, and where no note can be left: `show` writes no files.
    """
    if not is_sweep():
        return
    if command != "show":
        with suppress(OSError):  # then this process alone knows of them
            write_note(new_note(faults), sweep_folder())
    if not has_basic_sweeper() or (command == "show" and not has_basic_launcher()):
        raise error


def _lost_job_fault(error: Exception, line: CommandLine) -> tuple[str, str]:
    """The fault for a job of a sweep that ended without a result, for example in a worker that was killed."""
    folder, _ = SweepStart.started[-1]
    verb = "trains" if line.command == "train" else "measures"
    cure = f"the same command with hydra.sweep.dir={folder} {verb} what is missing"
    return "sweep", f"a job has no result: {type(error).__name__}: {first_line(error)}; {cure}"


def _file_fault(error: OSError, line: CommandLine) -> tuple[str, str]:
    """The fault for a file or folder that cannot be read or written, and the key that chooses another."""
    key = "store" if line.command in ("train", "study", "report") else "hydra.sweep.dir" if line.is_sweep else "hydra.run.dir"
    return str(error.filename or "files"), f"{error.strerror or first_line(error)}; choose another folder with {key}=DIR"
