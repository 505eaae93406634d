"""Lines over two logarithmic axes as an SVG file that stands alone, for light and dark backgrounds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from clear_bench.render.escape import html
from clear_bench.render.page import standalone
from clear_bench.render.panels import Picture

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 600, 366, 64, 424, 52, 306
LINE = 17
"""Least distance between the names at the ends of lines."""
STYLE = """
.paper { fill: var(--paper); } svg text.title { font-size: 15px; } svg text.axis { font-size: 12.5px; } svg text { font-size: 13px; }
.one { --own: var(--gain); } .two { --own: var(--loss); } .three { --own: #2d7d46; } .four { --own: #7b3fa0; }
@media (prefers-color-scheme: dark) { .three { --own: #6fc58a; } .four { --own: #cf9cf0; } }
polyline { fill: none; stroke: var(--own); stroke-width: 2; } .mark { fill: var(--own); } g text { fill: var(--own); }
"""  # noqa: E501  # one rule a line
CLASSES = ("one", "two", "three", "four")

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Axis:
    """Places values from `low` to `high`, both above 0, between two pixels."""

    low: float
    high: float
    start: float
    end: float

    def place(self, value: float) -> float:
        return self.start + math.log(value / self.low) / math.log(self.high / self.low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Powers of ten; 2 and 5 between them where they are few."""
        factors = (1, 2, 5) if self.high / self.low < 300 else (1,)
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        every = [factor * 10.0**power for power in powers for factor in factors]
        return [tick for tick in every if self.low <= tick <= self.high]


def chart(lines: Mapping[str, Points], title: str, across: str, up: str) -> str:
    """Draw one line per name, at most four: points (x, y) above 0, with a mark at each. The first line is ours.

    A name without points keeps its colour free, so that a peer has the same one in every chart.
    """
    xs, ys = ([point[i] for points in lines.values() for point in points] for i in (0, 1))
    x = Axis(min(xs) / 1.1, max(xs) * 1.1, LEFT, RIGHT)
    y = Axis(min(ys) / 1.25, max(ys) * 1.25, BOTTOM, TOP)
    head = (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html(title)}" xmlns="http://www.w3.org/2000/svg">'
    )
    body = [*_frame(x, y, sorted(set(xs)), title, across, up), *_lines(lines, x, y)]
    parts = [
        head,
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>',
        *body,
        "</svg>",
    ]
    return standalone(Picture("curve", title, "".join(parts)))


def _frame(x: Axis, y: Axis, measured: Sequence[float], title: str, across: str, up: str) -> Iterator[str]:
    yield f'<text class="title" x="12" y="20">{html(title)}</text><text class="axis" x="12" y="37">{html(up)}</text>'
    for tick in y.ticks():
        at = y.place(tick)
        yield f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
        yield f'<text class="axis end" x="{LEFT - 8}" y="{at + 4:.1f}">{short(tick)}</text>'
    last = -math.inf
    for value in measured:
        at = x.place(value)
        yield f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{BOTTOM}"/>'
        if at - last >= 34:  # the widest label, "300k", and a gap
            yield f'<text class="axis mid" x="{at:.1f}" y="{BOTTOM + 19}">{short(value)}</text>'
            last = at
    yield f'<text class="axis mid" x="{(LEFT + RIGHT) / 2:g}" y="{BOTTOM + 42}">{html(across)}</text>'


def _lines(lines: Mapping[str, Points], x: Axis, y: Axis) -> Iterator[str]:
    """Draw lines, their marks and their names; names that would overlap are moved apart, ours is drawn on top."""
    drawn = [(name, points, kind) for (name, points), kind in zip(lines.items(), CLASSES, strict=False) if points]
    ends = {name: y.place(points[-1][1]) for name, points, _ in drawn}
    names, last = {}, -math.inf
    for name in sorted(ends, key=ends.__getitem__):
        names[name] = last = max(ends[name] + 4, last + LINE)
    for name, points, kind in reversed(drawn):
        places = [(x.place(across), y.place(up)) for across, up in points]
        path = " ".join(f"{across:.1f},{up:.1f}" for across, up in places)
        yield f'<g class="{kind}"><title>{html(name)}</title><polyline points="{path}"/>'
        yield from (_mark(*place, kind) for place in places)
        yield f'<text x="{RIGHT + 10}" y="{names[name]:.1f}">{html(name)}</text></g>'


def _mark(x: float, y: float, kind: str) -> str:
    """Shapes differ as colours do, for readers who cannot tell the colours apart."""
    if kind == "one":
        return f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>'
    corners = {"two": (-4, -4, 4, -4, 4, 4, -4, 4), "three": (0, -5, 5, 4, -5, 4), "four": (0, -6, 6, 0, 0, 6, -6, 0)}
    at = corners[kind]
    points = " ".join(f"{x + at[i]:.1f},{y + at[i + 1]:.1f}" for i in range(0, len(at), 2))
    return f'<polygon class="mark" points="{points}"/>'


def short(value: float) -> str:
    """Show a size.

    >>> short(300_000), short(2_000_000), short(12)
    ('300k', '2M', '12')
    """
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{name}"
    return f"{value:g}"
