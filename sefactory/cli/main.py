"""The console script `sefactory COMMAND key=value ...`."""

import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext

from ..errors import ConfigError, did_you_mean, first_line, join_words
from .checks import check_command_line
from .command_line import CommandLine, read_argument, read_command_line
from .completion.command import print_candidates, print_script
from .help import command_help
from .interrupts import Terminated, sigterm_as_interrupt
from .primary_config import COMMANDS as CONFIGURED
from .streams import guard_streams

USAGE = """\
usage: sefactory COMMAND [key=value ...]

  show        print a block, or the blocks of a network: operators, sizes, parameters, MACs
  bench       compare blocks or networks: time, memory and cost, as a table and an HTML report;
              bench compare A B compares the results of two runs
  train       train a network with or without a block, and score it
  study       train variants with the same seeds, and say which of them help
  report      the verdicts of finished runs, as a table and an HTML report
  completion  print the shell code for tab completion: eval "$(sefactory completion bash)"

`sefactory COMMAND --help` lists the keys of a command and the configs to choose from."""

COMMANDS = (*CONFIGURED, "completion")
INTERRUPTED = 130


def main() -> None:
    """Runs the command line and exits; a mistake of the user is a message on stderr and exit code 2."""
    sys.exit(guard_streams(lambda: run(sys.argv[1:])))


def run(arguments: Sequence[str]) -> int:
    """Runs a command line and returns its exit code."""
    if arguments[:1] == ["help"] and len(arguments) > 1:
        return run([arguments[1], "--help"])
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE)
        return 0 if arguments else 2
    command, *rest = arguments
    if command == "--version":
        _print_version()
        return 0
    if command == "completion":
        return print_script(rest)
    if command == "_complete":
        return print_candidates(rest)
    if command not in COMMANDS:
        hint = did_you_mean(command, COMMANDS)
        print(f"sefactory: no command {command!r}; the commands are {join_words(COMMANDS)}{hint}", file=sys.stderr)
        return 2
    return _run_command(command, rest)


def _run_command(command: str, words: Sequence[str]) -> int:
    """Runs a command that has a primary config and returns the exit code."""
    try:
        if command == "bench" and words[:1] == ["compare"]:
            from .compare import run_compare

            run_compare(words[1:])
        else:
            _run_line(read_command_line(command, words))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except SystemExit as ended:  # of Hydra, which has printed why
        return 2 if ended.code else 0
    except KeyboardInterrupt as interrupt:
        print("terminated" if isinstance(interrupt, Terminated) else "interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if os.environ.get("SEFACTORY_TRACEBACK"):
            raise
        text = f"unexpected {type(error).__name__}: {first_line(error)}"
        print(f"sefactory: {text}; set SEFACTORY_TRACEBACK=1 to see where", file=sys.stderr)
        return 2
    return 0


def _run_line(line: CommandLine) -> None:
    """Runs a command. Only a command line without mistakes imports Hydra and torch."""
    if "--help" in line.flags:
        print(command_help(line.command, line.folders))
    elif "--version" in line.flags:
        _print_version()
    else:
        check_command_line(line)
        with sigterm_as_interrupt():
            _run_application(line)


def _run_application(line: CommandLine) -> None:
    """Runs a command line in Hydra. A sweep of show leaves no file: Hydra writes its config to a temporary folder."""
    from tempfile import TemporaryDirectory

    from .hydra_app import run_application  # takes a second to import, in which Ctrl-C is possible too

    with TemporaryDirectory() if line.command == "show" and line.is_sweep else nullcontext() as folder:
        own_folder = [read_argument(f"hydra.sweep.dir={folder}")] if folder else []
        run_application(line._replace(arguments=(*own_folder, *line.arguments)))


def _print_version() -> None:
    from importlib.metadata import version

    print(version("sefactory"))
