"""`clear-bench compare`: what a candidate gained or lost, with significance."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from clear_bench.cli.options import REPLICATES, SEED, Command, cache_option, json_option, option
from clear_bench.console import note, say, say_json

if TYPE_CHECKING:
    from clear_bench.compare import Comparison, Resampling
    from clear_bench.compare.pairing import Seeds
    from clear_bench.geometry import Overall


@click.command(cls=Command)
@click.argument("base")
@click.argument("candidates", metavar="CANDIDATE...", nargs=-1, required=True)
@option("--tasks", default="", help="Tasks to compare, comma-separated; default: all that both sides have.")
@option("--metric", help="Instead of each task's main metric.")
@option("--seen", help="Languages that training saw, comma-separated; default: what CANDIDATE's manifest says.")
@option("--resamples", type=REPLICATES, default=10_000, show_default=True, help="0: no bootstrap, no sign flips.")
@option("--seed", type=SEED, default=0, show_default=True, help="Of the resampling.")
@click.option("--geometry", "with_geometry", is_flag=True, help="Show what changed in the space, from stored vectors.")
@click.option("--all", "show_all", is_flag=True, help="Show every direct pair, not only the ones that changed most.")
@cache_option
@json_option
def compare(
    base: str,
    candidates: tuple[str, ...],
    tasks: str,
    metric: str | None,
    seen: str | None,
    resamples: int,
    seed: int,
    with_geometry: bool,
    show_all: bool,
    as_json: bool,
) -> None:
    """Show what each CANDIDATE gained or lost against BASE, with intervals and tests.

    BASE and CANDIDATE are result folders OUT/<model> or OUT/<model>/<task>; a comma joins the seeds of one side.
    Folders that do not answer the same questions are refused (exit code 3).
    """
    from clear_bench.compare import Resampling, document

    resampling = Resampling(resamples, seed)
    names = [name.strip() for name in tasks.split(",") if name.strip()]
    found = comparisons(base, candidates, names, metric, seen, resampling)
    changed = list(_geometries(base, candidates, names, seed)) if with_geometry else [None] * len(found)
    if as_json:
        say_json(_with_geometry(document(found, resampling), changed), 1)
    else:
        show(found, show_all, changed)


def _geometries(base: str, candidates: Sequence[str], tasks: Sequence[str], seed: int) -> Iterator[list[Overall]]:
    """Measure what changed in the space, in the order of `comparisons`; of several seeds, the first of each side."""
    from clear_bench import compare as stage
    from clear_bench.api.geometry import Drawn
    from clear_bench.api.stored import geometry_change
    from clear_bench.cli.task_names import own_card

    old = stage.read_side(base, tasks)
    for new in [stage.read_side(candidate, tasks) for candidate in candidates]:
        for name in stage.match_tasks(old, new):
            if max(len(old[name]), len(new[name])) > 1:
                note(f"note: geometry of {name}: of several seeds, the first of each side is measured")
            task, read = own_card(new[name][0], "to clear-bench geometry with --tasks")
            yield geometry_change(old[name][0], new[name][0], task, read, Drawn(seed=seed))


def _with_geometry(found: dict[str, Any], changed: Sequence[Sequence[Overall] | None]) -> dict[str, Any]:  # Any: JSON
    for one, rows in zip(found["comparisons"], changed, strict=True):
        if rows is not None:
            one["geometry"] = [
                {
                    "name": row.name,
                    "side": row.side,
                    "base": row.base,
                    "delta": row.value,
                    "lower": row.lower,
                    "upper": row.upper,
                    "n": row.n,
                }
                for row in rows
            ]
    return found


def comparisons(
    base: str,
    candidates: Sequence[str],
    tasks: Sequence[str],
    metric: str | None,
    seen: str | None,
    resampling: Resampling,
) -> list[Comparison]:
    """Read every candidate and the base, and compare them on every task that both have."""
    from clear_bench import compare as stage

    others = [stage.read_side(candidate, tasks) for candidate in candidates]
    return compare_sides(stage.read_side(base, tasks), others, metric, seen, resampling)


def compare_sides(
    old: Mapping[str, Seeds],
    others: Sequence[Mapping[str, Seeds]],
    metric: str | None,
    seen: str | None,
    resampling: Resampling,
) -> list[Comparison]:
    """Compare every candidate with the base on every task that both have."""
    from clear_bench import compare as stage

    seen_codes, found = _languages(seen), []
    for new in others:
        for task in stage.match_tasks(old, new):
            sides = [old[task], new[task], *(other[task] for other in others if task in other)]
            one = stage.compare(
                old[task],
                new[task],
                metric=column(old[task][0].scores.metrics, metric),
                trained=seen_codes,
                resampling=resampling,
                names=stage.labels(sides)[:2],
            )
            found.append(one)
        for task in sorted(set(old) ^ set(new)):
            note(f"note: {task} is on one side only and is left out")
    return found


def show(
    found: Sequence[Comparison], show_all: bool = False, changed: Sequence[Sequence[Overall] | None] | None = None
) -> None:
    """Print comparisons as tables, the plain sentence first; what changed in the space stands below, where measured."""
    from clear_bench.cli.compare_text import LEGEND, sentences, tables
    from clear_bench.render import escape
    from clear_bench.render.geometry import change_table, headline
    from clear_bench.render.writers import WIDTH, write_terminal

    for i, one in enumerate(found):
        say("\n" * bool(i) + "\n".join(map(escape.plain, sentences(one))))
        for table in tables(one, show_all):
            say()
            write_terminal(table)
        if changed and (rows := changed[i]):
            say(f"\nIn the space: {headline(rows)}.\n")
            write_terminal(change_table(rows, one.base, one.candidate, one.task))
        for line in one.notes:
            note(f"note: {line}")
    if not all(one.is_identical for one in found):
        say("\n" + textwrap.fill(LEGEND, WIDTH, break_on_hyphens=False))


def column(known: Sequence[str], asked: str | None) -> str | None:
    """Find the column of a metric in any spelling that `metrics` reads."""
    from clear_bench import metrics

    return asked if asked is None or asked in known else metrics.parse(asked).name


def _languages(text: str | None) -> frozenset[str] | None:
    from clear_bench import languages

    return None if text is None else frozenset(languages.canonical(code) for code in text.split(",") if code.strip())
