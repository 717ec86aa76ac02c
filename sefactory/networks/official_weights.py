"""The authors' weights into a block, by the key map of its config; nothing may be left over on either side."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..block import Block
from ..config.header import UNUSED, map_faults
from ..errors import ConfigError, InvalidValue, did_you_mean, join_words, short_repr

COUNTER = "num_batches_tracked"
Keys = Mapping[str, "str | Sequence[str]"]


def load_official(
    block: Block, state_dict: Mapping[str, Tensor], *, source: str | None = None, keys: Keys | None = None
) -> None:
    """Copies the authors' tensors into the block, all of them or, where anything does not fit, none.

    `source` names a map of the config's `official:`; `keys` is a map given here: {ours: theirs}, keys or prefixes, a
    list on the right is concatenated along dim 0, or lies side by side where ours has an axis more. `unused: [...]`
    names entries of theirs without a place. Shapes may differ by axes of size 1. Batch counters are carried along (the
    largest of a list) where theirs has them.
    Raises ConfigError naming the keys left over on either side, or the shapes that do not fit.
    """
    mapping = _mapping(block, source, keys)
    unused = mapping.pop(UNUSED, [])
    ours = block.state_dict()
    faults: list[tuple[str, str]] = []
    new, used = dict[str, Tensor](), set[str]()
    for key, tensor in ours.items():
        names = _theirs(key, mapping)
        if key.endswith(COUNTER):
            names = [name for name in names if name in state_dict]
        used.update(names)
        try:
            new |= _copied(key, tensor, names, state_dict)
        except InvalidValue as refused:
            faults.append((f"{block.label} {key}", str(refused)))
    left = [name for name in state_dict if name not in used and not any(_under(name, entry) for entry in unused)]
    if left:
        faults.append((f"{block.label} official", f"left over on their side: {join_words(map(str, left))}"))
    if faults:
        idle = [entry for entry in mapping if not any(_under(key, entry) for key in ours)]
        raise ConfigError([*faults, *((f"{block.label} official", f"{entry} covers nothing of this block") for entry in idle)])
    block.load_state_dict({**ours, **new})


def _mapping(block: Block, source: str | None, keys: Keys | None) -> dict[str, Any]:
    """The map of keys, without what is set to null."""
    if keys is not None and source is not None:
        raise ConfigError([(f"{block.label} official", "source= and keys= at once; give one of them")])
    place, entries = ("keys", keys) if keys is not None else _of_source(block, source)
    if faults := [(f"{block.label} {place}{key and '.'}{key}", text) for key, text in map_faults(entries)]:
        raise ConfigError(faults)
    return {ours: theirs for ours, theirs in entries.items() if theirs is not None}


def _of_source(block: Block, source: str | None) -> tuple[str, Keys]:
    config = block.config if isinstance(block.config, Mapping) else {}
    maps = {name: entry for name, entry in (config.get("official") or {}).items() if entry is not None}
    if source is None and len(maps) == 1:
        source = next(iter(maps))
    if source is None or source not in maps:
        given = "no source given" if source is None else f"no source {short_repr(source)}"
        held = f"the config has maps for {join_words(maps)}" if maps else "the config has no map; give keys="
        raise ConfigError([(f"{block.label} official", f"{given}; {held}{did_you_mean(source or '', maps)}")])
    return f"official.{source}", maps[source]


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


def _copied(key: str, ours: Tensor, names: list[str], state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our tensor from theirs; nothing for a batch counter that they do not have."""
    if not names:
        if key.endswith(COUNTER):
            return {}
        raise InvalidValue("has no entry in the map of keys")
    for name in names:
        if name not in state_dict:
            raise InvalidValue(f"there is no {name!r} on their side{did_you_mean(name, map(str, state_dict))}")
        if not isinstance(state_dict[name], Tensor):
            raise InvalidValue(f"{name!r} on their side is no tensor, but {type(state_dict[name]).__name__}")
    return {key: _joined(key, ours, [state_dict[name] for name in names])}


def _joined(key: str, ours: Tensor, theirs: list[Tensor]) -> Tensor:
    if key.endswith(COUNTER):
        return torch.stack([t.amax() for t in theirs]).amax()
    shapes = " and ".join(str(tuple(t.shape)) for t in theirs)
    alike = len(theirs) > 1 and len({t.shape for t in theirs}) == 1
    if alike and _essential(ours.shape) == _essential((len(theirs), *theirs[0].shape)):
        return torch.stack(theirs).reshape(ours.shape)
    try:
        joined = theirs[0] if len(theirs) == 1 else torch.cat(theirs, dim=0)
    except RuntimeError:
        raise InvalidValue(f"theirs, {shapes}, cannot be put end to end") from None
    if _essential(joined.shape) != _essential(ours.shape):
        raise InvalidValue(f"ours is {tuple(ours.shape)}, theirs {shapes}")
    return joined.reshape(ours.shape)


def _essential(shape: Sequence[int]) -> list[int]:
    """A shape without its axes of size 1."""
    return [n for n in shape if n != 1]
