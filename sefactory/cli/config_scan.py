"""Scans the folders of `--config-dir` before Hydra reads them: a config file may not configure Hydra, which could run code."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..config.yaml_reader import parse_yaml, read_text
from ..errors import ConfigError, join_words

MAX_FILES = 5_000
NO_HYDRA = "a config folder cannot configure Hydra; write such settings on the command line"
PACKAGE_DIRECTIVE = re.compile(r"\s*#.*@\s*package\s*(.*)")
GROUPS = ("block", "input", "host", "data", "network", "recipe", "study")
ALLOWED_PACKAGE = re.compile(rf"(_group_|{'|'.join(GROUPS)})([.][A-Za-z0-9_.]+)?")
ALLOWED_DEFAULT = re.compile(r"(_self_|[a-z0-9_]+(/[a-z0-9_]+)*)")


def check_config_dirs(folders: Sequence[Path]) -> None:
    """Raises ConfigError for a folder that does not exist, and for every file in one that configures Hydra."""
    faults: list[tuple[str, str]] = []
    for folder in folders:
        if not folder.is_dir():
            raise ConfigError([(f"--config-dir {folder}", "no such folder")])
        for count, file in enumerate(_yaml_files(folder)):
            if count >= MAX_FILES:
                raise ConfigError([(str(folder), f"has more than {MAX_FILES:,} YAML files")])
            faults += [(str(file), text) for text in _file_faults(file, file.relative_to(folder))]
    if faults:
        raise ConfigError(faults)


def _yaml_files(folder: Path) -> Iterator[Path]:
    """Yields the YAML files of a folder and below it. Links to folders are followed, as Hydra does, and each folder once.

    The folder `hydra` comes first: it may be a link to another one. Raises ConfigError for a folder that cannot be listed.
    """
    seen: set[str] = set()
    for parent, folders, files in os.walk(folder, followlinks=True, onerror=_refuse_unlisted):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort(key=lambda name: (name != "hydra", name))
        yield from (Path(parent, file) for file in sorted(files) if file.endswith(".yaml"))


def _refuse_unlisted(error: OSError) -> None:
    """Raises ConfigError for a folder whose files cannot be listed, but can be opened by name."""
    if os.access(error.filename, os.X_OK):
        raise ConfigError([(str(error.filename), f"the folder cannot be listed: {error.strerror}")])


def _is_readable(file: Path) -> bool:
    """True if Hydra can read a file: it is no dangling link, no pipe, and can be opened."""
    if not file.is_file():
        return False
    try:
        file.open("rb").close()
    except OSError:
        return False
    return True


def _file_faults(file: Path, relative: Path) -> list[str]:
    """What in a file, at a path relative to its config folder, would configure Hydra. A file that cannot be read cannot."""
    if relative.parts[0] == "hydra":
        return [NO_HYDRA]
    if not _is_readable(file):
        return []
    text = read_text(file, str(file))
    data, packages = parse_yaml(text, str(file)), _packages(text)
    refused = [package for package in packages if not ALLOWED_PACKAGE.fullmatch(package)]
    faults = [f"the package {name!r} is refused; allowed: {join_words(GROUPS)}, and packages below them" for name in refused]
    if isinstance(data, dict) and "hydra" in data:
        faults.append(f"the key 'hydra' is refused: {NO_HYDRA}")
    return faults + _defaults_faults(data)


def _packages(text: str) -> list[str]:
    """The packages that comments of a file name. Lines end where they do for Hydra, for example at a carriage return."""
    found = (PACKAGE_DIRECTIVE.match(line) for line in text.splitlines())
    return [match[1].strip() for match in found if match]


def _defaults_faults(data: Any) -> list[str]:
    entries = data.get("defaults", []) if isinstance(data, dict) else []
    if not isinstance(entries, list):
        return ["defaults must be a list of names and _self_"]
    refused = [entry for entry in entries if not (isinstance(entry, str) and ALLOWED_DEFAULT.fullmatch(entry))]
    return [f"defaults: {entry!r} is refused; allowed: names of the same folder, and _self_" for entry in refused]
