"""`clear-bench report`: results as Markdown, one HTML page, LaTeX, CSV, JSON, pictures or a model card's block."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from clear_bench.cli.compare import column
from clear_bench.cli.options import COUNT_OR_NONE, REPLICATES, SEED, SHARE, Command, cache_option, option
from clear_bench.console import note, write_document
from clear_bench.errors import UsageError

if TYPE_CHECKING:
    from clear_bench.compare.pairing import Seeds
    from clear_bench.render.records import Entry, Summary
    from clear_bench.store.results import Result


@dataclass(frozen=True, slots=True)
class Asked:
    """What goes into a report beside the scores."""

    margin: float
    seen: str | None
    """Languages that training saw, as typed."""
    queries: int
    """Queries shown at each end, 0 for none."""
    card: str | None
    resamples: int | None = None
    """Replicates of the tests that adjust for several languages; None: what a matrix of this size bears."""
    seed: int = 0
    metric: str | None = None
    """The metric in front; None: each task's main metric."""
    geometry: bool = False
    """Whether the space is measured, from stored vectors."""


EXPLAINED = 2000
"""Replicates of the regression of scores on the geometry."""
MANY = 1000
"""Pairs beyond which resampling every one of them takes minutes, and a report leaves it to those who ask."""
PICTURES = ("svg", "png", "pdf")
FORMATS = ("md", "html", "latex", "csv", "json", *PICTURES, "model-index")
WITH_SPACE = ("md", "html", "latex", "svg")
"""Formats that show the geometry of a space."""
EVAL_RESULTS = "eval-results"
"""The one format that asks mteb for its ids."""


@click.command(cls=Command)
@click.argument("results", metavar="RESULT...", nargs=-1, required=True)
@option(
    "--format",
    "form",
    type=click.Choice((*FORMATS, EVAL_RESULTS)),
    default="md",
    show_default=True,
    help="svg, png and pdf: pictures, with --out FOLDER.",
)
@click.option("--out", type=click.Path(path_type=Path), help="File to write, else stdout; a folder for pictures.")
@option("--baseline", help="Result folder to show the gains over; a comma joins seeds.")
@option("--tasks", default="", help="Tasks to report, comma-separated; default: all that RESULT has.")
@option("--metric", help="The metric in front, instead of each task's main metric.")
@option("--margin", type=SHARE, default=0.01, show_default=True, help="Tolerated loss: a dashed line.")
@option("--seen", help="Languages that training saw, comma-separated; default: what the manifest says.")
@option("--queries", type=COUNT_OR_NONE, default=10, show_default=True, help="Queries at each end (HTML).")
@option(
    "--resamples",
    type=REPLICATES,
    help=f"As in compare; default: 10,000, and 0 (none) for more than {MANY:,} pairs.",
)
@option("--seed", type=SEED, default=0, show_default=True, help="Of the resampling.")
@click.option("--card", help="Card of a task of yours: the HTML page takes the texts of queries from it.")
@click.option("--geometry", is_flag=True, help="Measure the space from stored vectors (md, html, latex, svg).")
@cache_option
def report(
    results: tuple[str, ...],
    form: str,
    out: Path | None,
    baseline: str | None,
    tasks: str,
    metric: str | None,
    margin: float,
    seen: str | None,
    queries: int,
    resamples: int | None,
    seed: int,
    card: str | None,
    geometry: bool,
) -> None:
    """Write what RESULT (OUT/<model> or OUT/<model>/<task>) says, for people or programs.

    Every file is checked against its manifest first. A comma joins the seeds of one model.
    """
    if form in PICTURES and out is None:
        msg = f"--format {form} writes several files; name their folder with --out"
        raise UsageError(msg)
    if geometry and form not in WITH_SPACE:
        msg = f"--format {form} has no --geometry; {', '.join(WITH_SPACE)} and clear-bench geometry show it"
        raise UsageError(msg)
    names = [name.strip() for name in tasks.split(",") if name.strip()]
    asked = Asked(margin, seen, queries if form == "html" else 0, card, resamples, seed, metric, geometry)
    entries = read_entries(results, baseline, names, asked)
    if out is not None and form in PICTURES:
        write_pictures(entries, form, out)
        return
    from clear_bench.disk import write_text
    from clear_bench.report import FORMATS as WRITERS

    if form == EVAL_RESULTS:
        from clear_bench.mteb_bridge.hub_results import eval_results

        text = eval_results([entry.summary for entry in entries])
    else:
        text = WRITERS[form](entries, ["clear-bench", *sys.argv[1:]])
    if out is None:
        write_document(text, form)
    else:
        write_text(out, text)
        note(f"wrote {out}")


