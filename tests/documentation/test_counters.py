"""The table of counters in docs/networks.md: what can be counted without other tools is up to date."""

from pathlib import Path

import counters
import pytest
from written_pages import replace_section


def rows() -> dict[str, list[str]]:
    text = counters.PAGE.read_text(encoding="utf-8").split(counters.START)[1].split(counters.END)[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")]
    return {row[0]: row[1:] for row in cells[2:]}


def test_the_numbers_of_this_package_and_of_torch_are_up_to_date() -> None:
    table = rows()
    assert tuple(table) == counters.SEVEN
    assert all(len(row) == 1 + len(counters.TOOLS) for row in table.values())
    for name, (formula, of_torch, *_) in table.items():
        assert formula == of_torch == f"{counters.formula(name):,}" == counters.count("FlopCounterMode", name)


def test_a_missing_tool_is_named_and_nothing_is_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page = tmp_path / "networks.md"
    page.write_text(text := f"{counters.START}\n{counters.END}\n", encoding="utf-8")
    monkeypatch.setattr(counters, "PAGE", page)
    monkeypatch.setattr(counters, "is_installed", lambda name: name != "thop")
    monkeypatch.setattr(counters, "TOOLS", {name: counters.TOOLS[name] for name in ("FlopCounterMode", "thop")})
    monkeypatch.setattr(counters, "SEVEN", ("senet",))
    assert counters.main() == 1
    printed = capsys.readouterr()
    assert "| senet | 512 | 512 |" in printed.out
    assert printed.err == "not installed: thop; networks.md is not written\n"
    assert page.read_text(encoding="utf-8") == text


def test_a_tool_that_fails_is_a_cell_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise TypeError("no such class")

    monkeypatch.setattr(counters, "TOOLS", {"thop": fail})
    assert counters.count("thop", "senet") == "fails: TypeError"


def test_the_text_between_the_markers_is_replaced() -> None:
    assert replace_section("a\nSTART\nold\nEND\nb", "START", "END", "new") == "a\nSTART\n\nnew\n\nEND\nb"
    for text in ("no markers", "START END START END"):
        with pytest.raises(ValueError, match="^the page needs one pair of markers: START and END$"):
            replace_section(text, "START", "END", "new")
