"""A comparison in words and tables for the terminal. Numbers are rounded by `render`, never here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from clear_bench.compare import Comparison, Difference
from clear_bench.render.numbers import MISSING, bounds, count, p_value, percent, plain, points, signed
from clear_bench.render.records import TITLES
from clear_bench.render.tables import Table

SHOWN = 20
"""Rows of a table of direct pairs, unless all are asked for."""
LEVEL = 0.05

LEGEND = (
    "base, cand., gain: means and their difference, x 100; %: the gain in percent of the base; p: two-sided paired "
    "test over clusters of queries; adj. p: the same for all rows of its table together; d: Cohen's d of the "
    "differences by query; W/T/L: queries won, tied and lost; MDE: the smallest true difference that a test of this "
    "size finds in 80 % of all cases."
)
"""What the columns mean, below the last table."""

ADJUSTMENTS = {
    "holm": "Holm",
    "max-t": "max-T over shared queries",
    "benjamini-hochberg": "Benjamini-Hochberg",
}


def sentences(one: Comparison) -> Iterator[str]:
    """Yield what happened, group by group."""
    head = f"{one.candidate} against {one.base} on {one.task}, {one.metric}:"
    if one.is_identical:
        yield f"{head} no difference, every score is the same"
        return
    yield head
    for name, row in one.groups.items():
        if name not in ("all", "cross"):
            yield f"  {_told(row)}"
    if max(one.seeds) > 1:
        overall = one.groups.get("all") or one.groups["pool"]
        spreads = " and ".join(points(value) for value in overall.spread)
        yield f"  averaged over {one.seeds[0]} and {one.seeds[1]} seeds, standard deviation of their means {spreads}"


def tables(one: Comparison, show_all: bool = False) -> Iterator[Table]:
    """Lay out the tables, the most condensed first."""
    families = one.families
    rows = [_named(row, TITLES[row.name]) for row in families["macro"].rows]
    yield _table(one, "macro", "Means over pairs", rows, "English and joint rows stand alone")
    for name in ("english", "x-en", "en-x", "monolingual"):
        if name in families and len(families[name].rows) > (name != "english"):
            yield _table(one, name, TITLES[name], families[name].rows)
    if "direct" in families:
        yield _direct(one, families["direct"].rows, show_all)
    if "seen" in families:
        titles = {"both": "both seen", "one": "one seen", "none": "none seen"}
        rows = [_named(row, titles[row.name]) for row in families["seen"].rows]
        yield _table(one, "seen", "Direct pairs by languages seen in training", rows)
    if "pivot-macro" in families:
        title = "Direct pairs less the mean of their two legs through English"
        hint = "" if "seen" in families else "--seen splits direct pairs by what training saw"
        yield _table(one, "pivot-macro", title, _pivot_rows(one), hint)
    yield from _resources(one)
    yield from _worst(one)
    if "pool" in families:
        rows = [_named(row, f"{row.name} {row.metric}") for row in families["pool"].rows]
        yield _table(one, "pool", "Pools, every metric", rows)


def _told(row: Difference) -> str:
    name, span = TITLES[row.name], bounds(row.lower, row.upper, sign=True)
    if row.p is None:
        return f"{name} {signed(row.delta)} points (no interval: {row.reason})"
    if row.delta == 0 and row.p == 1:
        return f"{name} no difference"
    if (row.p_adjusted if row.p_adjusted is not None else row.p) >= LEVEL:
        return f"{name} no difference shown ({signed(row.delta)}, 95 % interval {span})"
    size = points(abs(row.delta))
    return f"{name} {'gained' if row.delta > 0 else 'lost'} {size} points (95 % interval {span})"


def _named(row: Difference, name: str) -> Difference:
    return replace(row, name=name)


def _table(one: Comparison, family: str, title: str, rows: Sequence[Difference], note: str = "") -> Table:
    adjusted = ADJUSTMENTS[one.families[family].adjustment]
    parts = [_sizes(rows), f"adj. p: {adjusted}" if len(rows) > 1 else "", note]
    return Table(
        title=f"{title}, {one.metric} x 100",
        columns=("", "base", "cand.", "gain", "%", "95 % interval", "p", "adj. p", "d", "W/T/L", "MDE"),
        rows=tuple(_cells(row) for row in rows),
        note="; ".join(part for part in parts if part),
    )


def _cells(row: Difference) -> tuple[str, ...]:
    outcomes = MISSING if row.outcomes is None else "/".join(str(number) for number in row.outcomes)
    return (
        row.name,
        points(row.base),
        points(row.candidate),
        signed(row.delta),
        MISSING if row.percent is None else percent(row.delta, row.base).removesuffix(" %"),
        bounds(row.lower, row.upper, sign=True),
        p_value(row.p),
        p_value(row.p_adjusted),
        plain(row.effect),
        outcomes,
        points(row.mde),
    )


def _sizes(rows: Sequence[Difference]) -> str:
    """Return how many queries and clusters the rows rest on. A mean over pairs has the clusters of all of them."""
    known = [row for row in rows if row.n]
    if not known:
        return rows[0].reason or ""
    single = [row for row in known if row.pair and row.outcomes]
    spans = [_span([row.n for row in single], "queries")] if len(single) == len(known) else []
    return " in ".join([*spans, _span([row.clusters for row in known], "clusters")])


def _span(sizes: Sequence[int], name: str) -> str:
    low, high = min(sizes), max(sizes)
    return f"{count(low)} {name}" if low == high else f"{count(low)} to {count(high)} {name}"


def _direct(one: Comparison, rows: Sequence[Difference], show_all: bool) -> Table:
    if show_all or len(rows) <= SHOWN:
        return _table(one, "direct", TITLES["direct"], rows)
    ordered = sorted(rows, key=lambda row: row.delta)
    half = SHOWN // 2
    title = f"{TITLES['direct']}: the {half} pairs of {len(rows)} that lost most and the {half} that gained most"
    return _table(one, "direct", title, [*ordered[:half], *ordered[-half:]], "--all shows every pair")


def _pivot_rows(one: Comparison) -> list[Difference]:
    titles = {"all": "all direct", "both": "both seen", "one": "one seen", "none": "none seen"}
    return [_named(row, titles[row.name]) for row in one.families["pivot-macro"].rows]


def _resources(one: Comparison) -> Iterator[Table]:
    for group in one.trends:
        rows = [_named(row, f"class {row.name}") for row in one.families[f"resource:{group}"].rows]
        yield _table(one, f"resource:{group}", f"{TITLES[group]} by resource class (Joshi et al. 2020)", rows)
    trends = [
        (
            TITLES[group],
            count(trend.languages),
            plain(100 * trend.slope),
            p_value(trend.p),
            plain(100 * trend.headroom_slope),
            p_value(trend.headroom_p),
        )
        for group, trend in one.trends.items()
    ]
    if trends:
        columns = ("", "languages", "points a class", "p", "% of headroom a class", "p")
        note = "slopes, tested by permutation over languages; headroom: what the base left to gain"
        yield Table(title=f"Trend with resources, {one.metric} x 100", columns=columns, rows=tuple(trends), note=note)


def _worst(one: Comparison) -> Iterator[Table]:
    rows = [
        (
            TITLES[group],
            f"{worst.base.name} {points(worst.base.base)}",
            f"{worst.candidate.name} {points(worst.candidate.candidate)}",
            f"{worst.loss.name} {signed(worst.loss.delta)}",
            bounds(worst.loss.lower, worst.loss.upper, sign=True),
        )
        for group, worst in one.worst.items()
    ]
    if rows:
        columns = ("", "weakest of base", "weakest of cand.", "least gain", "95 % interval")
        yield Table(title=f"Worst language, {one.metric} x 100", columns=columns, rows=tuple(rows))
