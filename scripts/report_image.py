"""Writes docs/images/report.svg: the plot of a benchmark, for light and dark pages.

sefactory bench input=single
python scripts/report_image.py outputs/DATE/TIME
"""

import re
import sys
from pathlib import Path

from sefactory.bench.report.scatter import time_against_parameters
from sefactory.bench.results import read_results

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "docs" / "images" / "report.svg"


def image(folder: Path) -> str:
    """The plot of the first shape of a results folder as a file: with the colors of the report, and a background."""
    svg = time_against_parameters(read_results(folder).rows)[0].svg
    style = (ROOT / "sefactory" / "bench" / "report" / "page.css").read_text(encoding="utf-8")
    light, dark = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    rules = f":root {{{light}}} @media (prefers-color-scheme: dark) {{ :root {{{dark}}} }}"
    head, body = re.split(r"(?<=>)", svg, maxsplit=1)
    return f'{head}<style>{rules}</style><rect width="100%" height="100%" style="fill: var(--card)"/>{body}\n'


if __name__ == "__main__":
    TARGET.write_text(image(Path(sys.argv[1])), encoding="utf-8")
