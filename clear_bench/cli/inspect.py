"""`clear-bench inspect`: the queries behind a score or a difference, with what each model found."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from itertools import zip_longest
from typing import TYPE_CHECKING

import click

from clear_bench.cli.options import COUNT, NAMES, Command, Real, cache_option, json_option, option
from clear_bench.cli.task_names import choose_card
from clear_bench.console import note, say, say_json

if TYPE_CHECKING:
    from clear_bench.api.inspected import Hit, Query
    from clear_bench.api.inspection import Sort

SORTS = ("gain", "loss", "score", "rank")
SHOWN = 5
"""Hits, and relevant passages, of a query on the terminal."""
ONE, TWO = 98, 48
"""Columns for a hit of one result, and of each of two."""


@click.command(cls=Command)
@click.argument("result")
@click.argument("other", required=False)
@option("--tasks", type=NAMES, default="", help="Tasks to look at, comma-separated; default: all that both have.")
@option("--pairs", type=NAMES, default="all", show_default=True, help="query:passage, en:en, *:en, direct ...")
@option("--language", type=NAMES, default="", help="Languages; only pairs with one of them, on either side.")
@option("--metric", help="Instead of each task's main metric.")
@option(
    "--sort",
    type=click.Choice(SORTS),
    help="Default: loss with OTHER, else score (lowest first). rank: how far the relevant passage moved, or is down.",
)
@option(
    "--min-delta", type=Real(0, 1e6), default=0.0, help="Only queries that gained or lost so much (0.3: 30 points)."
)
@option("--top", type=COUNT, default=10, show_default=True, help="Queries of each task.")
@option("--card", help="Card of a task of yours: texts and judgements come from it.")
@cache_option
@json_option
def inspect(
    result: str,
    other: str | None,
    tasks: tuple[str, ...],
    pairs: tuple[str, ...],
    language: tuple[str, ...],
    metric: str | None,
    sort: Sort | None,
    min_delta: float,
    top: int,
    card: str | None,
    as_json: bool,
) -> None:
    """Show queries of RESULT, or of RESULT and OTHER side by side: what was asked, should be found and was found.

    RESULT and OTHER are OUT/<model> or OUT/<model>/<task>. Gains and losses are those of OTHER over RESULT, as compare
    has the base first. Results that do not answer the same questions are refused (exit code 3). Nothing is downloaded.
    """
    from clear_bench.api.inspection import Asked
    from clear_bench.api.inspection import inspect as find

    found = find(
        result,
        other,
        tasks=tasks,
        asked=Asked(pairs, language, metric, sort, min_delta, top),
        find_card=lambda one: choose_card(one, card),
    )
    for line in found.notes:
        note(f"note: {line}")
    if as_json:
        say_json(found.to_dict())
        return
    for i, query in enumerate(found.queries):
        say("\n".join([""] * bool(i) + list(_lines(i + 1, query, found.names))))
    if found.queries:
        say("\n* relevant, ? not judged")
    else:
        say("no query is asked for: no score differs so, or no query of these pairs counts")


def _lines(number: int, query: Query, names: tuple[str, ...]) -> Iterator[str]:
    """Lay out one query: what was asked, what is relevant, what was found, and what was nearly found."""
    from clear_bench.api.inspected import near_misses
    from clear_bench.languages import side
    from clear_bench.render import escape
    from clear_bench.render.numbers import score, signed
    from clear_bench.render.writers import WIDTH

    pair = f"{side(query.query_language)}:{side(query.passage_language)}"
    value = score(query.metric, query.value)
    if query.other is not None:
        change = f" ({signed(query.delta)})" if query.metric != "Max@R" else ""
        value += f" -> {score(query.metric, query.other)}{change}"
    yield _cut(f"{number}. {query.task} {pair} {query.query_id}: {query.metric} {value}", ONE)
    yield _cut(f"   query: {query.text or 'text not at hand'}", ONE)
    has_other = query.other_hits is not None
    for one in query.relevant[:SHOWN]:
        rank = _rank(one.rank) + (f" -> {_rank(one.other_rank)}" if has_other else "")
        language = side(one.language or "?")
        yield _cut(f"   relevant: {one.passage_id} ({language}), grade {one.grade}, rank {rank}: {one.text}", ONE)
    if (more := len(query.relevant) - SHOWN) > 0:
        yield f"   relevant: {more} more"
    yield from _hits(query, names)
    for line in near_misses(query, names):
        yield textwrap.fill(escape.printable(f"   near miss: {line}"), WIDTH, subsequent_indent="   ")


def _hits(query: Query, names: tuple[str, ...]) -> Iterator[str]:
    """Lay out the first hits, those of two results side by side."""
    left = [names[0], *(_hit(hit) for hit in query.hits[:SHOWN])]
    if query.other_hits is None:
        yield from (_cut(f"   {text}", ONE) for text in left)
        return
    right = [names[1], *(_hit(hit) for hit in query.other_hits[:SHOWN])]
    for one, other in zip_longest(left, right, fillvalue=""):
        yield f"   {_cut(one, TWO, fill=True)} {_cut(other, TWO)}".rstrip()


def _hit(hit: Hit) -> str:
    from clear_bench.languages import side

    is_unjudged = hit.grade is None and hit.text is not None
    mark = "*" if hit.grade and hit.grade > 0 else "?" if is_unjudged else " "
    return f"{hit.rank:>2}{mark} {hit.passage_id} ({side(hit.language or '?')}) {hit.similarity:.3f} {hit.text or ''}"


def _rank(rank: int | None) -> str:
    return "not found" if rank is None else str(rank)


def _cut(text: str, width: int, fill: bool = False) -> str:
    """Return a text on one line that is at most so many columns wide on a terminal, or just so many."""
    from rich.cells import cell_len, set_cell_size

    from clear_bench.render import escape

    line = escape.printable(text)
    if cell_len(line) > width:
        line = set_cell_size(line, width - 1).rstrip() + "…"
    return set_cell_size(line, width) if fill else line
