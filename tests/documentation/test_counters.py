"""The table of counters in docs/networks.md: what can be counted without other tools is up to date."""

import counters
import pytest


def rows() -> dict[str, list[str]]:
    text = counters.PAGE.read_text(encoding="utf-8").split(counters.START)[1].split(counters.END)[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")]
    return {row[0]: row[1:] for row in cells[2:]}


def test_the_numbers_of_this_package_and_of_torch_are_up_to_date() -> None:
    table = rows()
    assert tuple(table) == counters.SEVEN_PAPERS
    assert all(len(row) == 1 + len(counters.TOOLS) for row in table.values())
    for name, (formula, of_torch, *_) in table.items():
        assert formula == of_torch == f"{counters.formula(name):,}" == counters.count("FlopCounterMode", name)


def test_a_missing_tool_is_named_and_nothing_is_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(counters, "is_installed", lambda name: name != "thop")
    monkeypatch.setattr(counters, "TOOLS", {name: counters.TOOLS[name] for name in ("FlopCounterMode", "thop")})
    monkeypatch.setattr(counters, "SEVEN_PAPERS", ("senet",))
    before = counters.PAGE.read_text(encoding="utf-8")
    assert counters.main() == 1
    printed = capsys.readouterr()
    assert "| senet | 512 | 512 |" in printed.out
    assert printed.err == "not installed: thop; networks.md is not written\n"
    assert counters.PAGE.read_text(encoding="utf-8") == before


def test_a_tool_that_fails_is_a_cell_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise TypeError("no such class")

    monkeypatch.setattr(counters, "TOOLS", {"thop": fail})
    assert counters.count("thop", "senet") == "fails: TypeError"


def test_the_text_between_the_markers_is_replaced() -> None:
    page = f"a\n{counters.START}\nold\n{counters.END}\nb"
    assert counters.replace_section(page, "new") == f"a\n{counters.START}\n\nnew\n\n{counters.END}\nb"
    with pytest.raises(ValueError, match="one pair of markers"):
        counters.replace_section("no markers", "new")
