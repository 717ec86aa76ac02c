"""A syntax tree as plain data, to compare what two configs build."""

import inspect
import sys
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from .registry import Operator
from .syntax_tree import Node


def describe(value: Any) -> Any:
    """The plain data of a syntax tree: operators, arguments and `let`, and no locations.

    Equal for two configs with the same nodes, arguments and `let`, whatever files they are written in or merged from. An
    operator of the user is described with the source of its module, so that an edit there changes the description.
    """
    if isinstance(value, Node):
        content = {field.name: describe(getattr(value, field.name)) for field in fields(value) if field.name != "location"}
        return {"node": type(value).__name__, **content}
    if isinstance(value, Operator):
        return value.name if value.make.__module__.startswith("sefactory.") else [value.name, _source(value.make)]
    if isinstance(value, Mapping):
        return {str(key): describe(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [describe(entry) for entry in value]
    return value


def _source(function: Any) -> str:
    module = sys.modules.get(function.__module__)
    try:
        return inspect.getsource(module or function)
    except (OSError, TypeError):  # defined in a console
        return f"{function.__module__}.{function.__qualname__}"
