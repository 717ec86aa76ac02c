"""A folder of finished records, each in a file named by the digest of what it describes."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .files import replace_file

Record = Mapping[str, Any]
"""Plain data: what json.dumps accepts."""
DIGEST_LENGTH = 20
"""Characters of a digest: 80 bits, so that a million records have no collision in practice."""


def digest(description: Any) -> str:
    """The name of a description: equal for equal plain data, whatever the order of the keys of a mapping.

    >>> digest({"block": "senet", "shape": [2, 64]}) == digest({"shape": [2, 64], "block": "senet"})
    True
    """
    text = json.dumps(description, sort_keys=True, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]


class Store:
    """Records by their digest. Several processes may read and write one folder at a time.

    A record is written last, by a rename: after a crash it is there in full or not at all. A file that cannot be read
    counts as missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: str) -> Record | None:
        """The record of a digest; None if there is none that can be read."""
        try:
            return self._read(self.file(key))
        except (OSError, ValueError):
            return None

    def put(self, key: str, record: Record) -> None:
        """Writes the record of a digest, instead of an earlier one. Raises OSError if the folder cannot be written to."""
        self.folder.mkdir(parents=True, exist_ok=True)
        replace_file(self.file(key), json.dumps(record, indent=1, allow_nan=False, ensure_ascii=False) + "\n")

    def records(self) -> Iterator[tuple[str, Record]]:
        """All records that can be read, with their digests, sorted by digest."""
        for file in sorted(self.folder.glob("*.json")):
            if (record := self.get(file.stem)) is not None:
                yield file.stem, record

    def file(self, key: str) -> Path:
        """The file of a digest."""
        return self.folder / f"{key}.json"

    @staticmethod
    def _read(file: Path) -> Record:
        record = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(record, dict):
            raise ValueError("is not a record")
        return record
