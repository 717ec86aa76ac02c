"""The authors' weights into a block, by the key map of its config; nothing may be left over on either side."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .block import Block
from .errors import ConfigError, nearest, shown, words

COUNTER = "num_batches_tracked"
Keys = Mapping[str, "str | Sequence[str]"]


def load_official(
    block: Block, state_dict: Mapping[str, Tensor], *, source: str | None = None, keys: Keys | None = None
) -> None:
    """Copies the authors' tensors into the block, all of them or, where anything does not fit, none.

    `source` names a map of the config's `official:`; `keys` is a map given here: {ours: theirs}, keys or prefixes, a
    list on the right is concatenated along dim 0, `unused: [...]` names entries of theirs without a place. Shapes may
    differ by axes of size 1. Batch counters are carried along (the largest of a list) where theirs has them.
    Raises ConfigError naming the keys left over on either side, or the shapes that do not fit.
    """
    mapping = _mapping(block, source, keys)
    unused = mapping.pop("unused", [])
    ours = block.state_dict()
    faults: list[str] = []
    new, used = dict[str, Tensor](), set[str]()
    for key, tensor in ours.items():
        names = _theirs(key, mapping)
        missing = [name for name in names if name not in state_dict]
        if key.endswith(COUNTER) and (missing or not names):
            continue
        if missing or not names:
            faults.append(f"{key} wants {words(missing)}" if missing else f"{key} has no entry in the map")
            continue
        used.update(names)
        try:
            new[key] = _joined(key, tensor, [state_dict[name] for name in names])
        except ValueError as error:
            faults.append(str(error))
    left = [name for name in state_dict if name not in used and not any(_under(name, entry) for entry in unused)]
    faults += [f"left over on their side: {words(left)}"] if left else []
    if faults:
        raise ConfigError((f"{block.label} official", fault) for fault in faults)
    block.load_state_dict({**ours, **new})


def _mapping(block: Block, source: str | None, keys: Keys | None) -> dict[str, Any]:
    if keys is not None:
        return dict(keys)
    config = block.config if isinstance(block.config, Mapping) else {}
    maps = {name: entry for name, entry in (config.get("official") or {}).items() if entry is not None}
    if source is None and len(maps) == 1:
        source = next(iter(maps))
    if source not in maps:
        given = "no source given" if source is None else f"no source {shown(source)}"
        hint = nearest(source or "", maps)
        raise ConfigError([(f"{block.label} official", f"{given}; the config has maps for {words(maps)}{hint}")])
    return dict(maps[source])


def _under(key: str, prefix: str) -> bool:
    return key == prefix or key.startswith(f"{prefix}.")


def _theirs(key: str, mapping: Keys) -> list[str]:
    """Their names for one key of ours, by the longest entry that covers it."""
    covering = [entry for entry in mapping if _under(key, entry)]
    if not covering:
        return []
    entry = max(covering, key=len)
    theirs = mapping[entry]
    return [name + key[len(entry) :] for name in ([theirs] if isinstance(theirs, str) else theirs)]


def _joined(key: str, ours: Tensor, theirs: list[Tensor]) -> Tensor:
    if key.endswith(COUNTER):
        return torch.stack([t.reshape(()) for t in theirs]).amax()
    joined = theirs[0] if len(theirs) == 1 else torch.cat(theirs, dim=0)
    if [n for n in joined.shape if n != 1] != [n for n in ours.shape if n != 1]:
        raise ValueError(f"{key} is {tuple(ours.shape)}, theirs {tuple(joined.shape)}")
    return joined.reshape(ours.shape)
