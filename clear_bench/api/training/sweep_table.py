"""Lays a sweep out as tables: base, losses and contrasts of each task, and what each loss has trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from clear_bench.api.training.sweep_document import Sweep, SweepTask
from clear_bench.compare import DifferenceRow
from clear_bench.render.numbers import MISSING, bounds, count, points, signed
from clear_bench.render.records import TITLES, Value
from clear_bench.render.tables import Table
from clear_bench.render.writers import markdown

SHOWN = ("english", "monolingual", "x-en", "en-x", "direct", "pool")


def tables(sweep: Sweep) -> Iterator[Table]:
    """Yield a table for each task, and one of what the runs have trained on."""
    for task in sweep.tasks:
        yield _task_table(sweep, task)
    yield _cost_table(sweep)


def as_markdown(sweep: Sweep) -> str:
    """Return the sweep as a page."""
    head = [
        f"# Losses compared, from {sweep.base}",
        "",
        f"Losses {', '.join(sweep.losses)}; seeds {', '.join(map(str, sweep.seeds))}; "
        f"budget: equal {sweep.budget}. All losses of a seed share their batches (checksums "
        f"{', '.join(value[:12] for value in sweep.batches.values())}).",
        "",
    ]
    return "\n".join([*head, *(markdown(table, 2) for table in tables(sweep))])


def difference_cell(row: DifferenceRow) -> str:
    """Return a difference with its interval in brackets, where there is one."""
    span = bounds(row.lower, row.upper, sign=True)
    return signed(row.delta) if span == MISSING else f"{signed(row.delta)} ({span})"


def _task_table(sweep: Sweep, task: SweepTask) -> Table:
    known = task.rows[0].groups
    alone = "english" in known and "monolingual" in known and known["monolingual"].pairs == 1
    groups = [name for name in SHOWN if name in known and not (name == "monolingual" and alone)]
    gains = {gain.name.removesuffix(" - base"): gain.groups for gain in task.gains}
    rows = [(row.name, *(_score(row.groups[name], gains.get(row.name), name) for name in groups)) for row in task.rows]
    rows += [(row.name, *(difference_cell(row.groups[name]) for name in groups)) for row in task.contrasts]
    few = "" if len(sweep.seeds) >= 3 else "; fewer than 3 seeds, so no difference between losses is claimed"
    partial = "; only a part of the queries" if task.partial else ""
    return Table(
        title=f"{task.task}: {task.metric} x 100, mean over {len(sweep.seeds)} seed(s)",
        columns=("", *(TITLES[name] for name in groups)),
        rows=tuple(rows),
        note="score; gain over the base (95 % interval). Contrasts: difference (95 % interval). Intervals are over "
        f"clusters of queries{few}{partial}",
        totals=len(task.contrasts),
    )


def _score(value: Value, gains: Mapping[str, DifferenceRow] | None, name: str) -> str:
    return points(value.value) if gains is None else f"{points(value.value)}; {difference_cell(gains[name])}"


def _cost_table(sweep: Sweep) -> Table:
    rows = []
    for loss in sweep.losses:
        seen = [(run.steps, run.rows, run.texts, run.tokens, run.seconds) for run in sweep.runs if run.loss == loss]
        rows.append((loss, *(count(round(sum(column) / len(seen))) for column in zip(*seen, strict=True))))
    return Table("What each run saw", ("", "steps", "rows", "texts", "tokens", "seconds"), tuple(rows), "means of runs")
