"""train: one run from Python."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .runs.config import read_run
from .runs.results import Result
from .runs.run import execute
from .runs.store import RunStore


def train(config: Mapping[str, Any], *, store: str | Path = "training", search: Sequence[str | Path] = ()) -> Result:
    """Trains a network with or without a block, and returns its scores; a run that the store has is not trained again.

    `config` has the keys of a run: `data`, `network` and `recipe` are names of configs or mappings, `block` is a name, a Path,
    a mapping or None, and `overrides` change it. `seed` draws images, order, augmentation and weights; `test=True` scores the
    test images as well; `static=True` makes the gates of the block blind to the image. `device` and `threads` say where.
    The weights are in `store/runs/DIGEST/checkpoint.safetensors`, where `DIGEST` is `result.run`. Raises ConfigError.

    >>> import tempfile
    >>> config = {"data": "digits", "network": "resnet20", "recipe": {"image_passes": 64, "lr": 0.1, "subset": 64}}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     result = train({**config, "block": "ecanet", "seed": 1}, store=folder)
    >>> result.label, result.seed, result.status, 0 <= result.validation.accuracy <= 1
    ('ecanet', 1, 'finished', True)
    """
    runs = RunStore(Path(store))
    runs.open()
    return execute(read_run(config, search), runs)
