"""The tests. The folders of rooms mirror the package; the other folders are themes that cross rooms (see README.md)."""
