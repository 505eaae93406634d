"""`clear-bench compare`: what a candidate gained or lost, with significance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from clear_bench.cli.options import NAMES, REPLICATES, SEED, Command, cache_option, json_option, option
from clear_bench.console import note, say, say_json

if TYPE_CHECKING:
    from clear_bench.api.comparing import Comparisons


@click.command(cls=Command)
@click.argument("base")
@click.argument("candidates", metavar="CANDIDATE...", nargs=-1, required=True)
@option("--tasks", type=NAMES, default="", help="Tasks to compare, comma-separated; default: all that both sides have.")
@option("--metric", help="Instead of each task's main metric.")
@option(
    "--seen", type=NAMES, help="Languages that training saw, comma-separated; default: what CANDIDATE's manifest says."
)
@option("--resamples", type=REPLICATES, default=10_000, show_default=True, help="0: no bootstrap, no sign flips.")
@option("--seed", type=SEED, default=0, show_default=True, help="Of the resampling.")
@click.option("--geometry", "with_geometry", is_flag=True, help="Show what changed in the space, from stored vectors.")
@click.option("--all", "show_all", is_flag=True, help="Show every direct pair, not only the ones that changed most.")
@cache_option
@json_option
def compare(
    base: str,
    candidates: tuple[str, ...],
    tasks: tuple[str, ...],
    metric: str | None,
    seen: tuple[str, ...] | None,
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
    from clear_bench.api import compare as find
    from clear_bench.cli.task_names import own_card

    found = find(
        base,
        *candidates,
        tasks=tasks,
        metric=metric,
        seen=seen,
        resamples=resamples,
        seed=seed,
        geometry=with_geometry,
        find_card=lambda result: own_card(result, "to clear-bench geometry with --tasks"),
    )
    if as_json:
        for line in found.notes:
            note(f"note: {line}")
        say_json(found.to_dict())
    else:
        show(found, show_all)


def show(found: Comparisons, show_all: bool = False) -> None:
    """Print comparisons, the plain sentences first; what has to be known about them goes to stderr."""
    from clear_bench.render.writers import write_terminal

    for line in found.notes:
        note(f"note: {line}")
    for i, one in enumerate(found.comparisons):
        for block in found.blocks(i, show_all):
            say(block) if isinstance(block, str) else write_terminal(block)
        for line in one.notes:
            note(f"note: {line}")
    for line in found.legend():
        say(line)
