"""Files that are written in full or not at all."""

import os
from pathlib import Path
from uuid import uuid4


def replace_file(file: Path, text: str) -> None:
    """Writes a file atomically: an interruption leaves the old version."""
    draft = file.with_name(f".{file.name}.{uuid4().hex}")  # a rename is atomic only within one file system
    try:
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, file)
    finally:
        draft.unlink(missing_ok=True)
