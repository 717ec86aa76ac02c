"""Reference implementations: every recorded block in plain torch, written from its formula, without sefactory.

A reference is a pure function (state, x, training, hyper-parameters) -> y. The state maps the authors' keys to tensors;
in training the running statistics in it are updated in place. Any floating dtype.
"""

from .cases import CASES, RECORDINGS, Recording, copy_state, load_recording, run
from .layers import Reference, State
from .random_states import random_input, random_state
from .recorded_papers import (
    a2,
    bam,
    eca,
    ese,
    fca,
    gather_excite,
    gcnet,
    gcnet_timm,
    nonlocal_timm,
    scse,
    simam,
    splat,
    srm,
    sse,
)
from .seven_papers import (
    cam,
    cbam,
    cbam_timm,
    coordatt,
    danet,
    danet_head,
    pam,
    seaformer,
    senet,
    sknet,
    sknet_linear,
    triplet,
)

__all__ = [
    "CASES",
    "RECORDINGS",
    "Recording",
    "Reference",
    "State",
    "a2",
    "bam",
    "cam",
    "cbam",
    "cbam_timm",
    "coordatt",
    "copy_state",
    "danet",
    "danet_head",
    "eca",
    "ese",
    "fca",
    "gather_excite",
    "gcnet",
    "gcnet_timm",
    "load_recording",
    "nonlocal_timm",
    "pam",
    "random_input",
    "random_state",
    "run",
    "scse",
    "seaformer",
    "senet",
    "simam",
    "sknet",
    "sknet_linear",
    "splat",
    "srm",
    "sse",
    "triplet",
]
