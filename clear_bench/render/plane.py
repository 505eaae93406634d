"""Languages and translations in two dimensions, as inline SVG; colours are classes of pictures.css."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from clear_bench.geometry import Picture
from clear_bench.languages import language_name, side
from clear_bench.render.escape import html
from clear_bench.render.numbers import points

WIDTH, HEIGHT, EDGE, FOOT = 470, 400, 22, 34
LINE = 13
"""Height of a label."""
LETTER = 7.5
"""Width of a letter of a label, at most."""


def plane(picture: Picture, title: str) -> str:
    """Draw the centroid of each language, and each text as a star: rays lead from its middle to its translations."""
    centroids, texts = _placed(picture)
    parts = [
        f'<svg class="plane" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html(title)}" '
        f'xmlns="http://www.w3.org/2000/svg">',
        *_stars(picture, texts),
        *_centroids(picture, centroids),
        *_axes(picture),
        "</svg>",
    ]
    return "".join(parts)


def _placed(picture: Picture) -> tuple[np.ndarray, np.ndarray]:
    """Scale both axes alike, so that distances can be compared, and leave room at the edges."""
    every = np.concatenate([picture.centroids, picture.texts.reshape(-1, 2)])
    middle, half = (every.max(axis=0) + every.min(axis=0)) / 2, np.ptp(every, axis=0) / 2
    room = np.array([WIDTH / 2 - 2 * EDGE, (HEIGHT - FOOT) / 2 - EDGE])
    scale = float((room / np.maximum(half, 1e-9)).min())
    centre, turn = np.array([WIDTH / 2, (HEIGHT - FOOT) / 2]), np.array([1.0, -1.0])
    return centre + (picture.centroids - middle) * scale * turn, centre + (picture.texts - middle) * scale * turn


def _stars(picture: Picture, texts: np.ndarray) -> Iterator[str]:
    for i, name in enumerate(picture.names):
        x, y = texts[:, i].mean(axis=0)
        yield f'<g class="star"><title>{html(name)}</title>'
        for code, (right, down) in zip(picture.languages, texts[:, i], strict=True):
            yield f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{right:.1f}" y2="{down:.1f}"/>'
            hint = f"{name}, {language_name(code)}"
            yield f'<circle cx="{right:.1f}" cy="{down:.1f}" r="2.4"><title>{html(hint)}</title></circle>'
        yield "</g>"


def _centroids(picture: Picture, places: np.ndarray) -> Iterator[str]:
    """Draw the dots, then the labels: each where it meets no other, as near to its dot as can be."""
    labels = [side(code) for code in picture.languages]
    spots = _label_spots(labels, places)
    for code, (x, y) in zip(picture.languages, places, strict=True):
        dot = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>'
        yield f'<g class="score"><title>{html(language_name(code))}</title>{dot}</g>'
    for code, (x, y), label, (left, base) in zip(picture.languages, places, labels, spots, strict=True):
        yield f"<g><title>{html(language_name(code))}</title>"
        if abs(base - 4 - y) > LINE:
            yield f'<line class="lead" x1="{x:.1f}" y1="{y:.1f}" x2="{left:.1f}" y2="{base - 4:.1f}"/>'
        yield f'<text class="head" x="{left:.1f}" y="{base:.1f}">{html(label)}</text></g>'


def _label_spots(labels: Sequence[str], places: np.ndarray) -> list[tuple[float, float]]:
    taken: list[tuple[float, float, float]] = []
    found: dict[int, tuple[float, float]] = {}
    for i in np.argsort(places[:, 1], kind="stable").tolist():
        x, y = places[i]
        width = LETTER * len(labels[i])
        left = x + 8 if x + 8 + width < WIDTH else x - 8 - width
        steps = sorted(range(-20, 21), key=abs)
        base = next((y + 4 + 4 * step for step in steps if _is_free(left, y + 4 + 4 * step, width, taken)), y + 4)
        taken.append((left, base, width))
        found[i] = (left, base)
    return [found[i] for i in range(len(labels))]


def _is_free(left: float, base: float, width: float, taken: Sequence[tuple[float, float, float]]) -> bool:
    inside = LINE <= base <= HEIGHT - FOOT
    return inside and not any(
        abs(base - other) < LINE and left < start + wide and start < left + width for start, other, wide in taken
    )


def _axes(picture: Picture) -> Iterator[str]:
    first, second = (points(share) for share in picture.shares)
    text = f"→ first component, {first} % of the variance; ↑ second, {second} %"
    yield f'<text class="axis" x="{EDGE}" y="{HEIGHT - 10}">{html(text)}</text>'
