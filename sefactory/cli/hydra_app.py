"""Runs `show` and `bench`: each is a Hydra application with its own primary config, configs/COMMAND.yaml."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from ..config.repository import SHIPPED
from ..errors import ConfigError
from .arguments import is_given, is_sweep
from .command_line import CommandLine
from .hydra_errors import as_config_errors


def _select_task(command: str, config: DictConfig) -> Callable[[DictConfig], None]:
    """What a command does with blocks, or with networks. Imports torch, which a mistake on the command line does not need."""
    from .bench import bench_blocks, bench_networks
    from .show import show_block, show_network

    tasks = {"show": (show_block, show_network), "bench": (bench_blocks, bench_networks)}
    has_hosts = is_given(config, "host") or (command == "bench" and is_given(config, "hosts"))
    return tasks[command][has_hosts]


def run_application(line: CommandLine) -> None:
    """Runs a command for one job, or for each job of a sweep.

    Raises ConfigError with the faults of all jobs: raised inside a job, Hydra would print lines of its own and end the sweep.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # exceptions reach the caller instead of being printed
    sys.argv = [f"sefactory {line.command}", *line.hydra_arguments()]
    faults: dict[tuple[str, str], None] = {}
    sweep_folders: set[Path] = set()

    def run_job(config: DictConfig) -> None:
        if is_sweep():
            sweep_folders.add(Path(HydraConfig.get().sweep.dir))
        try:
            _select_task(line.command, config)(config)
        except ConfigError as error:
            faults.update(dict.fromkeys(error.faults))

    application = hydra.main(version_base="1.3", config_path=str(SHIPPED.resolve()), config_name=line.command)
    try:
        with as_config_errors(line):
            application(run_job)()
    finally:
        if line.command == "bench" and sweep_folders:
            from .bench_job import print_sweep

            for folder in sweep_folders:  # also after Ctrl-C
                print_sweep(folder)
    if faults:
        raise ConfigError(faults)
