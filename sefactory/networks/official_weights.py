"""Loads weights into a block by the key map of its config: the authors', or those of the module that the block replaces.

Every key of both sides has to be used.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..block import Block
from ..build.api import load
from ..config.names import UNUSED, key_map_faults
from ..errors import ConfigError, InvalidValue, did_you_mean, join_words, short_repr
from .checkpoint_forms import Form, checkpoint_forms, nearest_prefixes
from .options import InsertionSpec

COUNTER = "num_batches_tracked"
KeyMap = Mapping[str, "str | Sequence[str]"]
"""Keys or prefixes of the block -> keys or prefixes of the official state dict."""


def load_official(
    block: Block, state_dict: Mapping[str, Tensor], *, source: str | None = None, keys: KeyMap | None = None
) -> None:
    """Copies the tensors of an official state dict into the block: all of them, or none if anything does not fit.

    `source` names a key map of the config's `official:`, and may be None if there is one. `keys` is a key map given
    here: {ours: theirs}, keys or prefixes; the longest prefix counts. Tensors of a list on the right are concatenated
    along dim 0, or stacked if ours has one axis more. `unused: [...]` lists official keys that the block does not need.
    Shapes may differ by axes of size 1. Batch counters are copied (the maximum of a list) if the official state has them.
    A checkpoint with the state dict under `state_dict`, `model_state_dict`, `model` or `net`, or with the prefix `module.`,
    `model.` or `_orig_mod.` on every key, is read without them, if it fits only then.
    Raises ConfigError with the unused keys of both sides, and the shapes that do not fit; or if two forms fit.
    """
    if not isinstance(state_dict, Mapping):
        cure = "; pass its state_dict()" if isinstance(state_dict, nn.Module) else ""
        raise ConfigError([(f"{block.label} official", f"{type(state_dict).__name__}; allowed: a state dict{cure}")])
    key_map = _key_map(block, source, keys)
    unused = key_map.pop(UNUSED, [])
    matches = [_match(block, key_map, unused, form) for form in checkpoint_forms(state_dict)]
    fitting = [match for match in matches if not match.faults]
    if not fitting:
        raise ConfigError(min(matches, key=lambda match: match.distance).faults)
    if len(fitting) > 1 and fitting[0] is not matches[0]:
        forms = " and ".join(" ".join(match.form.removed) for match in fitting)
        raise ConfigError([(f"{block.label} official", f"the checkpoint fits below {forms}; pass one of them")])
    block.load_state_dict({**block.state_dict(), **fitting[0].converted})


class _Match(NamedTuple):
    """How one form of a checkpoint fits a block: the tensors for its keys, and the faults.

    `distance` is the number of official keys that are missing, with 1/2 added if the others are below a prefix.
    """

    form: Form
    converted: dict[str, Tensor]
    faults: list[tuple[str, str]]
    distance: float


def _match(block: Block, key_map: KeyMap, unused: Sequence[str], form: Form) -> _Match:
    """Matches every key of the block and of a form of the checkpoint."""
    state_dict, label = form.state_dict, f"{block.label} official"
    official_keys = {key: _official_keys(key, key_map, state_dict) for key in block.state_dict()}
    used = {name for names in official_keys.values() for name in names}
    missing = {name for name in used if name not in state_dict}
    if used and missing == used and (prefixes := nearest_prefixes(used, state_dict)):
        faults = [(label, _below_message(prefixes, len(used))), *_note(label, form)]
        return _Match(form, {}, faults, len(used) - prefixes[0][1] + 0.5)
    converted, faults = _convert_all(block, official_keys, state_dict)
    remaining = [key for key in state_dict if key not in used and not any(has_prefix(str(key), prefix) for prefix in unused)]
    if remaining:
        message = f"unused keys of the official state dict: {join_words(map(str, remaining))}; map them, or list them in unused"
        faults.append((label, message))
    if faults:
        unmatched = [entry for entry in key_map if not any(has_prefix(key, entry) for key in official_keys)]
        faults += [(label, f"{entry} of the key map matches no key of the block") for entry in unmatched]
        faults += _note(label, form)
    return _Match(form, converted, faults, len(missing))


def _note(label: str, form: Form) -> list[tuple[str, str]]:
    """A line that says how the checkpoint was read, if something of it was removed."""
    return [(label, f"the checkpoint was read without {' and '.join(form.removed)}")] if form.removed else []


def _convert_all(
    block: Block, official_keys: Mapping[str, list[str]], state_dict: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], list[tuple[str, str]]]:
    """The tensors for the keys of the block, and a fault for every key without one."""
    faults, converted = list[tuple[str, str]](), dict[str, Tensor]()
    for key, tensor in block.state_dict().items():
        if key.endswith(COUNTER) and not official_keys[key]:
            continue
        try:
            converted[key] = _convert(key, tensor, official_keys[key], state_dict)
        except InvalidValue as error:
            faults.append((f"{block.label} {key}", str(error)))
    return converted, faults


def _below_message(prefixes: list[tuple[str, int]], count: int) -> str:
    """What to pass instead of a checkpoint that has the official keys below a prefix."""
    prefix, found = prefixes[0]
    more = f", and some below {len(prefixes) - 1} more" if len(prefixes) > 1 else ""
    cure = f"pass {{k.removeprefix({prefix!r}): v for k, v in state_dict.items() if k.startswith({prefix!r})}}"
    return f"{found} of the {count} official keys are below {prefix!r}{more}; {cure}"


def _key_map(block: Block, source: str | None, keys: KeyMap | None) -> dict[str, Any]:
    """The key map that was asked for, without entries that are null."""
    if keys is not None and source is not None:
        raise ConfigError([(f"{block.label} official", "source= and keys= cannot be used together; pass one of them")])
    path, entries = ("keys", keys) if keys is not None else _source_key_map(block, source)
    if faults := [(f"{block.label} {path}{key and '.'}{key}", text) for key, text in key_map_faults(entries)]:
        raise ConfigError(faults)
    return {ours: theirs for ours, theirs in entries.items() if theirs is not None}


def _source_key_map(block: Block, source: str | None) -> tuple[str, KeyMap]:
    """The path and the key map of a source in the block's config."""
    config = block.config if isinstance(block.config, Mapping) else {}
    maps = {name: entries for name, entries in (config.get("official") or {}).items() if entries is not None}
    if source is None and len(maps) == 1:
        source = next(iter(maps))
    if source is None or source not in maps:
        given = "no source given" if source is None else f"no source {short_repr(source)}"
        known = f"the config has key maps for {join_words(maps)}" if maps else "the config has no key map; pass keys="
        raise ConfigError([(f"{block.label} official", f"{given}; {known}{did_you_mean(source or '', maps)}")])
    return f"official.{source}", maps[source]


