"""The config of a run: data, network, block, recipe and seed. A run is a function of it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...build.api import load
from ...config.repository import ConfigRepository
from ...config.yaml_reader import copy_plain, to_plain
from ...errors import ConfigError, did_you_mean, join_words, short_repr

GROUPS = ("data", "network", "recipe")
OTHERS = ("seed", "static", "test", "device", "threads")
KEYS = (*GROUPS, "block", "overrides", "label", *OTHERS, "search")
NO_BLOCK = "plain"
"""The label of a network without blocks."""


@dataclass(frozen=True)
class RunConfig:
    """One training, as plain data that every process can read.

    - `data`, `network`, `recipe`: the contents of a config of that group.
    - `block`: the config of the block at the places of the network that name none; None for the network alone.
    - `label`: its name in tables.
    - `seed`: draws the subset, the order, the augmentation and the initial weights.
    - `static`: the gates do not see the image (`make_gates_static`).
    - `test`: the test images are scored as well, at the end.
    - `device`, `threads`: where it runs. They are no part of what is computed.
    - `search`: further folders of configs.
    """

    data: Mapping[str, Any]
    network: Mapping[str, Any]
    recipe: Mapping[str, Any]
    block: Any = None
    label: str = NO_BLOCK
    seed: int = 0
    static: bool = False
    test: bool = False
    device: str = "cpu"
    threads: int = 1
    search: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The config as plain containers, for a file."""
        return {key: copy_plain(list(value) if isinstance(value, tuple) else value) for key, value in asdict(self).items()}


def read_run(config: Mapping[str, Any], search: Sequence[str | Path] = ()) -> RunConfig:
    """The run of a mapping. `data`, `network`, `recipe` are names of configs or mappings; `block` is one, a Path, or None.

    Raises ConfigError for an unknown or missing key and for a value that is not allowed. What the groups and the block contain
    is checked when the run is prepared.
    """
    unknown = [key for key in config if key not in KEYS]
    faults = [(key, f"is no key of a run; there are {join_words(KEYS)}{did_you_mean(key, KEYS)}") for key in unknown]
    if config.get("overrides") and config.get("block") is None:
        faults.append(("overrides", "there is no block to change; set block"))
    faults += [(key, "is missing; give the name of a config or a mapping") for key in GROUPS if config.get(key) is None]
    faults += _value_faults(config)
    if faults:
        raise ConfigError(faults)
    repository = ConfigRepository(search)
    groups: dict[str, Any] = {key: read_group(key, config[key], repository) for key in GROUPS}
    if isinstance(folder := groups["data"].get("folder"), str):  # workers may run in another folder
        groups["data"] = {**groups["data"], "folder": str(Path(folder).absolute())}
    others: dict[str, Any] = {key: config[key] for key in OTHERS if key in config}
    block, overrides = config.get("block"), list(config.get("overrides", ()))
    beside = [block.parent] if isinstance(block, Path) else []  # names in a file are looked up beside it
    folders = [*search, *config.get("search", ()), *beside]
    label = config.get("label") or " ".join([_block_label(block), *overrides])
    if block is not None:
        block = load(block, overrides, folders)
    absolute = tuple(str(Path(folder).absolute()) for folder in folders)
    return RunConfig(**groups, block=block, label=label, search=absolute, **others)


def read_group(group: str, value: Any, repository: ConfigRepository) -> Mapping[str, Any]:
    """The content of a config of a group, which is given by name or as a mapping. Raises ConfigError."""
    if isinstance(value, Mapping):
        return _mapping(to_plain(value, group), group)
    path = repository.find(value, group) if isinstance(value, str) else None
    if path is None:
        names = repository.list_names(group)
        hint = did_you_mean(str(value), names)
        raise ConfigError([(group, f"no {group} named {short_repr(value)}; there are {join_words(names)}{hint}")])
    return _mapping(copy_plain(repository.read(path).data), path.name)


def _mapping(data: Any, label: str) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise ConfigError([(label, f"{short_repr(data)}; allowed: a mapping")])
    return {str(key): value for key, value in data.items()}


def _block_label(block: Any) -> str:
    return NO_BLOCK if block is None else str(block) if isinstance(block, str | Path) else "block"


def _value_faults(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is wrong with the values that are no configs."""
    faults = []
    for key, low in (("seed", 0), ("threads", 1)):
        value = config.get(key, low)
        if not isinstance(value, int) or isinstance(value, bool) or value < low:
            faults.append((key, f"{short_repr(value)}; allowed: an integer of at least {low}"))
    for key in ("static", "test"):
        if not isinstance(config.get(key, False), bool):
            faults.append((key, f"{short_repr(config[key])}; allowed: true, false"))
    for key in ("label", "device"):
        if not isinstance(config.get(key, ""), str):
            faults.append((key, f"{short_repr(config[key])}; allowed: a text"))
    for key, allowed in (("overrides", "a list of path=value"), ("search", "a list of folders")):
        texts = config.get(key, ())
        if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
            faults.append((key, f"{short_repr(texts)}; allowed: {allowed}"))
    return faults
