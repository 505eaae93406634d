"""Compare candidates with a base on every task that both have, in scores and in the space of their vectors."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from clear_bench import compare as stage
from clear_bench import languages, metrics
from clear_bench.api.comparison_text import LEGEND, sentences, tables
from clear_bench.api.geometry import Drawn
from clear_bench.api.sides import FindCard, Side, Source, as_side, named_card
from clear_bench.api.stored import geometry_change
from clear_bench.compare import Comparison, Resampling
from clear_bench.geometry import Overall
from clear_bench.render import escape
from clear_bench.render.geometry import change_table, headline
from clear_bench.render.tables import Table
from clear_bench.render.writers import WIDTH, html_table, plain_text
from clear_bench.stats.resampling import REPLICATES


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Comparisons:
    """What each candidate gained or lost on each task."""

    comparisons: tuple[Comparison, ...]
    resampling: Resampling
    space: tuple[Sequence[Overall], ...] | None = None
    """What changed in the space, in the order of `comparisons`; None where it was not measured."""
    notes: tuple[str, ...] = ()
    """What was left out of the comparisons."""

    def __str__(self) -> str:
        """Return what `clear-bench compare` prints."""
        parts = [block for i in range(len(self.comparisons)) for block in self.blocks(i)]
        return "".join(
            plain_text(block) if isinstance(block, Table) else f"{block}\n" for block in [*parts, *self.legend()]
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Return the same for a notebook, without the legend."""
        parts = [block for i in range(len(self.comparisons)) for block in self.blocks(i) if block]
        return "".join(html_table(block) if isinstance(block, Table) else _paragraph(block) for block in parts)

    def blocks(self, i: int, show_all: bool = False) -> Iterator[str | Table]:
        """Yield the sentences and tables of one comparison; `show_all` shows every direct pair."""
        one = self.comparisons[i]
        yield "\n" * bool(i) + "\n".join(map(escape.plain, sentences(one)))
        for table in tables(one, show_all):
            yield ""
            yield table
        if self.space and (rows := self.space[i]):
            yield f"\nIn the space: {headline(rows)}.\n"
            yield change_table(rows, one.base, one.candidate, one.task)

    def legend(self) -> Iterator[str]:
        """Yield what the columns mean, unless every score is the same."""
        if not all(one.is_identical for one in self.comparisons):
            yield "\n" + textwrap.fill(LEGEND, WIDTH, break_on_hyphens=False)

    def to_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return the document that `clear-bench compare --json` prints."""
        found = stage.document(self.comparisons, self.resampling)
        for one, rows in zip(found["comparisons"], self.space or (), strict=self.space is not None):
            one["geometry"] = [_change(row) for row in rows]
        return found


def compare(
    base: Source,
    *candidates: Source,
    tasks: Sequence[str] = (),
    metric: str | None = None,
    seen: Sequence[str] | None = None,
    resamples: int = REPLICATES,
    seed: int = 0,
    geometry: bool = False,
    find_card: FindCard = named_card,
) -> Comparisons:
    """Return what each candidate gained or lost against a base, with intervals and tests.

    Args:
        base: A result folder (`OUT/<model>` or `OUT/<model>/<task>`; a comma joins seeds), or what `evaluate` returned.
        candidates: The same for each model that is compared with the base.
        tasks: Tasks to compare; all that both sides have unless given.
        metric: A metric in place of each task's main metric.
        seen: Languages that training saw; what the candidate's manifest says unless given.
        resamples: Replicates of the tests that adjust for several languages; 0 for none.
        seed: Of the resampling.
        geometry: Measure what changed in the space, from stored vectors.
        find_card: Returns the task of a result, for `geometry`; reads the card that the manifest names unless given.

    Raises `NotComparableError` where both sides do not answer the same questions.
    """
    others = [as_side(candidate, tasks) for candidate in candidates]
    old, resampling = as_side(base, tasks), Resampling(resamples, seed)
    trained = None if seen is None else frozenset(map(languages.canonical, seen))
    found, notes = [], list[str]()
    for new in others:
        for task in stage.match_tasks(old, new):
            sides = [old[task], new[task], *(other[task] for other in others if task in other)]
            names, front = stage.labels(sides)[:2], column(old[task][0].scores.metrics, metric)
            found.append(
                stage.compare(old[task], new[task], metric=front, trained=trained, resampling=resampling, names=names)
            )
        notes += [f"{task} is on one side only and is left out" for task in sorted(set(old) ^ set(new))]
    changed = tuple(_changes(old, others, Drawn(seed=seed), find_card, notes)) if geometry else None
    return Comparisons(tuple(found), resampling, changed, tuple(notes))


def column(known: Sequence[str], asked: str | None) -> str | None:
    """Return the column of a metric that may be spelled in any way that `metrics` reads."""
    return asked if asked is None or asked in known else metrics.parse(asked).name


def _changes(
    old: Side, others: Sequence[Side], drawn: Drawn, find_card: FindCard, notes: list[str]
) -> Iterator[list[Overall]]:
    """Measure what changed in the space: of several seeds, the first of each side."""
    for new in others:
        for name in stage.match_tasks(old, new):
            if max(len(old[name]), len(new[name])) > 1:
                notes.append(f"geometry of {name}: of several seeds, the first of each side is measured")
            task, read = find_card(new[name][0])
            yield geometry_change(old[name][0], new[name][0], task, read, drawn)


def _paragraph(text: str) -> str:
    return f"<p>{'<br>'.join(map(escape.html, text.strip().splitlines()))}</p>"


def _change(row: Overall) -> dict[str, str | int | float | None]:
    return {
        "name": row.name,
        "side": row.side,
        "base": row.base,
        "delta": row.value,
        "lower": row.lower,
        "upper": row.upper,
        "n": row.n,
    }
