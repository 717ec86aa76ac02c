"""Results as CSV, TSV, JSON and Markdown."""

import csv
import io
import json
from dataclasses import asdict, replace

from sefactory.bench.formats import WRITERS
from sefactory.bench.results import Results, refused_row
from sefactory.bench.text_tables import as_csv, as_markdown, as_tsv
from tests.bench.rows import ENVIRONMENT, NASTY, SHAPES, row, seven

RESULTS = Results([*seven(), refused_row(NASTY, SHAPES[0], "one, two\nthree")], ENVIRONMENT)


def test_json_is_the_document() -> None:
    document = json.loads(WRITERS["json"](RESULTS))
    assert document["rows"] == [asdict(row) for row in RESULTS.rows] and document["environment"] == ENVIRONMENT


def test_csv_has_all_fields() -> None:
    rows = list(csv.DictReader(io.StringIO(WRITERS["csv"](RESULTS))))
    assert [set(row) for row in rows] == [set(asdict(row)) for row in RESULTS.rows]
    assert rows[-1]["block"] == NASTY and rows[-1]["refused"] == "one, two\nthree" and json.loads(rows[0]["marks"]) == []


def test_tsv_has_one_line_a_row_and_no_quotes() -> None:
    marked = replace(row("a\tb"), marks=["one round", "load 4"])
    heading, *lines = WRITERS["tsv"](Results([marked, *RESULTS.rows], {})).splitlines()
    names = heading.split("\t")
    assert not {"split", "nodes", "forward_rounds_s", "train_rounds_s"} & set(names) and "forward_s" in names
    assert [len(line.split("\t")) for line in lines] == [len(names)] * 30
    first, last = (dict(zip(names, line.split("\t"), strict=True)) for line in (lines[0], lines[-1]))
    assert (first["block"], first["marks"], float(first["forward_s"])) == ("a b", "one round; load 4", 0.0112)
    assert (last["block"], last["refused"], last["forward_s"], last["marks"]) == (NASTY, "one, two three", "", "")


def test_markdown_has_the_columns_of_the_table_and_its_notes() -> None:
    rows = [row("quiet"), replace(row("a|b", order=2), marks=["one round"]), refused_row("c", SHAPES[1], "no\nfit")]
    assert WRITERS["markdown"](Results(rows, {}, interrupted="at x")) == MARKDOWN
    assert WRITERS["markdown"](Results([], {})) == ""


MARKDOWN = """\
**8x256x56x56**

| block | params | MACs | elem-ops | saved | peak | forward | ×base of forward | ×bound of forward | train | ×base of train | ×bound of train |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| quiet | 811,264 | 1.23 G | 20.6 M | 92.6 MB | 204 MB | 11.2 ±0.3 ms | 1.00 ±0.04 | 11.2 | 378 ±9 ms | 0.12 ±0.01 | 151 |
| a\\|b | 1.62 M | 2.47 G | 20.6 M | 92.6 MB | 204 MB | 22.4 ±0.3 ms ! | 2.00 ±0.04 | 22.4 | 756 ±9 ms ! | 0.12 ±0.01 | 302 |

- ! a|b: one round

**8x512x28x28**

- c: refused: no fit

Interrupted: at x. The rows have what was measured until then.
"""  # noqa: E501


def test_generic_writers() -> None:
    rows = [["a,b", 1, None, [1.5, 2], "x\ty\nz"]]
    names = ["n1", "n2", "n3", "n4", "n5"]
    assert as_csv(names, rows) == 'n1,n2,n3,n4,n5\n"a,b",1,,"[1.5, 2]","x\ty\nz"\n'
    assert as_tsv(names, rows) == "n1\tn2\tn3\tn4\tn5\na,b\t1\t\t1.5; 2\tx y z\n"
    assert as_markdown(["n1", "n2"], [["a|b", "1"]], numbers=1) == "| n1 | n2 |\n| --- | ---: |\n| a\\|b | 1 |\n"
