"""The table of wrong inputs with their whole error messages; run as a program, it prints the messages as JSON."""

import json
import re
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sefactory as sf

INTERNAL = re.compile(r"\b(None|True|False|NoneType|Traceback|pydantic|InvalidValue|dataclass|dict|str|tuple)\b|<class|0x")


@dataclass(frozen=True)
class Row:
    """The arguments of build (a Path is one of `files`), and the lines of the message."""

    given: Any
    lines: tuple[str, ...]
    channels: Any = 64
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """A short form of the input."""
        text = self.files["my.yaml"] if "my.yaml" in self.files else self.given
        return f"{text!r} {dict(self.options) or ''} {'' if self.channels == 64 else self.channels}".strip()[:90]

    def message(self, folder: Path) -> str:
        """The message of build; the files are written to `folder`, whose path is removed from the message."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        options = dict(self.options)
        if "search" in options and isinstance(options["search"], list):
            options["search"] = [folder / name if isinstance(name, str) else name for name in options["search"]]
        try:
            sf.build(folder / self.given if isinstance(self.given, Path) else self.given, self.channels, **options)
        except sf.ConfigError as error:
            return str(error).replace(f"{folder}/", "")
        return "it was built"


def yaml(text: str | bytes, *lines: str, **files: str) -> Row:
    """The content of my.yaml, and of other files beside it."""
    return Row(Path("my.yaml"), lines, files={"my.yaml": text} | {f"{name}.yaml": body for name, body in files.items()})


def overridden(config: str, *overrides: str, says: str | tuple[str, ...]) -> Row:
    """A shipped config with overrides."""
    return Row(config, (says,) if isinstance(says, str) else says, options={"overrides": list(overrides)})


def rows() -> list[Row]:
    """The whole table."""
    from tests.error_messages.arguments import ARGUMENTS
    from tests.error_messages.files import FILES
    from tests.error_messages.overrides import OVERRIDES
    from tests.error_messages.parameters import PARAMETERS
    from tests.error_messages.sizes import SIZES
    from tests.error_messages.syntax import GRAMMAR

    return [*GRAMMAR, *PARAMETERS, *SIZES, *FILES, *OVERRIDES, *ARGUMENTS]


def messages() -> list[str]:
    """Every message, each from a folder of its own."""
    message = []
    for row in rows():
        with tempfile.TemporaryDirectory() as folder:
            message.append(row.message(Path(folder)))
    return message


if __name__ == "__main__":
    json.dump({"optimized": sys.flags.optimize, "messages": messages()}, sys.stdout)
