"""Tables of formatted texts: those of a run and of a report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from clear_bench.languages import english_first, language_name, side
from clear_bench.render.numbers import MISSING, bounds, count, points, score
from clear_bench.render.records import LANGUAGE_GROUPS, TITLES, Summary, Value
from clear_bench.types import LanguagePair

MATRIX_LIMIT = 16
"""Languages of the largest matrix that a terminal shows."""


class Link(str):
    """A cell that Markdown links; every other writer sees its text."""

    url: str

    def __new__(cls, text: str, url: str) -> Link:
        """Return a text with its target: an address, or a path relative to the file that has the link."""
        link = super().__new__(cls, text)
        link.url = url
        return link


@dataclass(frozen=True, slots=True)
class Table:
    """A title, headings and rows of raw texts: whoever writes it escapes them. The first column names the row."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    left: frozenset[int] = frozenset({0})
    """Columns of words; the others are numbers and stand on the right."""
    totals: int = 0
    """The last rows, which sum up the others."""


def run_tables(summary: Summary) -> Iterator[Table]:
    """Yield the tables that a run prints: by language, every cell where a terminal can show them, every metric."""
    yield result_table(summary)
    if is_small(summary):
        yield matrix_table(summary)
    if len(summary.metrics) > 1:
        yield every_metric_table(summary)


def result_table(summary: Summary) -> Table:
    """Return a result by language: monolingual, X→en, en→X, direct as query, each pool; and the mean of each column.

    Groups of pairs that the result does not have are left out; what no query counts for is a dash.
    """
    groups = summary.columns
    pools = list(dict.fromkeys(pair.passage for pair in summary.pairs if pair.is_pool))
    asking = [pair.query for pair in summary.pairs if pair.is_pool]
    rows = [_language_row(summary, code, groups, pools) for code in english_first([*summary.languages, *asking])]
    # Several pools have no common mean that would belong to one of them.
    whole = [points(_value(summary.groups.get("pool")))] if len(pools) == 1 else [MISSING] * len(pools)
    means = [*(points(_value(summary.groups.get(group))) for group in groups), *whole]
    return Table(
        title=heading(summary),
        columns=("language", *(TITLES[group] for group in groups), *pools, "queries"),
        rows=(*rows, ("mean", *means, _queries(summary.cells.values()))),
        note=_note(summary),
        totals=1,
    )


def matrix_table(summary: Summary) -> Table:
    """Return every cell: query languages down, passage sides across."""
    queries, passages = summary.sides
    cells = {(pair.query, pair.passage): value for pair, value in summary.cells.items()}
    rows = ((side(q), *(points(_value(cells.get((q, p)))) for p in passages)) for q in queries)
    return Table(
        title=f"{heading(summary)}, query language down, passage language across",
        columns=("query", *map(side, passages)),
        rows=tuple(rows),
    )


def every_metric_table(summary: Summary) -> Table:
    """Return the means of every metric by group of pairs, the one in front first."""
    pairs = summary.pairs
    groups = [*summary.columns, *(["pool"] if any(pair.is_pool for pair in pairs) else [])]
    groups += ["all"] if len(summary.columns) > 1 else []
    names = sorted(summary.metrics, key=lambda name: name != summary.metric)
    rows = ((name, *(score(name, _value(summary.by_group[name].get(group))) for group in groups)) for name in names)
    heads = ("metric", *(TITLES[group] for group in groups))
    return Table(f"{summary.label} on {summary.task}: every metric x 100", heads, tuple(rows))


def metrics_table(summary: Summary, pair: LanguagePair) -> Table:
    """Return every metric of one pair, with its interval."""
    rows = tuple(
        (
            metric,
            score(metric, _value(value)),
            _span(metric, value),
            count(value.n or None if value else None),
            count(value.clusters or None if value else None),
        )
        for metric, value in ((metric, values.get(pair)) for metric, values in summary.metrics.items())
    )
    title = f"{language_name(pair.query)} queries on {language_name(pair.passage)} passages"
    return Table(title, ("metric", "x 100", "95 % interval", "n", "clusters"), rows)


def pool_table(summary: Summary) -> Table:
    """Return every metric over passages in mixed languages."""
    found = ((name, summary.pooled.get(name)) for name in summary.metrics)
    rows = ((name, score(name, _value(value)), _span(name, value)) for name, value in found)
    return Table(
        "Passages in mixed languages, mean over query languages", ("metric", "x 100", "95 % interval"), tuple(rows)
    )


def overview_table(summaries: Sequence[Summary]) -> Table:
    """Return several results side by side, with the interval of the mean over all pairs."""
    columns = ("english", *LANGUAGE_GROUPS)
    rows = (
        (
            summary.label,
            summary.task,
            *(points(_value(summary.groups.get(group))) for group in columns),
            shown_value(summary.overall),
        )
        for summary in summaries
    )
    heads = ("model", "task", *(TITLES[group] for group in columns), TITLES["all"])
    metrics = ", ".join(dict.fromkeys(summary.metric for summary in summaries))
    seen = "; ".join(dict.fromkeys(filter(None, (summary.seen for summary in summaries))))
    return Table(f"Results: {metrics} x 100", heads, tuple(rows), note=seen, left=frozenset({0, 1}))


def is_small(summary: Summary) -> bool:
    """Return whether a terminal can show the matrix, and whether it says more than the table by language."""
    queries, passages = summary.sides
    return 1 < max(len(queries), len(passages)) <= MATRIX_LIMIT and len(summary.pairs) > len(queries)


def heading(summary: Summary) -> str:
    """Return the title of a table: model, task and metric."""
    return f"{summary.label} on {summary.task}: {summary.metric} x 100"


def shown_value(value: Value | None) -> str:
    """Show a mean with its interval."""
    if value is None:
        return MISSING
    span = bounds(value.lower, value.upper)
    return points(value.value) if span == MISSING else f"{points(value.value)} ({span})"


def _language_row(summary: Summary, code: str, groups: Sequence[str], pools: Sequence[str]) -> tuple[str, ...]:
    values = summary.languages.get(code, {})
    pooled = (summary.cells.get(LanguagePair(code, pool)) for pool in pools)
    return (
        f"{language_name(code)} ({side(code)})",
        *(points(_value(values.get(group))) for group in groups),
        *(points(_value(value)) for value in pooled),
        _queries(value for pair, value in summary.cells.items() if code in (pair.query, pair.passage)),
    )


def _note(summary: Summary) -> str:
    parts = [f"English: {shown_value(summary.groups['english'])}"] if "english" in summary.groups else []
    parts += [f"{TITLES['pool']}: {shown_value(summary.groups['pool'])}"] if "pool" in summary.groups else []
    parts += [f"{TITLES['all']}: {shown_value(summary.groups['all'])}"] if "all" in summary.groups else []
    return "; ".join([*parts, *filter(None, [summary.limits, summary.unanswerable, summary.seen])])


def _span(metric: str, value: Value | None) -> str:
    if value is None or value.lower is None or value.upper is None:
        return MISSING
    return f"{score(metric, value.lower)} to {score(metric, value.upper)}"


def _queries(values: Iterable[Value]) -> str:
    """Count the queries of the largest pair; results that were imported as means do not know theirs."""
    most = max((value.n for value in values), default=0)
    return count(most or None)


def _value(value: Value | None) -> float | None:
    return None if value is None else value.value
