"""Evaluates mixtures of a base and a tuned checkpoint: gains across languages against losses in English."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from clear_bench import compare
from clear_bench.api.evaluation import evaluate_saved
from clear_bench.api.plan import Plan
from clear_bench.api.retrievers.open import open_retriever
from clear_bench.api.training.sweep_table import difference_cell
from clear_bench.documents import read_as
from clear_bench.errors import InputError, UsageError
from clear_bench.render.curve import curve
from clear_bench.render.numbers import points
from clear_bench.render.records import TITLES
from clear_bench.render.tables import Table
from clear_bench.settings import ModelSettings
from clear_bench.store.results import Result
from clear_bench.train.merge import Interpolation, open_pair


@dataclass(frozen=True, slots=True)
class Point:
    """One mixture, evaluated."""

    weight: float
    checkpoint: str
    groups: Mapping[str, Mapping[str, compare.DifferenceRow]]
    """Task -> group of pairs -> difference to the base."""

    def mean_gain(self, group: str) -> float:
        """Return the gain of a group, averaged over the tasks that have it."""
        found = [groups[group].delta for groups in self.groups.values() if group in groups]
        return sum(found) / len(found)


@dataclass(frozen=True, slots=True)
class Best:
    """The mixture that was chosen, with its mean gains."""

    weight: float
    checkpoint: str
    english: float
    cross: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """The curve between two checkpoints, as merge.json holds it."""

    schema: Literal["clear-bench/merge/1"] = "clear-bench/merge/1"
    base: str
    tuned: str
    english_margin: float
    tasks: tuple[str, ...]
    metric: Mapping[str, str]
    """Task -> its main metric."""
    points: tuple[Point, ...]
    best: Best | None
    """None where no point keeps English within the margin."""


def read_merge(document: object, where: str) -> Merge:
    """Return the merge that a document holds; raises `InputError` where it is not one."""
    return read_as(Merge, document, where, InputError)


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
) -> Merge:
    """Evaluate mixtures of two checkpoints and name the best one that keeps English within a margin.

    All files are written below `out`: `results/` and, for mixtures that are kept, `checkpoints/w<weight>/`. The ends, 0
    and 1, are the two checkpoints themselves. The best point has the largest mean gain over all pairs of two languages
    among those that lose at most `margin` in English. It is chosen on these tasks: report its scores on others.
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
    return Merge(
        base=base,
        tuned=tuned,
        english_margin=margin,
        tasks=tuple(plan.task.name for plan in plans),
        metric={plan.task.name: plan.main_metric for plan in plans},
        points=tuple(found),
        best=_best(found, margin),
    )


def best_point(found: Sequence[Point], margin: float) -> Point | None:
    """Return the point with the largest cross-lingual gain within the English margin; of equal ones the first."""
    allowed = [point for point in found if point.mean_gain("english") >= -margin]
    return max(allowed, key=lambda point: (point.mean_gain("cross"), -point.weight), default=None)


def tables(found: Merge) -> list[Table]:
    """Return the curve as one table per task."""
    best = found.best
    named = "none of the points keeps English within the margin" if best is None else f"best: weight {best.weight:g}"
    note = f"score; gain over the base (95 % interval). English margin {points(found.english_margin)}; {named}"
    return [_table(found, task, note) for task in found.tasks]


def picture(found: Merge) -> str:
    """Return the trade-off of the first task as SVG."""
    task = found.tasks[0]
    lines = {
        TITLES[name]: [(point.weight, point.groups[task][name].delta) for point in found.points]
        for name in _groups(found, task)
        if name != "cross"
    }
    best = found.best.weight if found.best else None
    return curve(lines, f"{task}: {found.metric[task]}", floor=-found.english_margin, best=best)


def _groups(found: Merge, task: str) -> list[str]:
    shown = ("english", *compare.PAIR_GROUPS["cross"], "cross")
    return [name for name in shown if name in found.points[0].groups[task]]


def _table(found: Merge, task: str, note: str) -> Table:
    names = _groups(found, task)
    rows = [(_label(point, found.best), *(_cell(point.groups[task][name]) for name in names)) for point in found.points]
    title = f"{task}: {found.metric[task]} x 100 by share of the tuned weights"
    return Table(title, ("weight", *(TITLES[name] for name in names)), tuple(rows), note)


def _refuse(plans: Sequence[Plan]) -> None:
    kinds = {pair.kind for plan in plans for pair in plan.pairs}
    if "english" not in kinds or kinds.isdisjoint(compare.PAIR_GROUPS["cross"]):
        msg = "a trade-off needs English pairs and pairs of two languages; --pairs leaves one out: add en:en or x-en"
        raise UsageError(msg)


def _point(weight: float, name: str, base: Mapping[str, Result], results: Mapping[str, Result]) -> Point:
    groups = {}
    for task, result in results.items():
        found = compare.compare([base[task]], [result], resampling=compare.NO_DRAWS)
        groups[task] = {group: compare.difference_row(one) for group, one in found.groups.items()}
    return Point(weight, name, groups)


def _drop_others(out: Path, best: Point | None) -> None:
    for folder in (out / "checkpoints").glob("w*"):
        if best is None or str(folder) != best.checkpoint:
            shutil.rmtree(folder)


def _best(found: Sequence[Point], margin: float) -> Best | None:
    best = best_point(found, margin)
    if best is None:
        return None
    return Best(best.weight, best.checkpoint, best.mean_gain("english"), best.mean_gain("cross"))


def _label(point: Point, best: Best | None) -> str:
    return f"{point.weight:g}{' (best)' if best and point.weight == best.weight else ''}"


def _cell(row: compare.DifferenceRow) -> str:
    return points(row.candidate) + (f"; {difference_cell(row)}" if row.delta else "")
