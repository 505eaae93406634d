"""`clear-bench gate` and `gate-plan`: an exit code for English, and what it can resolve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clear_bench.cli.options import SHARE, Command, json_option, option
from clear_bench.console import note, say, say_json
from clear_bench.errors import InputError, UsageError

if TYPE_CHECKING:
    from clear_bench.compare import Cells
    from clear_bench.gate import Check, Resolution, Rule
    from clear_bench.render.tables import Table
    from clear_bench.store.results import Result

    Side = Mapping[str, tuple[Result, ...]]


@click.command(cls=Command)
@click.argument("base")
@click.argument("candidate")
@option("--margin", type=SHARE, help="Loss that is tolerated, 0 to 1: 0.01 is one point.  [default: 0.01]")
@option("--tasks", default="", help="Tasks that have to pass, comma-separated; default: all of BASE.")
@option("--metric", help="Instead of each task's main metric.")
@option("--pairs", help="Pairs to judge instead of English: *:en, direct, de:ar, ...; every one has to pass.")
@option("--config", type=click.Path(path_type=Path, dir_okay=False), help="gate.toml with further gates.")
@option("--anchor", help="A fixed release that the candidate must hold against too: OUT/<slug> or a baseline folder.")
@json_option
@option("--junit", type=click.Path(path_type=Path, dir_okay=False), help="Write the checks as JUnit XML.")
@option("--badge", type=click.Path(path_type=Path, dir_okay=False), help="Write the verdict as an SVG badge.")
def gate(base: str, candidate: str, tasks: str, anchor: str | None, as_json: bool, **settings: Any) -> int:
    """Fail when CANDIDATE is not shown to be as good as BASE in English, within a margin.

    BASE and CANDIDATE are result folders OUT/<model> or OUT/<model>/<task>; commas join seeds. Exit code 0: passed;
    1: failed or inconclusive; 3: no verdict, because the results cannot answer.
    """  # Any: the options above, handed on by name
    from clear_bench.cli.gate_outputs import announce, write_files
    from clear_bench.compare import read_side
    from clear_bench.gate import document, overall

    rules = _rules(**{key: settings[key] for key in ("margin", "metric", "pairs", "config")})
    names = [name.strip() for name in tasks.split(",") if name.strip()]
    new = read_side(candidate, names)
    checks = check_all(read_side(base, names), new, rules)
    if anchor:
        checks += check_all(read_side(anchor, names), new, rules, "the release anchor")
    # What a machine may refuse to take goes first: a verdict that was printed is the exit code.
    write_files(checks, settings["junit"], settings["badge"])
    announce(checks)
    code = 0 if overall(checks) == "PASS" else 1
    with suppress(BrokenPipeError):  # who stops reading does not change the verdict
        say_json(document(checks)) if as_json else say(_text(checks))
    return code


@click.command(cls=Command)
@click.argument("base")
@option("--margin", type=SHARE, default=0.01, show_default=True, help="The margin that you would like to use.")
@option("--tasks", default="", help="Tasks, comma-separated; default: all of BASE.")
@option("--metric", help="Instead of each task's main metric.")
@json_option
def gate_plan(base: str, margin: float, tasks: str, metric: str | None, as_json: bool) -> None:
    """Say which margin the English queries of BASE can resolve, before a candidate is trained."""
    from clear_bench.compare import read_side
    from clear_bench.compare.pairing import require_metric
    from clear_bench.gate import Rule, margin_plan, margin_plan_document
    from clear_bench.render.writers import write_terminal

    Rule(margin=margin)  # refuses a margin that cannot be meant
    plans = []
    for results in read_side(base, [name.strip() for name in tasks.split(",") if name.strip()]).values():
        chosen = metric_of(results[0], metric)
        require_metric(results[:1], chosen)
        plans.append(margin_plan(results[0], chosen, margin))
    if as_json:
        say_json(margin_plan_document(plans, margin))
    else:
        write_terminal(_plan_table(plans, margin))


def check_all(base: Side, candidate: Side, rules: Sequence[Rule], against: str = "") -> list[Check]:
    """Apply every rule to every task that it names, or to all tasks of the base.

    Raises `InputError` where a result that is needed is missing or cannot carry a verdict.
    """
    from clear_bench.gate import refuse_unusable

    checks, measured = [], {}
    for rule in rules:
        for task in rule.tasks or base:
            old, new = _of_task(base, task, "base"), _of_task(candidate, task, "candidate")
            refuse_unusable([*old, *new])
            metric = metric_of(old[0], rule.metric)
            if (task, metric) not in measured:
                measured[task, metric] = _measure(old, new, metric)
            checks += _checks(measured[task, metric], old[0], rule, against)
    return checks


def metric_of(result: Result, asked: str | None) -> str:
    """Name the metric that a gate judges: the one asked for in its canonical spelling, else the task's main metric.

    Raises `UsageError` for a metric that does not exist, and for one that is better when it is lower.
    """
    from clear_bench import metrics

    name = result.manifest.task.main_metric
    if asked is not None:
        name = asked if asked in result.scores.metrics else metrics.parse(asked).name
    known = {row for row, family in metrics.METRICS.items() if not family.higher_is_better}
    if name in known:
        msg = f"{name} is better when it is lower; a gate needs a metric that is better when it is higher"
        raise UsageError(msg)
    return name


def _rules(margin: float | None, metric: str | None, pairs: str | None, config: Path | None) -> list[Rule]:
    """Join flags and gate.toml; a flag wins over the file."""
    from dataclasses import replace

    from clear_bench.documents import read_toml
    from clear_bench.gate import Rule, read_rules

    flags: dict[str, Any] = {"margin": margin, "metric": metric}
    if pairs is not None:
        flags |= {"pairs": tuple(part.strip() for part in pairs.split(",") if part.strip()), "name": pairs}
    given = {key: value for key, value in flags.items() if value is not None}
    if config is None:
        return [Rule(**given)]
    if pairs is not None:
        msg = f"--pairs and --config {config} both say which pairs to judge; put the pairs into a [[gate]] of the file"
        raise UsageError(msg)
    return [replace(rule, **given) for rule in read_rules(read_toml(config, UsageError), str(config))]


def _of_task(side: Side, task: str, which: str) -> tuple[Result, ...]:
    if task not in side:
        msg = f"the {which} has no result of task {task!r}, only {', '.join(side)}; evaluate it, or choose with --tasks"
        raise InputError(msg)
    return side[task]


def _measure(base: tuple[Result, ...], candidate: tuple[Result, ...], metric: str) -> Cells:
    """Measure the differences of all pairs, and warn where the candidate's hits are judged less often."""
    from clear_bench.compare import align, fewer_judged, measure
    from clear_bench.render import escape

    aligned = align([*base, *candidate])
    if warning := fewer_judged(base, candidate, aligned):
        note(f"warning: {escape.plain(warning)}")
    return measure(base, candidate, metric, aligned)


