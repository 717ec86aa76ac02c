"""Versions of installed packages."""

from functools import cache
from importlib import metadata


@cache
def package_version(distribution: str) -> str:
    """The installed version of a package; "unknown" if it runs from a folder that is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "unknown"
