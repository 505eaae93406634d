"""`clear-bench report`: results as Markdown, one HTML page, LaTeX, CSV, JSON, pictures or a model card's block."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from clear_bench.cli.options import COUNT_OR_NONE, NAMES, REPLICATES, SEED, SHARE, Command, cache_option, option
from clear_bench.console import note, write_document
from clear_bench.errors import UsageError

if TYPE_CHECKING:
    from clear_bench.api.reporting import Report

PICTURES = ("svg", "png", "pdf")
FORMATS = ("md", "html", "latex", "csv", "json", *PICTURES, "model-index")
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
@option("--tasks", type=NAMES, default="", help="Tasks to report, comma-separated; default: all that RESULT has.")
@option("--metric", help="The metric in front, instead of each task's main metric.")
@option("--margin", type=SHARE, default=0.01, show_default=True, help="Tolerated loss: a dashed line.")
@option("--seen", type=NAMES, help="Languages that training saw, comma-separated; default: what the manifest says.")
@option("--queries", type=COUNT_OR_NONE, default=10, show_default=True, help="Queries at each end (HTML).")
@option(
    "--resamples",
    type=REPLICATES,
    help="As in compare; default: 10,000, and 0 (none) for more than 1,000 pairs.",
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
    tasks: tuple[str, ...],
    metric: str | None,
    margin: float,
    seen: tuple[str, ...] | None,
    queries: int,
    resamples: int | None,
    seed: int,
    card: str | None,
    geometry: bool,
) -> None:
    """Write what RESULT (OUT/<model> or OUT/<model>/<task>) says, for people or programs.

    Every file is checked against its manifest first. A comma joins the seeds of one model.
    """
    from clear_bench.api import report as make
    from clear_bench.cli.task_names import choose_card
    from clear_bench.disk import write_text

    if form in PICTURES and out is None:
        msg = f"--format {form} writes several files; name their folder with --out"
        raise UsageError(msg)
    if geometry and form == EVAL_RESULTS:
        raise UsageError(f"--format {form} has no --geometry; clear-bench geometry shows it")
    made = make(
        results,
        format="json" if form == EVAL_RESULTS else form,
        baseline=baseline,
        tasks=tasks,
        metric=metric,
        margin=margin,
        seen=seen,
        queries=queries,
        resamples=resamples,
        seed=seed,
        card=card,
        geometry=geometry,
        find_card=lambda result: choose_card(result, card),
        command=["clear-bench", *sys.argv[1:]],
    )
    for line in made.notes:
        note(f"note: {line}")
    if out is not None and form in PICTURES:
        write_pictures(made, out)
        return
    text = _eval_results(made) if form == EVAL_RESULTS else str(made)
    if out is None:
        write_document(text, form)
    else:
        write_text(out, text)
        note(f"wrote {out}")


def write_pictures(made: Report, folder: Path) -> None:
    """Write the pictures of a report into a folder."""
    from clear_bench.disk import atomic_write

    for name, content in made.pictures().items():
        with atomic_write(folder / name) as temporary:
            temporary.write_bytes(content)
        note(f"wrote {folder / name}")


def _eval_results(made: Report) -> str:
    from clear_bench.mteb_bridge.hub_results import eval_results

    return eval_results([entry.summary for entry in made.entries])
