"""The curve between a base and a tuned checkpoint: what each mixture gains across languages and pays in English."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from clear_bench import compare
from clear_bench.api.evaluation import evaluate_saved
from clear_bench.api.plan import Plan
from clear_bench.api.retrieval import open_retriever
from clear_bench.errors import UsageError
from clear_bench.render.curve import curve
from clear_bench.render.numbers import MISSING, bounds, points, signed
from clear_bench.render.records import TITLES
from clear_bench.render.tables import Table
from clear_bench.settings import ModelSettings
from clear_bench.store.results import Result
from clear_bench.train.merge import Interpolation, open_pair

SCHEMA = "clear-bench/merge/1"
CROSS = ("x-en", "en-x", "direct")
T_TESTS = compare.Resampling(replicates=0)
Json = dict[str, Any]  # Any: JSON


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """One mixture, evaluated."""

    weight: float
    checkpoint: str
    groups: Mapping[str, Mapping[str, compare.Difference]]
    """Task -> group of pairs -> difference to the base."""

    def mean_gain(self, group: str) -> float:
        """Average the gain of a group over the tasks that have it."""
        found = [groups[group].delta for groups in self.groups.values() if group in groups]
        return sum(found) / len(found)


def merge(
    base: str,
    tuned: str,
    plans: Sequence[Plan],
    out: Path,
    *,
    weights: Sequence[float],
    margin: float,
    keep: Literal["best", "all"] = "best",
    settings: ModelSettings = ModelSettings(),  # noqa: B008 - frozen
) -> Json:
    """Evaluate mixtures of two checkpoints and name the best one that keeps English within a margin.

    Everything lies below `out`: `results/` and, for mixtures that are kept, `checkpoints/w<weight>/`. The ends, 0 and
    1, are the two checkpoints themselves. Best is the largest mean gain over all pairs of two languages among the
    points that lose at most `margin` in English, as measured; it is chosen on these tasks, so report it on others.
    """
    _refuse(plans)
    pair = open_pair(base, tuned)

    def evaluated(model: str) -> dict[str, Result]:
        return evaluate_saved(open_retriever(model, settings), plans, out / "results")

    start = evaluated(base)
    found: list[Point] = []
    mixture: Interpolation | None = None
    for weight in weights:
        folder = out / "checkpoints" / f"w{weight:.4f}".rstrip("0")
        name = {0.0: base, 1.0: tuned}.get(weight, str(folder))
        if name == str(folder):
            mixture = mixture or Interpolation(*pair)
            if not mixture.is_written(weight, folder):
                mixture.write(weight, folder)
        found.append(_point(weight, name, start, evaluated(name)))
        if keep == "best":
            _drop_others(out, best_point(found, margin))
    return _document((base, tuned), plans, found, margin)


def best_point(found: Sequence[Point], margin: float) -> Point | None:
    """Choose the largest cross-lingual gain within the English margin; of equal ones the nearest to the base."""
    allowed = [point for point in found if point.mean_gain("english") >= -margin]
    return max(allowed, key=lambda point: (point.mean_gain("cross"), -point.weight), default=None)


def tables(document: Json) -> list[Table]:
    """Lay the curve out, one table per task."""
    best = document["best"]
    named = "none of the points keeps English within the margin" if best is None else f"best: weight {best['weight']:g}"
    note = f"score; gain over the base (95 % interval). English margin {points(document['english_margin'])}; {named}"
    found = []
    for task in document["tasks"]:
        groups = [name for name in ("english", *CROSS, "cross") if name in document["points"][0]["groups"][task]]
        rows = [
            (_label(point, best), *(_cell(point["groups"][task][g]) for g in groups)) for point in document["points"]
        ]
        title = f"{task}: {document['metric'][task]} x 100 by share of the tuned weights"
        found.append(Table(title, ("weight", *(TITLES[name] for name in groups)), tuple(rows), note))
    return found


def picture(document: Json) -> str:
    """Draw the trade-off of the first task as SVG."""
    task = document["tasks"][0]
    groups = [name for name in ("english", *CROSS) if name in document["points"][0]["groups"][task]]
    lines = {
        TITLES[name]: [(point["weight"], point["groups"][task][name]["delta"]) for point in document["points"]]
        for name in groups
    }
    best = document["best"]["weight"] if document["best"] else None
    return curve(lines, f"{task}: {document['metric'][task]}", floor=-document["english_margin"], best=best)


def _refuse(plans: Sequence[Plan]) -> None:
    kinds = {pair.kind for plan in plans for pair in plan.pairs}
    if "english" not in kinds or not kinds & set(CROSS):
        msg = "a trade-off needs English pairs and pairs of two languages; --pairs leaves one out: add en:en or x-en"
        raise UsageError(msg)


def _point(weight: float, name: str, base: Mapping[str, Result], results: Mapping[str, Result]) -> Point:
    groups = {task: compare.compare([base[task]], [one], resampling=T_TESTS).groups for task, one in results.items()}
    return Point(weight, name, groups)


def _drop_others(out: Path, best: Point | None) -> None:
    for folder in (out / "checkpoints").glob("w*"):
        if best is None or str(folder) != best.checkpoint:
            shutil.rmtree(folder)


def _document(names: tuple[str, str], plans: Sequence[Plan], found: Sequence[Point], margin: float) -> Json:
    best = best_point(found, margin)
    chosen = None
    if best is not None:
        gains = {"english": best.mean_gain("english"), "cross": best.mean_gain("cross")}
        chosen = {"weight": best.weight, "checkpoint": best.checkpoint, **gains}
    return {
        "schema": SCHEMA,
        "base": names[0],
        "tuned": names[1],
        "english_margin": margin,
        "tasks": [plan.task.name for plan in plans],
        "metric": {plan.task.name: plan.main_metric for plan in plans},
        "points": [_point_document(point) for point in found],
        "best": chosen,
    }


def _point_document(point: Point) -> Json:
    groups = {task: {name: compare.row(row) for name, row in rows.items()} for task, rows in point.groups.items()}
    return {"weight": point.weight, "checkpoint": point.checkpoint, "groups": groups}


def _label(point: Json, best: Json | None) -> str:
    mark = " (best)" if best and point["weight"] == best["weight"] else ""
    return f"{point['weight']:g}{mark}"


def _cell(row: Json) -> str:
    if row["delta"] == 0:
        return points(row["candidate"])
    span = bounds(row["lower"], row["upper"], sign=True)
    gain = signed(row["delta"]) if span == MISSING else f"{signed(row['delta'])} ({span})"
    return f"{points(row['candidate'])}; {gain}"
