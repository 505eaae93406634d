"""Draw lines over a share from 0 to 1 as a complete SVG file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from clear_bench.render.axis import ticks
from clear_bench.render.escape import html
from clear_bench.render.numbers import minus, signed

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 560, 320, 52, 440, 34, 270
COLOURS = ("#1c62b0", "#a8530a", "#2d7d46", "#7b3fa0", "#6b7580")


def curve(
    lines: Mapping[str, Sequence[tuple[float, float]]], title: str, *, floor: float | None = None, best: float | None
) -> str:
    """Draw one line per name: points (share, gain 0-1); a dashed line at `floor`, and a mark at the best share."""
    values = [value for points in lines.values() for _, value in points] + [0.0] + ([floor] if floor else [])
    pad = 0.08 * (max(values) - min(values)) or 0.01
    low, high = min(values) - pad, max(values) + pad

    def place(share: float, value: float) -> str:
        return f"{LEFT + share * (RIGHT - LEFT):.1f},{BOTTOM - (value - low) / (high - low) * (BOTTOM - TOP):.1f}"

    def across(value: float, style: str) -> str:
        (x1, y), (x2, _) = place(0, value).split(","), place(1, value).split(",")
        return f'<line x1="{x1}" x2="{x2}" y1="{y}" y2="{y}" {style}/>'

    def body() -> Iterator[str]:
        for tick in ticks(low, high):
            yield across(tick, 'stroke="#333"' if tick == 0 else 'stroke="#dde1e5"')
            y = place(0, tick).split(",")[1]
            yield f'<text x="{LEFT - 6}" y="{y}" dy="4" text-anchor="end">{minus(signed(tick))}</text>'
        if floor:
            yield across(floor, 'stroke="#a8530a" stroke-dasharray="5 4"')
        for share in (0, 0.25, 0.5, 0.75, 1):
            x = place(share, low).split(",")[0]
            yield f'<text x="{x}" y="{BOTTOM + 18}" text-anchor="middle">{share:g}</text>'
        if best is not None:
            x = place(best, low).split(",")[0]
            yield f'<line x1="{x}" x2="{x}" y1="{TOP}" y2="{BOTTOM}" stroke="#333" stroke-dasharray="2 3"/>'
        for i, (name, points) in enumerate(lines.items()):
            colour = COLOURS[i % len(COLOURS)]
            path = " ".join(place(share, value) for share, value in points)
            yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
            yield f'<rect x="{RIGHT + 14}" y="{TOP + 20 * i}" width="14" height="3" fill="{colour}"/>'
            yield f'<text x="{RIGHT + 34}" y="{TOP + 20 * i + 5}">{html(name)}</text>'

    frame = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{html(title)}" font-family="sans-serif" font-size="12" fill="#222">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/><text x="{LEFT}" y="18">{html(title)}</text>'
    )
    foot = f'<text x="{LEFT}" y="{HEIGHT - 10}">share of the tuned weights; gain over the base x 100</text></svg>\n'
    return "".join([frame, *body(), foot])