def read_entries(results: Sequence[str], baseline: str | None, tasks: Sequence[str], asked: Asked) -> list[Entry]:
    """Read results, compare them with the baseline where there is one, and sum them up."""
    from clear_bench import compare

    old = compare.read_side(baseline, tasks) if baseline else {}
    sides = [compare.read_side(result, tasks) for result in results]
    for side in sides if baseline else ():
        compare.match_tasks(old, side)
    entries = []
    for side in sides:
        for task, seeds in side.items():
            if baseline and task not in old:
                note(f"note: the baseline has no {task}; its scores stand alone")
            front = _front(task, seeds, sides, asked.metric)
            entry = _entry(seeds, old.get(task, ()), _names(task, [old, *sides]), replace(asked, metric=front))
            entries.append(_with_space(entry, seeds[0], old.get(task, (None,))[0], asked) if asked.geometry else entry)
    return entries


def _front(task: str, seeds: Seeds, sides: Sequence[Mapping[str, Seeds]], asked: str | None) -> str | None:
    """Choose the metric in front of one task: its main metric where only other tasks have the one asked for."""
    metric, known = column(seeds[0].scores.metrics, asked), seeds[0].scores.metrics
    if metric in (None, *known) or not any(metric in other[0].scores.metrics for s in sides for other in s.values()):
        return metric
    note(f"note: {task} has no {metric}; its main metric is in front")
    return None


def write_pictures(entries: Sequence[Entry], form: str, folder: Path) -> None:
    """Write the pictures of every entry as `<slug>-<task>-<picture>.<form>`."""
    from clear_bench.disk import atomic_write
    from clear_bench.report import pictures

    for entry in entries:
        for name, content in pictures(entry, form).items():
            with atomic_write(folder / name) as temporary:
                temporary.write_bytes(content)
            note(f"wrote {folder / name}")


def _entry(seeds: Seeds, base: Seeds, names: Mapping[str, str], asked: Asked) -> Entry:
    from clear_bench.api.changes import find_changes, with_texts
    from clear_bench.api.summary import summarise_results
    from clear_bench.compare import Resampling, compare
    from clear_bench.render.records import Entry
    from clear_bench.stats.resampling import REPLICATES

    metric = asked.metric
    summary = _named(summarise_results(seeds, metric), names)
    changes = find_changes(seeds, base, metric=metric, count=asked.queries) if asked.queries else []
    if changes:
        changes = with_texts(changes, seeds[0], base[0] if base else None, asked.card)
    if not base:
        return Entry(summary, changes=changes)
    below = _named(summarise_results(base, metric), names)
    replicates = asked.resamples if asked.resamples is not None else 0 if len(summary.cells) > MANY else REPLICATES
    gains = compare(
        base,
        seeds,
        metric=metric,
        trained=_languages(asked.seen),
        resampling=Resampling(replicates, asked.seed),
        names=[below.model, summary.model],
    )
    return Entry(summary, gains, changes, asked.margin, below)


def _with_space(entry: Entry, result: Result, base: Result | None, asked: Asked) -> Entry:
    """Add the geometry of a result (of several seeds, of the first) and how it changed from the baseline."""
    from clear_bench.api.explained import explained_space
    from clear_bench.api.geometry import Drawn
    from clear_bench.api.stored import has_vectors, survey_result
    from clear_bench.cli.task_names import load_cards, own_card
    from clear_bench.geometry import changes

    given = load_cards([asked.card] if asked.card else [])
    task, read = given.get(result.task) or own_card(result, "with --card")
    drawn = Drawn(seed=asked.seed)
    space = explained_space(result, task, read, drawn, replicates=EXPLAINED, offline=True)
    entry = replace(entry, space=replace(space, model=entry.summary.model))
    if base is None or not has_vectors(base):
        return entry
    return replace(entry, moved=changes(survey_result(base, task, read, drawn, offline=True).cells, space.cells))


def _names(task: str, sides: Sequence[Mapping[str, Seeds]]) -> dict[str, str]:
    """Name the models of a task by fingerprint: two under one name get theirs into the name."""
    from clear_bench.compare import labels

    present = [side[task] for side in sides if task in side]
    marks = [seeds[0].manifest.model.fingerprint for seeds in present]
    return dict(zip(marks, labels(present), strict=True))


def _named(summary: Summary, names: Mapping[str, str]) -> Summary:
    return replace(summary, model=names[summary.fingerprint])


def _languages(text: str | None) -> frozenset[str] | None:
    from clear_bench.languages import canonical

    return None if text is None else frozenset(canonical(code) for code in text.split(",") if code.strip())
