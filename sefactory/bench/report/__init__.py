"""Takes results and writes report.html: tables, plots and configs in one file that loads nothing.

Imports from the other files of bench and from the rooms before it. matplotlib and jinja2 are imported when a page is written.
"""

from .page import render_html, write_report

__all__ = ["render_html", "write_report"]
