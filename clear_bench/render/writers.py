"""Write a table for a terminal, as plain text, Markdown, HTML or LaTeX. Every text is escaped here."""

from __future__ import annotations

import re
import sys
import textwrap
import unicodedata
from collections.abc import Callable, Iterable
from typing import TextIO
from urllib.parse import quote

from clear_bench.render import escape
from clear_bench.render.numbers import MISSING
from clear_bench.render.tables import Link, Table

WIDTH = 100
"""Columns of a terminal, as assumed."""


def write_terminal(table: Table, stream: TextIO | None = None) -> None:
    """Print a table: drawn by rich on a terminal, aligned plain text elsewhere."""
    out = stream or sys.stdout
    if out.isatty():
        _print_rich(table, out)
    else:
        out.write(plain_text(table, out.encoding))


def plain_text(table: Table, encoding: str | None = None) -> str:
    """Write a table as aligned columns two blanks apart, in characters that a code page has."""

    def plain(text: str) -> str:
        return escape.encodable(escape.plain(text), encoding)

    rows = _escaped(table, plain)
    widths = [max(map(_width, texts)) for texts in zip(*rows, strict=True)]
    lines = [
        "  ".join(_pad(text, width, i in table.left) for i, (text, width) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    ]
    rule = "  ".join("-" * width for width in widths)
    body = lines[1 : len(lines) - table.totals]
    totals = [rule, *lines[len(lines) - table.totals :]] if table.totals else []
    around = [plain(table.title), ""] if table.title else []
    note = ["", *textwrap.wrap(plain(table.note), WIDTH, break_on_hyphens=False)] if table.note else []
    return "\n".join(line.rstrip() for line in [*around, lines[0], rule, *body, *totals, *note]) + "\n"


def markdown(table: Table, level: int = 3) -> str:
    """Write a table in GitHub's Markdown, with its title as a heading of this level (0: no heading)."""
    rule = [":---" if i in table.left else "---:" for i in range(len(table.columns))]
    rows = _escaped(table, _markdown_cell)
    body, totals = rows[1 : len(rows) - table.totals], rows[len(rows) - table.totals :]
    strong = ([f"**{text}**" for text in row] for row in totals) if table.totals else ()
    lines = [_row(rows[0]), _row(rule), *map(_row, body), *map(_row, strong)]
    title = [f"{'#' * level} {escape.markdown(table.title)}", ""] if level and table.title else []
    note = ["", escape.markdown(table.note)] if table.note else []
    return "\n".join([*title, *lines, *note]) + "\n"


def html_table(table: Table) -> str:
    """Write a table as HTML, for a notebook; its colours and fonts are the notebook's own."""
    body = len(table.rows) - table.totals
    rows = [_html_row(row, "th" if i >= body else "td", table.left) for i, row in enumerate(table.rows)]
    caption = f"<caption>{escape.html(table.title)}</caption>" if table.title else ""
    note = f"<p>{escape.html(table.note)}</p>" if table.note else ""
    head = _html_row(table.columns, "th", table.left)
    return f"<table>{caption}<thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>{note}"


def _html_row(texts: Iterable[str], tag: str, left: frozenset[int]) -> str:
    cells = (
        f'<{tag} style="text-align: {"left" if i in left else "right"}">{escape.html(text)}</{tag}>'
        for i, text in enumerate(texts)
    )
    return f"<tr>{''.join(cells)}</tr>"


def latex(table: Table) -> str:
    """Write a table for LaTeX, in the style of the package booktabs."""
    rows = [" & ".join(map(_minus, row)) + r" \\" for row in _escaped(table, escape.latex)]
    body, totals = rows[1 : len(rows) - table.totals], rows[len(rows) - table.totals :] if table.totals else []
    lines = [
        r"\begin{table}",
        r"  \centering",
        f"  \\caption{{{escape.latex('. '.join(filter(None, (table.title, table.note))))}}}",
        f"  \\begin{{tabular}}{{{''.join('l' if i in table.left else 'r' for i in range(len(table.columns)))}}}",
        r"    \toprule",
        f"    {rows[0]}",
        r"    \midrule",
        *(f"    {row}" for row in body),
        *([r"    \midrule", *(f"    {row}" for row in totals)] if totals else []),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _escaped(table: Table, writer: Callable[[str], str]) -> list[list[str]]:
    return [[writer(text) for text in row] for row in (table.columns, *table.rows)]


def _markdown_cell(text: str) -> str:
    shown = escape.markdown(text)
    return f"[{shown}]({quote(text.url, safe=':/#?&=%')})" if isinstance(text, Link) else shown


def _row(texts: Iterable[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _minus(text: str) -> str:
    """Set a number's sign as mathematics: LaTeX prints a bare hyphen too short."""
    return re.sub(r"(?<![\w.-])-(?=\d)", "$-$", text)


def _print_rich(table: Table, out: TextIO) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table as Drawn
    from rich.text import Text

    drawn = Drawn(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left", caption_justify="left", title_style="bold")
    drawn.title = Text(escape.plain(table.title)) if table.title else None
    drawn.caption = Text(escape.plain(table.note)) if table.note else None
    for i, name in enumerate(table.columns):
        drawn.add_column(Text(escape.plain(name)), justify="left" if i in table.left else "right", no_wrap=i > 0)
    body = len(table.rows) - table.totals
    for i, row in enumerate(table.rows):
        texts = [Text(escape.plain(text), style="dim" if text == MISSING else "") for text in row]
        drawn.add_row(*texts, style="bold" if i >= body else None, end_section=bool(table.totals) and i == body - 1)
    Console(file=out, highlight=False).print(drawn)


def _pad(text: str, width: int, left: bool) -> str:
    blanks = " " * (width - _width(text))
    return text + blanks if left else blanks + text


def _width(text: str) -> int:
    """Columns on a terminal: East Asian characters take two, combining marks none."""
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)
