"""The plot of the README: a file of its own with the colors of the report."""

import re
from pathlib import Path
from xml.dom import minidom

from scripts.report_image import TARGET, image
from sefactory.bench.results import Results, write_results
from tests.bench.rows import row


def test_the_image_has_the_colors_of_the_report(tmp_path: Path) -> None:
    write_results(Results([row("senet"), row("cbam", order=2)], {}), tmp_path)
    svg = image(tmp_path)
    used = set(re.findall(r"var\((--\w+)", svg))
    light, dark = re.findall(r":root \{(.*?)\}", svg, re.DOTALL)
    assert used and all(f"{name}: " in light and f"{name}: " in dark for name in used)
    assert "cbam" in svg and not re.search(r"https?://", re.sub(r'xmlns(:\w+)?="[^"]*"', "", svg))


def test_the_image_of_the_readme_was_made_by_the_script() -> None:
    svg = TARGET.read_text(encoding="utf-8")
    assert minidom.parseString(svg).documentElement.tagName == "svg"
    assert "prefers-color-scheme: dark" in svg and "danet\n374,354 parameters" in svg
