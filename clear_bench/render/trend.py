"""Draw scores or gains over the languages' resources as inline SVG; colours are classes of pictures.css."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from clear_bench.render.axis import ticks
from clear_bench.render.escape import html
from clear_bench.render.numbers import minus, points, signed

WIDTH = 380


@dataclass(frozen=True, slots=True)
class Dot:
    """One language in the resource trend."""

    label: str
    resources: int
    value: float
    hint: str = ""


def trend(dots: Sequence[Dot], title: str, *, is_gain: bool, slope: float | None = None) -> str:
    """Draw values over the languages' resource class (0 to 5), with the fitted line where a slope is given."""
    low, high = min(dot.value for dot in dots), max(dot.value for dot in dots)
    if is_gain:
        low, high = min(low, 0.0), max(high, 0.0)
    pad = 0.08 * (high - low) or 0.01
    low, high = low - pad, high + pad

    def down(value: float) -> float:
        return 190 - (value - low) / (high - low) * 178

    parts = [
        f'<svg class="trend" viewBox="0 0 {WIDTH} 236" role="img" aria-label="{html(title)}" '
        f'xmlns="http://www.w3.org/2000/svg">',
        *_frame(low, high, down, is_gain=is_gain),
        *(_fit(dots, slope, down) if slope is not None else ()),
        *_dots(dots, down, is_gain=is_gain),
        "</svg>",
    ]
    return "".join(parts)


def _across(resources: float) -> float:
    return 62 + resources * 56


def _frame(low: float, high: float, down: Callable[[float], float], *, is_gain: bool) -> Iterator[str]:
    for tick in ticks(low, high, 6):
        y = down(tick)
        line = "zero" if is_gain and tick == 0 else "grid"
        yield f'<line class="{line}" x1="44" x2="{WIDTH - 4}" y1="{y:.1f}" y2="{y:.1f}"/>'
        text = signed(tick) if is_gain else points(tick)
        yield f'<text class="axis end" x="38" y="{y + 4:.1f}">{minus(text.removesuffix(".0"))}</text>'
    for resources in range(6):
        yield f'<text class="axis mid" x="{_across(resources):g}" y="208">{resources}</text>'
    yield '<text class="axis mid" x="202" y="228">resource class (Joshi et al. 2020): few texts → many</text>'


def _fit(dots: Sequence[Dot], slope: float, down: Callable[[float], float]) -> Iterator[str]:
    x = sum(dot.resources for dot in dots) / len(dots)
    y = sum(dot.value for dot in dots) / len(dots)
    first, last = min(dot.resources for dot in dots), max(dot.resources for dot in dots)
    ends = [(_across(at), down(y + slope * (at - x))) for at in (first, last)]
    (x1, y1), (x2, y2) = ends
    yield f'<line class="fit" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _dots(dots: Sequence[Dot], down: Callable[[float], float], *, is_gain: bool) -> Iterator[str]:
    """Draw the points; labels of one class that would overlap are moved down one line each."""
    taken: dict[int, float] = {}
    for dot in sorted(dots, key=lambda dot: -dot.value):
        x, y = _across(dot.resources), down(dot.value)
        line = max(y + 4, taken.get(dot.resources, -99.0) + 11)
        taken[dot.resources] = line
        kind = "score" if not is_gain else "gain" if dot.value > 0 else "loss"
        yield f'<g class="{kind}"><title>{html(dot.hint or dot.label)}</title><circle cx="{x:g}" cy="{y:.1f}" r="4"/>'
        yield f'<text class="head" x="{x + 8:g}" y="{line:.1f}">{html(dot.label)}</text></g>'