def has_prefix(key: str, prefix: str) -> bool:
    """True if a key is the prefix, or starts with the prefix and a dot."""
    return key == prefix or key.startswith(f"{prefix}.")


def _official_keys(key: str, key_map: KeyMap, state_dict: Mapping[str, Tensor]) -> list[str]:
    """The official keys for one key of the block, by the longest entry that matches; for a batch counter the existing ones."""
    entry = max((entry for entry in key_map if has_prefix(key, entry)), key=len, default=None)
    if entry is None:
        return []
    official = key_map[entry]
    names = [name + key[len(entry) :] for name in ([official] if isinstance(official, str) else official)]
    return [name for name in names if name in state_dict or not key.endswith(COUNTER)]


def _convert(key: str, own: Tensor, official_keys: list[str], state_dict: Mapping[str, Tensor]) -> Tensor:
    """The tensor for one key of the block; raises InvalidValue."""
    if not official_keys:
        raise InvalidValue("has no entry in the key map; add one")
    for name in official_keys:
        if name not in state_dict:
            raise InvalidValue(f"the official state dict has no key {name!r}{did_you_mean(name, map(str, state_dict))}")
        if not isinstance(state_dict[name], Tensor):
            raise InvalidValue(f"{name!r} of the official state dict is not a tensor but {type(state_dict[name]).__name__}")
    tensors = [state_dict[name] for name in official_keys]
    if key.endswith(COUNTER):
        return torch.stack([t.amax() for t in tensors]).amax()
    return _combine(own, tensors)


def _combine(own: Tensor, official: list[Tensor]) -> Tensor:
    """The official tensors as one of the block's shape: stacked or concatenated, axes of size 1 added or dropped."""
    shapes = " and ".join(str(tuple(t.shape)) for t in official)
    have_one_shape = len(official) > 1 and len({t.shape for t in official}) == 1
    if have_one_shape and _non_unit(own.shape) == _non_unit((len(official), *official[0].shape)):
        return torch.stack(official).reshape(own.shape)
    try:
        combined = official[0] if len(official) == 1 else torch.cat(official, dim=0)
    except RuntimeError:
        raise InvalidValue(f"the official tensors {shapes} cannot be concatenated along dim 0") from None
    if _non_unit(combined.shape) != _non_unit(own.shape):
        raise InvalidValue(f"has shape {tuple(own.shape)}, the official tensor {shapes}")
    return combined.reshape(own.shape)


def _non_unit(shape: Sequence[int]) -> list[int]:
    """The sizes other than 1."""
    return [n for n in shape if n != 1]


def ratio_override(spec: InsertionSpec, original: nn.Module, channels: int) -> list[str]:
    """[`let.r=...`], with which the bottleneck C/r is as wide as that of the replaced module.

    Empty if the config has no `let.r`, if an override sets it, or if the key map names no weight of the module.
    """
    loaded = load(spec.config, spec.overrides, spec.search)
    if not has_ratio(loaded) or any(text.lstrip("+").startswith("let.r=") for text in spec.overrides):
        return []
    key_map = (loaded.get("official") or {}).get(spec.carry) or {}
    weight = _first_weight(original.state_dict(), [key for key in key_map.values() if isinstance(key, str)])
    return [] if weight is None else [f"let.r={reduction_ratio(channels, weight.shape[0])!r}"]


def has_ratio(config: Any) -> bool:
    """True if a config has `let.r`, the reduction ratio of its bottleneck."""
    let = config.get("let") if isinstance(config, Mapping) else None
    return isinstance(let, Mapping) and "r" in let


def reduction_ratio(channels: int, hidden: int) -> float:
    """An r with floor(channels / r) = hidden. The added half keeps rounding errors away from the next integer.

    >>> int(64 / reduction_ratio(64, 11))
    11
    """
    return channels / (hidden + 0.5)


def _first_weight(state_dict: Mapping[str, Tensor], prefixes: Sequence[str]) -> Tensor | None:
    """The first tensor of two or more axes whose key has one of the prefixes, in the order of the prefixes."""
    tensors = (tensor for prefix in prefixes for key, tensor in state_dict.items() if has_prefix(key, prefix))
    return next((tensor for tensor in tensors if tensor.dim() > 1), None)


def transfer_weights(path: str, block: Block, original: nn.Module, source: str) -> None:
    """Copies all weights of the module at a path into the block that replaces it.

    Raises ConfigError with the keys or shapes that do not fit, and the path.
    """
    try:
        load_official(block, original.state_dict(), source=source)
    except ConfigError as error:
        raise ConfigError([(f"{place} (for {path})", text) for place, text in error.faults]) from None
