"""`clear-bench gate` and `gate-plan`: an exit code for English, and what it can resolve."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clear_bench.cli.options import NAMES, SHARE, Command, json_option, option
from clear_bench.console import note, say, say_json
from clear_bench.errors import UsageError
from clear_bench.render import escape

if TYPE_CHECKING:
    from clear_bench.gate import Resolution, Rule
    from clear_bench.render.tables import Table


@click.command(cls=Command)
@click.argument("base")
@click.argument("candidate")
@option("--margin", type=SHARE, help="Loss that is tolerated, 0 to 1: 0.01 is one point.  [default: 0.01]")
@option("--tasks", type=NAMES, default="", help="Tasks that have to pass, comma-separated; default: all of BASE.")
@option("--metric", help="Instead of each task's main metric.")
@option(
    "--pairs", type=NAMES, help="Pairs to judge instead of English: *:en, direct, de:ar, ...; every one has to pass."
)
@option("--config", type=click.Path(path_type=Path, dir_okay=False), help="gate.toml with further gates.")
@option("--anchor", help="A fixed release that the candidate must hold against too: OUT/<slug> or a baseline folder.")
@json_option
@option("--junit", type=click.Path(path_type=Path, dir_okay=False), help="Write the checks as JUnit XML.")
@option("--badge", type=click.Path(path_type=Path, dir_okay=False), help="Write the verdict as an SVG badge.")
def gate(
    base: str,
    candidate: str,
    margin: float | None,
    tasks: tuple[str, ...],
    metric: str | None,
    pairs: tuple[str, ...] | None,
    config: Path | None,
    anchor: str | None,
    as_json: bool,
    junit: Path | None,
    badge: Path | None,
) -> int:
    """Fail when CANDIDATE is not shown to be as good as BASE in English, within a margin.

    BASE and CANDIDATE are result folders OUT/<model> or OUT/<model>/<task>; commas join seeds. Exit code 0: passed;
    1: failed or inconclusive; 3: no verdict, because the results cannot answer.
    """
    from clear_bench.api import gate as judge
    from clear_bench.cli.gate_outputs import announce, write_files

    found = judge(base, candidate, _rules(margin, metric, pairs, config), tasks=tasks, anchor=anchor)
    for warning in found.warnings:
        note(f"warning: {escape.plain(warning)}")
    # What a machine may refuse to take goes first: a verdict that was printed is the exit code.
    write_files(found.checks, junit, badge)
    announce(found.checks)
    with suppress(BrokenPipeError):  # who stops reading does not change the verdict
        say_json(found.to_dict()) if as_json else say(found)
    return 0 if found.verdict == "PASS" else 1


@click.command(cls=Command)
@click.argument("base")
@option("--margin", type=SHARE, default=0.01, show_default=True, help="The margin that you would like to use.")
@option("--tasks", type=NAMES, default="", help="Tasks, comma-separated; default: all of BASE.")
@option("--metric", help="Instead of each task's main metric.")
@json_option
def gate_plan(base: str, margin: float, tasks: tuple[str, ...], metric: str | None, as_json: bool) -> None:
    """Show which margin the English queries of BASE can resolve, before a candidate is trained."""
    from clear_bench.api.gating import plan_gate
    from clear_bench.gate import margin_plan_document
    from clear_bench.render.writers import write_terminal

    plans = plan_gate(base, margin=margin, tasks=tasks, metric=metric)
    if as_json:
        say_json(margin_plan_document(plans, margin))
    else:
        write_terminal(_plan_table(plans, margin))


def _rules(margin: float | None, metric: str | None, pairs: tuple[str, ...] | None, config: Path | None) -> list[Rule]:
    """Join flags and gate.toml; a flag wins over the file."""
    from dataclasses import replace

    from clear_bench.documents import read_toml
    from clear_bench.gate import Rule, read_rules

    flags: dict[str, Any] = {"margin": margin, "metric": metric}  # Any: fields of `Rule`
    if pairs is not None:
        flags |= {"pairs": pairs, "name": ",".join(pairs)}
    given = {key: value for key, value in flags.items() if value is not None}
    if config is None:
        return [Rule(**given)]
    if pairs is not None:
        msg = f"--pairs and --config {config} both say which pairs to judge; put the pairs into a [[gate]] of the file"
        raise UsageError(msg)
    return [replace(rule, **given) for rule in read_rules(read_toml(config, UsageError), str(config))]


def _plan_table(plans: Sequence[Resolution], margin: float) -> Table:
    from clear_bench.render.numbers import count, plain
    from clear_bench.render.tables import Table

    rows = (
        (
            *(f"{one.task} {one.metric}", count(one.n_queries), count(one.n_clusters), plain(one.design_effect)),
            *(f"{sd:.2f}", plain(None if smallest is None else 100 * smallest), count(one.needed[sd])),
        )
        for one in plans
        for sd, smallest in one.margins.items()
    )
    wanted = f"queries for {100 * margin:g}"
    return Table(
        title="English: the margin, in points, that passes with 80 % power when nothing changed",
        columns=("task", "queries", "clusters", "design effect", "assumed sd", "margin", wanted),
        rows=tuple(rows),
        note=(
            "The sd of the per-query differences is known only after the run, so three are assumed. The design effect "
            "takes differences to be as alike within a cluster as the scores of BASE are."
        ),
    )
