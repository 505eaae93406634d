"""Draw forest plots as inline SVG; colours are classes of pictures.css."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from clear_bench.render.axis import ticks
from clear_bench.render.escape import html
from clear_bench.render.numbers import bounds, minus, points, signed

WIDTH, ROW, TOP, FOOT = 380, 22, 8, 40
RIGHT = 246
"""Where the plotting area ends; numbers stand right of it."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One row: a value with its interval. `is_mean` rows sum up the others and are drawn as diamonds."""

    label: str
    value: float
    lower: float | None
    upper: float | None
    hint: str = ""
    is_mean: bool = False

    def kind(self, *, is_gain: bool) -> str:
        """Return its sign: gain, loss, or unsure where the interval holds 0."""
        if not is_gain:
            return "score"
        if self.lower is None or self.upper is None or self.lower <= 0 <= self.upper:
            return "unsure"
        return "gain" if self.lower > 0 else "loss"


Place = Callable[[float], float]


def forest(
    marks: Sequence[Mark],
    title: str,
    *,
    is_gain: bool = True,
    margin: float | None = None,
    ends: tuple[float, float] | None = None,
) -> str:
    """Draw one row per mark; gains get a line at 0, and dashed lines at the margin where there is one.

    Plots that are read side by side share the ends of their axis, see `span`.
    """
    low, high = ends or span(marks, is_gain=is_gain, margin=margin)
    bottom = TOP + ROW * len(marks)
    left = min(130.0, 18 + 6.7 * max(4, *(len(mark.label) for mark in marks)))

    def place(value: float) -> float:
        return left + (value - low) / (high - low) * (RIGHT - left)

    rows = (_mark(mark, TOP + ROW * i + ROW / 2, left, place, is_gain=is_gain) for i, mark in enumerate(marks))
    parts = [
        f'<svg class="forest" viewBox="0 0 {WIDTH} {bottom + FOOT}" role="img" aria-label="{html(title)}" '
        f'xmlns="http://www.w3.org/2000/svg">',
        *_axis(low, high, bottom, place, is_gain=is_gain),
        *(_margins(margin, low, high, bottom, place) if is_gain and margin else ()),
        *chain.from_iterable(rows),
        "</svg>",
    ]
    return "".join(parts)


def span(marks: Sequence[Mark], *, is_gain: bool = True, margin: float | None = None) -> tuple[float, float]:
    """Return the ends of an axis that shows all marks, 0 and the margin."""
    ends = [end for mark in marks for end in (mark.value, mark.lower, mark.upper) if end is not None]
    if is_gain:
        ends += [-0.002, 0.002] + ([-1.3 * margin, 1.3 * margin] if margin else [])
    low, high = min(ends), max(ends)
    pad = 0.04 * (high - low) or 0.01
    return low - pad, high + pad


def _axis(low: float, high: float, bottom: float, place: Place, *, is_gain: bool) -> Iterator[str]:
    for tick in ticks(low, high, 5):
        x = place(tick)
        zero = is_gain and tick == 0
        yield f'<line class="{"zero" if zero else "grid"}" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{bottom}"/>'
        text = signed(tick) if is_gain else points(tick)
        yield f'<text class="axis mid" x="{x:.1f}" y="{bottom + 14}">{minus(text.removesuffix(".0"))}</text>'


def _margins(margin: float, low: float, high: float, bottom: float, place: Place) -> Iterator[str]:
    for end in (-margin, margin):
        if low < end < high:
            x = place(end)
            yield f'<line class="margin" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{bottom}"/>'
    x = place(-margin)
    yield f'<text class="axis mid margin" x="{x:.1f}" y="{bottom + 28}">margin {minus(signed(-margin))}</text>'


def _mark(mark: Mark, y: float, left: float, place: Place, *, is_gain: bool) -> Iterator[str]:
    kind = mark.kind(is_gain=is_gain)
    yield f'<g class="{kind}{" mean" if mark.is_mean else ""}">'
    if mark.hint:
        yield f"<title>{html(mark.hint)}</title>"
    yield f'<text class="head end" x="{left - 8:.1f}" y="{y + 4:g}">{html(mark.label)}</text>'
    if mark.lower is not None and mark.upper is not None:
        yield f'<line x1="{place(mark.lower):.1f}" x2="{place(mark.upper):.1f}" y1="{y:g}" y2="{y:g}"/>'
    yield _point(place(mark.value), y, "mean" if mark.is_mean else kind)
    show = signed if is_gain else points
    span = bounds(mark.lower, mark.upper, sign=is_gain)
    yield f'<text class="value end" x="{RIGHT + 44}" y="{y + 4:g}">{minus(show(mark.value))}</text>'
    yield f'<text class="span end" x="{WIDTH - 2}" y="{y + 4:g}">{minus(span)}</text></g>'


def _point(x: float, y: float, kind: str) -> str:
    """Draw the value. Shapes differ as colours do, for readers who cannot tell the colours apart."""
    if kind == "mean":
        return f'<path d="M{x - 6:.1f} {y:g}L{x:.1f} {y - 6:g}L{x + 6:.1f} {y:g}L{x:.1f} {y + 6:g}Z"/>'
    if kind == "loss":
        return f'<rect x="{x - 4:.1f}" y="{y - 4:g}" width="8" height="8"/>'
    return f'<circle cx="{x:.1f}" cy="{y:g}" r="4.2"/>'
