"""A sweep in one table per task: base, losses, and the contrasts between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from clear_bench.render.numbers import MISSING, bounds, count, points, signed
from clear_bench.render.records import TITLES
from clear_bench.render.tables import Table
from clear_bench.render.writers import markdown

SHOWN = ("english", "monolingual", "x-en", "en-x", "direct", "pool")

Json = Mapping[str, Any]  # Any: JSON


def tables(document: Json) -> Iterator[Table]:
    """Lay out the document of `api.training.sweep`."""
    for task in document["tasks"]:
        yield _task_table(document, task)
    yield _cost_table(document)


def as_markdown(document: Json) -> str:
    """Write the sweep as a page."""
    head = [
        f"# Losses compared, from {document['base']}",
        "",
        f"Losses {', '.join(document['losses'])}; seeds {', '.join(map(str, document['seeds']))}; "
        f"budget: equal {document['budget']}. All losses of a seed share their batches (checksums "
        f"{', '.join(value[:12] for value in document['batches'].values())}).",
        "",
    ]
    return "\n".join([*head, *(markdown(table, 2) for table in tables(document))])


def _task_table(document: Json, task: Json) -> Table:
    known = task["rows"][0]["groups"]
    alone = "english" in known and known.get("monolingual", {}).get("pairs") == 1
    groups = [name for name in SHOWN if name in known and not (name == "monolingual" and alone)]
    gains = {gain["name"].removesuffix(" - base"): gain["groups"] for gain in task["gains"]}
    rows = [(row["name"], *(_score(row["groups"], gains.get(row["name"]), g) for g in groups)) for row in task["rows"]]
    rows += [(row["name"], *(_difference(row["groups"][g]) for g in groups)) for row in task["contrasts"]]
    few = "" if len(document["seeds"]) >= 3 else "; fewer than 3 seeds, so no difference between losses is claimed"
    partial = "; only a part of the queries" if task["partial"] else ""
    return Table(
        title=f"{task['task']}: {task['metric']} x 100, mean over {len(document['seeds'])} seed(s)",
        columns=("", *(TITLES[name] for name in groups)),
        rows=tuple(rows),
        note="score; gain over the base (95 % interval). Contrasts: difference (95 % interval). Intervals are over "
        f"clusters of queries{few}{partial}",
        totals=len(task["contrasts"]),
    )


def _score(groups: Json, gains: Json | None, name: str) -> str:
    value = groups[name]["value"]
    return points(value) if gains is None else f"{points(value)}; {_difference(gains[name])}"


def _difference(row: Json) -> str:
    span = bounds(row["lower"], row["upper"], sign=True)
    return signed(row["delta"]) if span == MISSING else f"{signed(row['delta'])} ({span})"


def _cost_table(document: Json) -> Table:
    rows = []
    for loss in document["losses"]:
        runs = [run for run in document["runs"] if run["loss"] == loss]
        means = [sum(run[name] for run in runs) / len(runs) for name in ("steps", "rows", "texts", "tokens", "seconds")]
        rows.append((loss, *(count(round(mean)) for mean in means)))
    return Table("What each run saw", ("", "steps", "rows", "texts", "tokens", "seconds"), tuple(rows), "means of runs")
