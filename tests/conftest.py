"""Imports torchvision before any test does: it may be one that was compiled for another torch."""

from contextlib import suppress

from sefactory.networks.zoos import import_torchvision

with suppress(ImportError):  # it is not installed
    import_torchvision()
