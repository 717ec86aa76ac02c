"""Markdown tables."""

from collections.abc import Iterable


def markdown_table(head: Iterable[str], rows: Iterable[Iterable[str]], align: str = "---") -> list[str]:
    """The lines of a table. The first column is aligned left, the others as `align`: "---", "---:" or ":---:".

    >>> markdown_table(["block", "ms"], [["senet", "2.77"]], align="---:")
    ['| block | ms |', '| --- | ---: |', '| senet | 2.77 |']
    """
    head = list(head)
    lines = [head, ["---", *[align] * (len(head) - 1)], *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]
