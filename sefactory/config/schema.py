"""The schema of one parameter of an operator, made from its annotation.

It gives the validation, and the allowed values in words.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from ..errors import InvalidValue, did_you_mean, join_words, short_repr
from ..shapes import AXES, GRID_WORD
from .expressions import UnresolvedName, Value, evaluate, floor_size, format_values

MAX_SIZE = 10**9


def _check_axes(text: str) -> str:
    letters = text.replace(GRID_WORD, "", 1)
    if len(set(letters)) != len(letters) or set(letters) - set(AXES):
        raise ValueError
    return text


Size = Annotated[int, Field(ge=1, le=MAX_SIZE)]
Sides = Annotated[list[Size], Field(min_length=1, max_length=3)]
Index = Annotated[int, Field(ge=0, le=MAX_SIZE)]
Real = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
_AXES = f"letters of {AXES}, each once, or {GRID_WORD}"
Axes = Annotated[str, AfterValidator(_check_axes), Field(description=_AXES, pattern=f"^([{AXES}]|{GRID_WORD})+$")]
NoAxes = Annotated[str, AfterValidator(_check_axes), Field(description=_AXES, pattern=f"^([{AXES}]|{GRID_WORD})*$")]
"""As Axes; the empty text is allowed."""


class Schema:
    """The name, annotation and default of a parameter; `read` converts what a config gives to what the operator gets."""

    def __init__(self, name: str, annotation: Any, default: Any, required: bool) -> None:
        self.name, self.annotation, self.default, self.required = name, annotation, default, required
        parts = _parts(annotation)
        self.number_type: type | None = float if float in parts else int if int in parts else None
        self.is_optional = type(None) in parts
        self.is_boolean = bool in parts
        self.is_axes = any(getattr(part, "func", None) is _check_axes for part in parts)
        words = (word for part in parts if get_origin(part) is Literal for word in get_args(part))
        self.choices: tuple[str, ...] = tuple(dict.fromkeys(words))

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        """Pydantic's validator of the annotation."""
        return TypeAdapter(self.annotation)

    @cached_property
    def allowed_values(self) -> str:
        """The allowed values in words."""
        return _describe(self.adapter.json_schema())

    def read(self, value: Any, names: Mapping[str, Value]) -> Any:
        """Returns the value with its expressions evaluated, checked against the annotation.

        Raises InvalidValue, or UnresolvedName if an expression uses a value that is not known yet.
        """
        if self.is_optional and (value is None or value == "none"):
            return None
        try:
            evaluated = self._evaluate(value, names)
        except InvalidValue as error:
            raise InvalidValue(f"{self.name} is {error}") from None
        try:
            return self.adapter.validate_python(evaluated, strict=True)
        except ValidationError:
            raise InvalidValue(self._error_text(value, evaluated, names)) from None

    def _evaluate(self, value: Any, names: Mapping[str, Value]) -> Any:
        """Returns the value with each expression replaced by its number, and each name of a boolean by true or false."""
        if isinstance(value, list):
            return [self._evaluate(item, names) for item in value]
        if not isinstance(value, str) or value in self.choices:
            return value
        if self.is_boolean and value in names:
            if names[value] is None:
                raise UnresolvedName
            return names[value]
        if self.number_type is None or (self.choices and value.isidentifier() and value not in (*names, *AXES)):
            return value  # a misspelled choice: the validation reports it
        number = evaluate(value, names, floor=self.number_type is int)
        return floor_size(value, number, names) if self.number_type is int else number

    def _error_text(self, value: Any, evaluated: Any, names: Mapping[str, Value]) -> str:
        given = short_repr(value)
        if isinstance(value, str) and not isinstance(evaluated, str):
            given = f"{value} = {short_repr(evaluated)}{'' if value in names else format_values(value, names)}"
        allowed = self.allowed_values
        if isinstance(evaluated, int) and evaluated > MAX_SIZE and self.number_type is int:
            allowed = re.sub(r"(an integer from \d+)(?! to)", r"\1 to 10^9", allowed)
        return f"{self.name} is {given}; allowed: {allowed}{self._hint(value)}"

    def _hint(self, value: Any) -> str:
        """Returns a hint: the axes or the choice that was probably meant."""
        words = [item for item in (value if isinstance(value, list) else [value]) if isinstance(item, str)]
        letters = "".join(words).upper()
        if words and self.is_axes and letters != value and len(set(letters)) == len(letters) and set(letters) <= set(AXES):
            return f"; did you mean {letters!r}?"
        choices = (*self.choices, *(("true", "false") if self.is_boolean else ()))
        hints = [did_you_mean(word, choices) for word in words if word not in choices]
        return next((hint for hint in hints if hint), "")


def _parts(annotation: Any) -> list[Any]:
    """Returns an annotation and everything that is nested in it: types, validators, the words of a Literal."""
    return [annotation, *(part for argument in get_args(annotation) for part in _parts(argument))]


def _describe(schema: Mapping[str, Any]) -> str:
    """Returns a JSON Schema in words.

    >>> _describe({"type": "integer", "minimum": 1})
    'an integer from 1'
    """
    if "description" in schema:
        return str(schema["description"])
    if "anyOf" in schema:
        return _describe_options(schema["anyOf"])
    if "enum" in schema or "const" in schema:
        return "one of " + join_words(schema["enum"]) if "enum" in schema else str(schema["const"])
    if schema["type"] == "array":
        least, most = schema.get("minItems"), schema.get("maxItems")
        length = "" if most is None else f" of {most}" if least == most else f" of {least} to {most}"
        return f"a list{length}, each {_describe(schema['items'])}"
    words = {"integer": "an integer", "number": "a number", "boolean": "true or false", "null": "none"}
    return words[schema["type"]] + _describe_range(schema)


def _describe_options(options: Sequence[Mapping[str, Any]]) -> str:
    """Returns alternatives in words; a list of the first alternative is `a list of them`."""
    texts = list(dict.fromkeys(_describe(option) for option in options))
    return ", or ".join("a list of them" if text == f"a list, each {texts[0]}" else text for text in texts)


def _describe_range(schema: Mapping[str, Any]) -> str:
    low, above, high = schema.get("minimum"), schema.get("exclusiveMinimum"), schema.get("maximum")
    text = f" from {low:g}" if low is not None else f" above {above:g}" if above is not None else ""
    return text + (f" to {high:g}" if high is not None and high != MAX_SIZE else "")