def _checks(cells: Cells, base: Result, rule: Rule, against: str) -> list[Check]:
    from clear_bench.compare import difference, mean_of
    from clear_bench.gate import ENGLISH_PAIR, check, choose_pairs

    place = {pair: i for i, pair in enumerate(cells.pairs)}
    wanted = choose_pairs(base, rule.pairs)
    missing = [str(pair) for pair in wanted if pair not in place]
    if missing:
        msg = (
            f"the results of task {base.task!r} share no query of {', '.join(missing[:5])} that {cells.metric} counts; "
            "evaluate these pairs too, or choose another --metric"
        )
        raise InputError(msg)
    if rule.over == "mean":
        row = mean_of(cells, [place[pair] for pair in wanted], rule.name)
        return [check(row, rule.margin, base.task, f"{rule.name} (mean of {len(wanted)} pairs)", against)]
    rows = [difference(cells, place[pair]) for pair in wanted]
    names = ["English" if row.pair == ENGLISH_PAIR else row.name for row in rows]
    return [check(row, rule.margin, base.task, name, against) for row, name in zip(rows, names, strict=True)]


def _text(checks: Sequence[Check]) -> str:
    """Write one sentence for each check, and the verdict below where there are several."""
    from clear_bench.gate import overall
    from clear_bench.render import escape

    lines = [escape.plain(one.reason) for one in checks]
    if len(checks) > 1:
        passed = sum(one.verdict == "PASS" for one in checks)
        lines.append(f"{overall(checks)}: {passed} of {len(checks)} checks passed")
    return "\n".join(lines)


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
