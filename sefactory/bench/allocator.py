"""The allocator of the C library: makes it keep freed memory, and says how it is set."""

import ctypes
import os
from pathlib import Path

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of malloc.h


def keep_freed_memory() -> str:
    """Makes malloc keep what is freed for the next tensors, for the rest of the process. Returns `allocator_settings`.

    By default glibc returns large tensors to the system or keeps them, depending on what was freed before. Page faults of new
    memory can double the time of a training step, so that the time of a block would depend on the blocks beside it.
    Settings of the user are not changed. Other C libraries have no such setting.
    """
    if (settings := allocator_settings()) != "default":
        return settings
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):  # not glibc
        return settings
    return "keeps freed memory" if mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, -1) else settings


def allocator_settings() -> str:
    """What the environment says of the allocator: LD_PRELOAD, MALLOC_ variables, GLIBC_TUNABLES; "default" if nothing."""
    preloaded = [Path(name).name for name in os.environ.get("LD_PRELOAD", "").replace(":", " ").split()]
    names = sorted(name for name in os.environ if name.startswith("MALLOC_") or name == "GLIBC_TUNABLES")
    return " ".join([*preloaded, *(f"{name}={os.environ[name]}" for name in names)]) or "default"
