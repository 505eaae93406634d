"""Tables of gains: each with its interval, its tests and its counts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from clear_bench.languages import english_first, language_name, side
from clear_bench.render.numbers import MISSING, bounds, count, p_value, percent, plain, points, signed
from clear_bench.render.records import LANGUAGE_GROUPS, TITLES
from clear_bench.render.tables import Table

if TYPE_CHECKING:
    from clear_bench.compare import Comparison, Difference

HEADS = (
    "base",
    "candidate",
    "gain",
    "in %",
    "95 % interval",
    "p",
    "adj. p",
    "d",
    "win/tie/loss",
    "n",
    "clusters",
    "MDE",
)
NOTE = (
    "Gains in points (x 100). Intervals and p: cluster-robust, at least as wide as Student's t; adj. p: for the number "
    "of rows tested together; d: Cohen's d of the per-query differences; MDE: smallest true gain that would be found "
    "with 80 % power."
)


def cells_of(gain: Difference) -> tuple[str, ...]:
    """Return one gain as the texts under `HEADS`."""
    outcomes = (gain.wins, gain.ties, gain.losses)
    return (
        points(gain.base),
        points(gain.candidate),
        signed(gain.delta),
        percent(gain.delta, gain.base),
        bounds(gain.lower, gain.upper, sign=True),
        p_value(gain.p),
        p_value(gain.p_adjusted),
        plain(gain.effect),
        MISSING if None in outcomes else "/".join(map(count, outcomes)),
        count(gain.n or None),
        count(gain.clusters or None),
        points(gain.mde),
    )


def overall_table(gains: Comparison) -> Table:
    """Return the macro means, and the gains of direct pairs by the languages that training saw."""
    rows = [(TITLES.get(name, name), *cells_of(gain)) for name, gain in gains.groups.items()]
    rows += [(f"direct, {seen_words(name)}", *cells_of(gain)) for name, gain in gains.seen.items()]
    rows += [("direct less its legs through English", *cells_of(gains.pivot))] if gains.pivot else []
    return Table("Gains by group of pairs", ("pairs", *HEADS), tuple(rows), NOTE)


def language_tables(gains: Comparison) -> Iterable[Table]:
    """Yield the gains of every language, one table per group of pairs."""
    for group in LANGUAGE_GROUPS:
        rows = by_language(gains, group)
        if rows:
            named = tuple((f"{language_name(code)} ({side(code)})", *cells_of(gain)) for code, gain in rows.items())
            yield Table(f"Gains by language, {TITLES[group]}", ("language", *HEADS), named, NOTE)


def pair_table(gains: Comparison) -> Table:
    """Return the gain of every pair."""
    rows = ((f"{side(pair.query)} → {side(pair.passage)}", *cells_of(gain)) for pair, gain in gains.cells.items())
    note = f"{NOTE} Here adjusted for a map of many cells (Benjamini-Hochberg): one cell alone is no claim."
    return Table("Gains by pair, query → passage", ("pair", *HEADS), tuple(rows), note)


def pool_gains_table(gains: Comparison) -> Table:
    """Return the gains over passages in mixed languages, under every metric."""
    rows = (
        (f"{gain.pair and side(gain.pair.query)} {gain.metric}", *cells_of(gain))
        for gain in gains.families["pool"].rows
    )
    return Table("Gains over passages in mixed languages", ("query language, metric", *HEADS), tuple(rows), NOTE)


def by_language(gains: Comparison, group: str) -> dict[str, Difference]:
    """Return the gains of one group of pairs by language, English first, adjusted for the other languages."""
    adjusted = {row.pair: row for row in gains.families[group].rows} if group in gains.families else {}
    found = {code: gains.languages[code].get(group) for code in english_first(gains.languages)}
    return {code: adjusted.get(gain.pair, gain) for code, gain in found.items() if gain is not None}


def seen_words(name: str) -> str:
    """Return words for how many languages of a pair training saw."""
    return {"both": "both languages seen", "one": "one language seen", "none": "no language seen"}.get(name, name)
