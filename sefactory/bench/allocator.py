"""The allocator of the C library: makes it keep freed memory, and says how it is set."""

import ctypes
import os
from pathlib import Path
from typing import Any

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of malloc.h


def keep_freed_memory() -> str:
    """Makes malloc keep what is freed for the next tensors, for the rest of the process. Returns `allocator_settings`.

    By default glibc returns large tensors to the system or keeps them, depending on what was freed before. Page faults of new
    memory can double the time of a training step, so that the time of a block would depend on the blocks beside it.
    Settings of the user are not changed. Other C libraries have no such setting.
    """
    if (settings := allocator_settings()) != "default":
        return settings
    mallopt = _c_function("mallopt")
    if mallopt is None or not (mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, -1)):
        return settings
    return "keeps freed memory"


def release_freed_memory() -> None:
    """Returns to the system what is freed now, also after `keep_freed_memory`. Other C libraries than glibc may keep it."""
    if malloc_trim := _c_function("malloc_trim"):
        malloc_trim(0)


def allocator_settings() -> str:
    """What the environment says of the allocator: LD_PRELOAD, MALLOC_ variables, GLIBC_TUNABLES; "default" if nothing."""
    preloaded = [Path(name).name for name in os.environ.get("LD_PRELOAD", "").replace(":", " ").split()]
    names = sorted(name for name in os.environ if name.startswith("MALLOC_") or name == "GLIBC_TUNABLES")
    return " ".join([*preloaded, *(f"{name}={os.environ[name]}" for name in names)]) or "default"


def _c_function(name: str) -> Any:
    """A function of the C library; None if it has none of this name."""
    try:
        return getattr(ctypes.CDLL(None), name, None)
    except (OSError, TypeError):  # a system whose programs have no symbols of their own
        return None
