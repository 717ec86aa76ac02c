"""Files that are written in full or not at all."""

import os
from pathlib import Path
from uuid import uuid4


def replace_file(file: Path, content: str | bytes) -> None:
    """Writes a file atomically: an interruption leaves the old version. A text is written as UTF-8."""
    draft = file.with_name(f".{file.name}.{uuid4().hex}")  # a rename is atomic only within one file system
    try:
        draft.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(draft, file)
    finally:
        draft.unlink(missing_ok=True)
