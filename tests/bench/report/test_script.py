"""The script of report.html in a browser: sorting, the filter, and links to configs."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sefactory.bench.report import render_html
from sefactory.bench.results import Results, refused_row
from tests.bench.rows import ENVIRONMENT, SHAPES, row

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update"
ACTIONS = """<script>
const table = document.querySelector("table.rows");
const buttons = [...table.querySelectorAll("thead button")];
const names = () => [...table.tBodies].filter((body) => !body.hidden).map((body) => body.rows[0].cells[0].textContent);
const state = (th) => th.textContent + " " + th.getAttribute("aria-sort");
const sorted = () => [...table.querySelectorAll("[aria-sort]")].map(state);
const seen = {start: names(), sorted: sorted()};
buttons[1].click(); seen.parameters = names(); seen.ascending = sorted();
buttons[1].click(); seen.descending = names();
buttons[0].click(); seen.names = names();
const input = document.querySelector("input[type=search]");
input.value = "1 BLOCK"; input.dispatchEvent(new Event("input", {bubbles: true}));
seen.filtered = names(); seen.count = document.querySelector("output").textContent;
location.hash = "#config-0";
setTimeout(() => {
  seen.open = [...document.querySelectorAll("details[open]")].map((details) => details.dataset.block);
  document.body.innerHTML = "<pre id='seen'></pre>";
  document.querySelector("pre").textContent = JSON.stringify(seen);
}, 200);
</script></body>"""


def in_browser(page: str, folder: Path) -> Any:
    """What the actions see on the page. Its policy, which allows no other script, is left out."""
    file = folder / "page.html"
    file.write_text(re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page).replace("</body>", ACTIONS))
    flags = [*FLAGS.split(), f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=2000", "--dump-dom"]
    done = subprocess.run([str(BROWSER), *flags, file.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    (seen,) = re.findall(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL)
    return json.loads(seen)


@pytest.mark.exhaustive
@pytest.mark.skipif(BROWSER is None, reason="needs chromium")
def test_tables_are_sorted_and_filtered(tmp_path: Path) -> None:
    rows = [replace(row(f"block {i}", order=i + 1), parameters=100 - i) for i in range(16)]
    results = Results([*rows, refused_row("a refused one", SHAPES[0], "because")], ENVIRONMENT, {"block 3": "squeeze: mean"})
    seen = in_browser(render_html(results), tmp_path)
    order = [row.block for row in rows]
    assert seen["start"] == [*order, "a refused one"] and seen["sorted"] == ["forward ascending"]
    assert seen["parameters"] == [*reversed(order), "a refused one"] and seen["ascending"] == ["parameters ascending"]
    assert seen["descending"] == [*order, "a refused one"]  # what has no value stays last
    assert seen["names"] == ["a refused one", *order]  # numbers in names count: 2 before 10
    assert seen["filtered"] == [name for name in order if "1" in name] and seen["count"] == "7 of 17 rows"
    assert seen["open"] == ["block 3"]
