"""Draw the query-language x passage-language heat map as inline SVG; colours are classes of pictures.css."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from clear_bench.languages import language_name, side
from clear_bench.render.axis import Ramp
from clear_bench.render.escape import html
from clear_bench.render.numbers import MISSING, minus, points, signed
from clear_bench.types import LanguagePair

GUTTER, FOOT = 52, 46
WIDEST = 16
"""Columns of a map that may shrink to the width of a phone; wider ones scroll."""
NARROWEST = 370
"""Width that the legend needs, where a phone sets it in larger type."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Sizes that follow from the number of columns: beyond 30 the cells are too small for numbers."""

    width: int
    height: int
    numbers: bool
    head: int = 46
    """Height of the column labels; without numbers they are turned."""

    @classmethod
    def of(cls, columns: int) -> Grid:
        """Return the sizes for a number of columns."""
        if columns <= WIDEST:
            return cls(44, 30, True)
        return cls(34, 24, True) if columns <= 30 else cls(14, 14, False, 72)


def heatmap(
    queries: Sequence[str],
    passages: Sequence[str],
    values: Mapping[LanguagePair, float],
    ramp: Ramp,
    title: str,
    strong: Collection[LanguagePair] = (),
    corner: str = "queries ↓ on passages →",
) -> str:
    """Draw scores or gains, query languages down and passage sides across; pairs in `strong` are set in bold.

    A pair without a value is grey and says so. `corner` says what stands down and across.
    """
    grid = Grid.of(len(passages))
    width = max(GUTTER + grid.width * len(passages) + 6, NARROWEST)
    height = grid.head + grid.height * len(queries) + FOOT
    shape = "" if len(passages) <= WIDEST else " wide" if grid.numbers else " wide dense"
    parts = [
        f'<svg class="heat{shape}" viewBox="0 0 {width} {height}" role="img" aria-label="{html(title)}" '
        f'xmlns="http://www.w3.org/2000/svg">',
        *_heads(queries, passages, grid, corner),
        *_tiles(queries, passages, values, ramp, grid, strong),
        *_legend(ramp, height - FOOT + 14),
        "</svg>",
    ]
    return "".join(parts)


def _heads(queries: Sequence[str], passages: Sequence[str], grid: Grid, corner: str) -> Iterator[str]:
    yield f'<text class="axis" x="2" y="14">{html(corner)}</text>'
    for i, code in enumerate(passages):
        x = GUTTER + grid.width * i + grid.width / 2
        turn = "" if grid.numbers else f' transform="rotate(-90 {x + 4:g} {grid.head - 6})"'
        place = f'x="{x if grid.numbers else x + 4:g}" y="{grid.head - 8 if grid.numbers else grid.head - 6}"'
        yield f'<text class="head{"" if grid.numbers else " start"}" {place}{turn}>{_head(code)}</text>'
    for i, code in enumerate(queries):
        y = grid.head + grid.height * i + grid.height / 2 + 4
        yield f'<text class="head end" x="{GUTTER - 7}" y="{y:g}">{_head(code)}</text>'


def _head(code: str) -> str:
    return f"{html(_short(side(code)))}<title>{html(language_name(code))}</title>"


def _short(label: str) -> str:
    return label if len(label) <= 8 else label[:7] + "…"


def _tiles(
    queries: Sequence[str],
    passages: Sequence[str],
    values: Mapping[LanguagePair, float],
    ramp: Ramp,
    grid: Grid,
    strong: Collection[LanguagePair],
) -> Iterator[str]:
    labels = {code: side(code) for code in {*queries, *passages}}
    for row, query in enumerate(queries):
        for column, passage in enumerate(passages):
            pair = LanguagePair(query, passage)
            value = values.get(pair)
            x, y = GUTTER + grid.width * column, grid.head + grid.height * row
            shade = "none" if value is None else ramp.step(value)
            text = signed(value) if ramp.is_gain else points(value)
            name = f"{labels[query]} → {labels[passage]}: {'not measured' if value is None else text}"
            yield (
                f'<g class="{shade}{" strong" if pair in strong else ""}"><title>{html(name)}</title>'
                f'<rect x="{x}" y="{y}" width="{grid.width - 1}" height="{grid.height - 1}"/>'
            )
            if grid.numbers:
                place = f'x="{x + grid.width / 2 - 0.5:g}" y="{y + grid.height / 2 + 4:g}"'
                kind = ' class="long"' if len(text) > 4 else ""
                yield f"<text{kind} {place}>{_number(text)}</text>"
            yield "</g>"


def _number(text: str) -> str:
    """Shorten what does not fit a cell: a perfect score."""
    return minus("100" if text == "100.0" else text)


def _legend(ramp: Ramp, y: int) -> Iterator[str]:
    show = signed if ramp.is_gain else points
    for i, shade in enumerate(ramp.steps):
        yield f'<g class="{shade}"><rect x="{GUTTER + 16 * i}" y="{y}" width="16" height="9"/></g>'
    end = GUTTER + 16 * len(ramp.steps)
    yield f'<text class="axis" x="{GUTTER}" y="{y + 23}">{minus(show(ramp.low))}</text>'
    yield f'<text class="axis end" x="{end}" y="{y + 23}">{minus(show(ramp.high))}</text>'
    yield f'<g class="none"><rect x="{end + 18}" y="{y}" width="16" height="9"/></g>'
    yield f'<text class="axis" x="{end + 39}" y="{y + 9}">{MISSING} not measured</text>'
