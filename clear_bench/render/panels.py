"""Choose the numbers of a result that go into each heat map, plot and figure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clear_bench.languages import english_first, language_name, side
from clear_bench.render.axis import gain_ramp, score_ramp
from clear_bench.render.forest import Mark, forest, span
from clear_bench.render.gains import by_language, seen_words
from clear_bench.render.heatmap import WIDEST, heatmap
from clear_bench.render.numbers import bounds, minus, p_value, points, signed
from clear_bench.render.records import LANGUAGE_GROUPS, TITLES, Entry, Summary, Value
from clear_bench.render.trend import Dot, trend

if TYPE_CHECKING:
    from clear_bench.compare import Comparison, Difference, Trend
    from clear_bench.types import LanguagePair

STRONG = 0.05
"""Adjusted p below which a gain is set in bold."""
EXTREMES = 8
"""Direct pairs shown at each end."""

GROUP_WORDS = {
    "monolingual": "Queries and passages in the same language.",
    "x-en": "Queries in the language, passages in English.",
    "en-x": "English queries, passages in the language.",
    "direct": "Mean over the pairs without English, by query language.",
}


@dataclass(frozen=True, slots=True)
class Picture:
    """An SVG with its heading and caption."""

    name: str
    """For file names: letters, digits and hyphens."""
    title: str
    svg: str
    caption: str = ""
    is_wide: bool = False


@dataclass(frozen=True, slots=True)
class Figure:
    """One of the large numbers on top."""

    title: str
    value: str
    interval: str
    gain: str = ""
    gain_interval: str = ""
    direction: str = ""
    """`gain` or `loss` where the interval excludes 0."""
    base: str = ""


def figures(entry: Entry) -> list[Figure]:
    """Return the large numbers: English, monolingual, X→en, en→X, direct, pools, all pairs."""
    order = ("english", *LANGUAGE_GROUPS, "pool", "all")
    return [_figure(name, entry) for name in order if name in entry.summary.groups]


def _figure(name: str, entry: Entry) -> Figure:
    value = entry.summary.groups[name]
    gain = entry.gains.groups.get(name) if entry.gains else None
    head = (TITLES[name], points(value.value), bounds(value.lower, value.upper))
    if gain is None:
        return Figure(*head)
    span = minus(bounds(gain.lower, gain.upper, sign=True))
    return Figure(*head, minus(signed(gain.delta)), span, direction(gain), points(gain.base))


def direction(gain: Difference) -> str:
    """Return `gain` or `loss` where the interval excludes 0, else an empty text."""
    if gain.lower is not None and gain.lower > 0:
        return "gain"
    return "loss" if gain.upper is not None and gain.upper < 0 else ""


def heatmaps(entry: Entry) -> Iterator[Picture]:
    """Draw the scores, and the gains over a baseline."""
    summary = entry.summary
    queries, passages = summary.sides
    wide = len(passages) > WIDEST
    values = {pair: value.value for pair, value in summary.cells.items()}
    if not values:
        return
    ramp = score_ramp(values.values())
    title = f"{summary.metric} x 100 by query and passage language"
    yield Picture("heatmap", title, heatmap(queries, passages, values, ramp, title), _absolute_caption(summary), wide)
    if entry.gains:
        cells = entry.gains.cells
        deltas = {pair: gain.delta for pair, gain in cells.items()}
        strong = {pair for pair, gain in cells.items() if gain.p_adjusted is not None and gain.p_adjusted < STRONG}
        title = f"Gain over {entry.gains.base}, points of {summary.metric}"
        svg = heatmap(queries, passages, deltas, gain_ramp(deltas.values()), title, strong)
        caption = f"Bold: p < {STRONG} after adjusting for {len(cells)} cells (Benjamini-Hochberg)."
        yield Picture("heatmap-gain", title, svg, caption, wide)


def _absolute_caption(summary: Summary) -> str:
    most = max((value.n for value in summary.cells.values()), default=0)
    return f"Each cell is a mean over up to {most:,} queries." if most else "Each cell was imported as a mean."


def marks(entry: Entry) -> dict[str, list[Mark]]:
    """Return the rows of the forest plots by group of pairs: gains over a baseline, or scores without one."""
    found = {
        group: _gain_marks(entry.gains, group) if entry.gains else _score_marks(entry.summary, group)
        for group in LANGUAGE_GROUPS
    }
    return {group: rows for group, rows in found.items() if len(rows) > 1}


def forests(entry: Entry) -> Iterator[Picture]:
    """Draw one forest plot per group of pairs, all on one axis."""
    plots, is_gain = marks(entry), entry.gains is not None
    margin = entry.margin if is_gain else None
    ends = span([mark for rows in plots.values() for mark in rows], is_gain=is_gain, margin=margin) if plots else None
    for group, rows in plots.items():
        svg = forest(rows, f"{TITLES[group]} by language", is_gain=is_gain, margin=margin, ends=ends)
        yield Picture(f"forest-{group}", TITLES[group], svg, GROUP_WORDS[group])


def _gain_marks(gains: Comparison, group: str) -> list[Mark]:
    marks = [_gain_mark(side(code), gain, language_name(code)) for code, gain in by_language(gains, group).items()]
    whole = [_gain_mark("mean", gains.groups[group], "mean", is_mean=True)] if group in gains.groups else []
    return [*marks, *whole] if marks else []


def _score_marks(summary: Summary, group: str) -> list[Mark]:
    known = {code: summary.languages[code] for code in english_first(summary.languages)}
    marks = [
        _score_mark(side(code), values[group], language_name(code)) for code, values in known.items() if group in values
    ]
    whole = [_score_mark("mean", summary.groups[group], "mean", is_mean=True)] if group in summary.groups else []
    return [*marks, *whole] if marks else []


def _gain_mark(label: str, gain: Difference, name: str, *, is_mean: bool = False) -> Mark:
    span = bounds(gain.lower, gain.upper, sign=True)
    hint = f"{name}: {points(gain.base)} to {points(gain.candidate)}, gain {signed(gain.delta)} ({span})"
    tested = f", p {p_value(gain.p)}, adjusted {p_value(gain.p_adjusted)}" if gain.p is not None else ""
    return Mark(label, gain.delta, gain.lower, gain.upper, hint + tested, is_mean)


def _score_mark(label: str, value: Value, name: str, *, is_mean: bool = False) -> Mark:
    hint = f"{name}: {points(value.value)} ({bounds(value.lower, value.upper)})"
    return Mark(label, value.value, value.lower, value.upper, hint, is_mean)


def english(entry: Entry) -> Iterator[Picture]:
    """Draw the gain of the English cell against the margin, where there is a baseline."""
    if entry.gains and "english" in entry.gains.groups:
        mark = _gain_mark("en", entry.gains.groups["english"], "English")
        caption = (
            "Dashed: the loss that the margin tolerates. The gate passes when the one-sided bound stays right of it."
        )
        svg = forest([mark], "Gain in English", margin=entry.margin)
        yield Picture("english", "Gain in English", svg, caption if entry.margin else "")


def direct(entry: Entry) -> Iterator[Picture]:
    """Draw the pairs without English: the groups that training saw, and the pairs at both ends."""
    if entry.gains:
        cells = {pair: gain for pair, gain in entry.gains.cells.items() if pair.kind == "direct"}
        yield from _direct_groups(entry.gains)
        order = sorted(cells, key=lambda pair: -cells[pair].delta)
        rows = [_gain_mark(_arrow(pair), cells[pair], _arrow(pair)) for pair in order]
    else:
        values = {pair: value for pair, value in entry.summary.cells.items() if pair.kind == "direct"}
        order = sorted(values, key=lambda pair: -values[pair].value)
        rows = [_score_mark(_arrow(pair), values[pair], _arrow(pair)) for pair in order]
    if len(rows) > 2:
        ends = _ends(rows)
        what = "gains" if entry.gains else "scores"
        title = f"Direct pairs: highest and lowest {what}" if len(ends) < len(rows) else f"Direct pairs: all {what}"
        yield Picture(
            "direct-pairs", title, forest(ends, title, is_gain=bool(entry.gains)), "Query language → passage language."
        )


def _direct_groups(gains: Comparison) -> Iterator[Picture]:
    marks = (
        [_gain_mark("all", gains.groups["direct"], "all direct pairs", is_mean=True)]
        if "direct" in gains.groups
        else []
    )
    marks += [_gain_mark(f"{name} seen", gain, seen_words(name)) for name, gain in gains.seen.items()]
    marks += [_gain_mark("pivot", gains.pivot, "direct less its legs through English")] if gains.pivot else []
    if marks:
        caption = (
            "Pivot: a pair's gain less the mean gain of its two legs through English; clearly below 0, the gain is "
            "English-centred only."
        )
        yield Picture("direct", "Mean gain of direct pairs", forest(marks, "Mean gain of direct pairs"), caption)


def _ends(marks: Sequence[Mark]) -> Sequence[Mark]:
    return marks if len(marks) <= 2 * EXTREMES else [*marks[:EXTREMES], *marks[-EXTREMES:]]


def _arrow(pair: LanguagePair) -> str:
    return f"{side(pair.query)}→{side(pair.passage)}"


def trends(entry: Entry) -> Iterator[Picture]:
    """Draw gains, or scores, over the resource class of the languages."""
    for group in ("monolingual", "x-en", "en-x"):
        dots = list(_dots(entry, group))
        fitted = entry.gains.trends.get(group) if entry.gains else None
        if len({dot.resources for dot in dots}) > 1:
            title = f"{TITLES[group]}: {'gain' if entry.gains else 'score'} over resources"
            svg = trend(dots, title, is_gain=bool(entry.gains), slope=fitted.slope if fitted else None)
            yield Picture(f"trend-{group}", title, svg, _slope(fitted) if fitted else "")


def _slope(fitted: Trend) -> str:
    words = f"points a class, p {p_value(fitted.p)} over {fitted.languages} languages."
    return minus(f"Slope {signed(fitted.slope)} {words}")


def _dots(entry: Entry, group: str) -> Iterator[Dot]:
    from clear_bench.languages import resource_class

    for code, values in entry.summary.languages.items():
        shown = entry.gains.languages.get(code, {}).get(group) if entry.gains else values.get(group)
        level = resource_class(code)
        if shown is not None and level is not None:
            value = shown.value if isinstance(shown, Value) else shown.delta
            text = points(value) if isinstance(shown, Value) else signed(value)
            yield Dot(side(code), level, value, f"{language_name(code)}, class {level}: {text}")
