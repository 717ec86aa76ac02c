"""The pages that scripts write are up to date. docs/vocabulary.md has tests of its own."""

import api
import tables


def test_the_tables_are_up_to_date() -> None:
    for page, text in tables.pages().items():
        assert page.read_text(encoding="utf-8") == text, f"{page.name}: run python scripts/tables.py"


def test_every_operator_and_config_is_in_the_tables() -> None:
    operators, blocks = tables.pages().values()
    assert operators.count("\n| `") == len(tables.shipped_operators()) > 30
    assert blocks.count("\n| `") == len(tables.sf.configs()) == 67


def test_the_api_is_up_to_date() -> None:
    assert api.PAGE.read_text(encoding="utf-8") == api.page(), "run python scripts/api.py"
