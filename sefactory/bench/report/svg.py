"""A matplotlib figure as an <svg> element for a page: colors as CSS variables, tooltips, identifiers of its own."""

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from xml.dom import minidom

from matplotlib import rc_context
from matplotlib.figure import Figure

INK, SOFT, LINE, CARD = "#1d2530", "#5b6470", "#e3e7ec", "#fefefe"
FORWARD, TRAINING = "#0072b2", "#c2410c"
VARIABLES = {INK: "--ink", SOFT: "--soft", LINE: "--line", CARD: "--card", FORWARD: "--forward", TRAINING: "--training"}
"""The CSS variable that stands for each color of a plot. page.css has their values for light and dark pages."""
STYLE: dict[Any, Any] = {  # matplotlib types its keys, differently from version to version
    "svg.fonttype": "none",
    "svg.hashsalt": "sefactory",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "font.size": 9.0,
    "text.color": INK,
    "text.parse_math": False,  # a name may hold a dollar sign
    "axes.labelcolor": SOFT,
    "axes.edgecolor": SOFT,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.axisbelow": True,
    "figure.facecolor": "none",
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
}


@contextmanager
def plot_style() -> Iterator[None]:
    """Applies the style of the plots. The font of this machine may lack a glyph of a name; the browser draws the text."""
    with rc_context(STYLE), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def to_svg(figure: Figure, prefix: str, label: str, tooltips: Mapping[str, Sequence[str]]) -> str:
    """The figure as an <svg> element without a reference to another site.

    `prefix` starts its identifiers, which have to differ from those of the other plots of a page. `label` says what it
    shows. `tooltips` has the texts of the markers of each collection, by its gid.
    """
    text = io.StringIO()
    with plot_style():
        figure.savefig(text, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    document = minidom.parseString(text.getvalue())
    (root,) = document.getElementsByTagName("svg")
    root.setAttribute("role", "img")
    root.setAttribute("aria-label", label)
    _add_tooltips(document, tooltips)
    for element in root.getElementsByTagName("*"):
        _rename_references(element, prefix)
        if element.hasAttribute("style"):
            element.setAttribute("style", with_variables(element.getAttribute("style")))
    return str(root.toxml())


def with_variables(style: str) -> str:
    """A style in which CSS variables stand for the colors of the plots, with the color itself as a default."""
    return re.sub("#[0-9a-f]{6}", lambda match: _variable(match[0]), style)


def _variable(color: str) -> str:
    return f"var({VARIABLES[color]}, {color})" if color in VARIABLES else color


def _add_tooltips(document: minidom.Document, tooltips: Mapping[str, Sequence[str]]) -> None:
    for group in document.getElementsByTagName("g"):
        texts = tooltips.get(group.getAttribute("id"), ())
        for marker, text in zip(group.getElementsByTagName("use"), texts, strict=False):
            title = document.createElement("title")
            title.appendChild(document.createTextNode(text))
            marker.appendChild(title)


def _rename_references(element: minidom.Element, prefix: str) -> None:
    """Puts the prefix before the identifier of an element, or before the one that it refers to."""
    for name in ("id", "xlink:href", "clip-path", "style"):
        if element.hasAttribute(name):
            value = element.getAttribute(name)
            if name == "id":
                value = prefix + value
            else:
                value = re.sub(r"^#|(?<=url\()#", f"#{prefix}", value)
            element.setAttribute(name, value)
