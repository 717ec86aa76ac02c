"""Pages of docs/ that a script writes, or checks with `--check`."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path


def write_or_check(texts: Mapping[Path, str]) -> int:
    """Writes each page and returns 0. With `--check` it writes nothing, and returns 1 if a page is out of date."""
    if "--check" in sys.argv:
        return int(any(not page.is_file() or page.read_text(encoding="utf-8") != text for page, text in texts.items()))
    for page, text in texts.items():
        page.write_text(text, encoding="utf-8")
    return 0


def replace_section(page: str, start: str, end: str, text: str) -> str:
    """The page with a text between two markers. Raises ValueError if it has not exactly one pair of them."""
    parts = re.split(f"{re.escape(start)}.*?{re.escape(end)}", page, flags=re.DOTALL)
    if len(parts) != 2:
        raise ValueError(f"the page needs one pair of markers: {start} and {end}")
    return f"{start}\n\n{text}\n\n{end}".join(parts)
