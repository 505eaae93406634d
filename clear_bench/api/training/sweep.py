"""Trains losses x seeds on identical batches and compares them, to show which part of an objective matters."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from clear_bench import compare
from clear_bench.api.evaluation import evaluate_saved
from clear_bench.api.plan import Plan
from clear_bench.api.retrievers.open import open_retriever
from clear_bench.api.summary import summarise_results
from clear_bench.api.training.evaluator import make_evaluator
from clear_bench.api.training.mining import with_mined
from clear_bench.api.training.sweep_document import Budget, LossDifference, LossScores, Sweep, SweepRun, SweepTask
from clear_bench.api.training.translating import with_translated
from clear_bench.errors import Interrupted, UsageError
from clear_bench.losses import LOSSES
from clear_bench.registry import lookup
from clear_bench.settings import ModelSettings, SearchSettings, Transform
from clear_bench.store.results import Result
from clear_bench.train.budget import refuse_other_batches, settle_steps, with_steps
from clear_bench.train.manifest import TrainingManifest, read_training_manifest
from clear_bench.train.plan import prepare
from clear_bench.train.recipe import Recipe
from clear_bench.train.record import WORK, last_state
from clear_bench.train.trainer import train

log = logging.getLogger(__name__)

DEFAULT_LOSSES = ("clear", "infonce_qx", "infonce_x", "clear_no_kl", "clear_no_bridge", "symmetric")
CONTRASTS = tuple(("clear", other) for other in ("infonce_qx", "clear_no_kl", "clear_no_bridge", "symmetric"))
"""CLEAR and a loss that lacks one of its parts: the reversal, the KL term, the bridge, more than symmetry."""


@dataclass(frozen=True, slots=True)
class Run:
    """One loss and one seed, to be trained."""

    loss: str
    seed: int
    recipe: Recipe
    batches: str
    """Checksum of the batches that all losses of this seed share."""

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.loss}-{self.seed}"


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """A finished run, with its results by task."""

    run: Run
    manifest: TrainingManifest
    results: Mapping[str, Result]


def sweep(
    recipe: Recipe,
    plans: Sequence[Plan],
    out: Path,
    *,
    losses: Sequence[str] = DEFAULT_LOSSES,
    seeds: Sequence[int] = (0, 1, 2),
    budget: Budget = "steps",
    transforms: Sequence[Transform] = (),
    settings: ModelSettings = ModelSettings(),  # noqa: B008 - frozen
) -> Sweep:
    """Train every loss with every seed, evaluate each run and the base, and compare them.

    `transforms` of the base's vectors, which cost no training, stand beside the losses.
    All files are written below `out`: `runs/<loss>-<seed>/` and `results/`. A finished run is reused, an unfinished one
    continues from its last saved state. Raises `InputError`, before any training, where batches differ between losses.
    """
    recipe = with_translated(with_mined(recipe, out / "mined", settings), out / "translated", settings)
    runs = plan_runs(recipe, losses, seeds, budget)
    base = _evaluated(recipe.model.base, plans, out, settings)
    mapped = {f"base+{one}": _evaluated(recipe.model.base, plans, out, settings, one) for one in transforms}
    done = [_run(run, plans, out, settings) for run in runs]
    return Sweep(
        budget=budget,
        base=recipe.model.base,
        losses=tuple(losses),
        seeds=tuple(seeds),
        batches={str(run.seed): run.batches for run in runs},
        runs=tuple(_record(one, out) for one in done),
        tasks=tuple(_task(plan, base[plan.task.name], mapped, done, losses) for plan in plans),
    )


def plan_runs(recipe: Recipe, losses: Sequence[str], seeds: Sequence[int], budget: Budget) -> list[Run]:
    """Return the runs with their steps; raises `InputError` unless all losses of a seed get identical batches."""
    _refuse(recipe, losses, seeds)
    if recipe.data.collection is None and recipe.data.query_negatives is None:
        # All losses get the rows of those that take query negatives.
        paired = any("neg_query" in LOSSES[loss][0].roles for loss in losses)
        recipe = replace(recipe, data=replace(recipe.data, query_negatives=paired))
    variants = {loss: replace(recipe, loss=replace(recipe.loss, name=loss)) for loss in losses}
    rows = {loss: prepare(variant).rows for loss, variant in variants.items()}
    runs = []
    for seed in seeds:
        seeded = {loss: _with_seed(variant, seed) for loss, variant in variants.items()}
        prepared = {loss: prepare(one, rows=rows[loss]) for loss, one in seeded.items()}
        shared = refuse_other_batches(prepared)
        if budget == "compute":
            steps = settle_steps(prepared)
            seeded = {loss: with_steps(one, steps[loss]) for loss, one in seeded.items()}
            shared = refuse_other_batches({loss: prepare(one, rows=rows[loss]) for loss, one in seeded.items()})
        runs += [Run(loss, seed, one, shared) for loss, one in seeded.items()]
    return runs


def _refuse(recipe: Recipe, losses: Sequence[str], seeds: Sequence[int]) -> None:
    for loss in losses:
        lookup(LOSSES, loss, "loss")
    for name, values in (("losses", losses), ("seeds", seeds)):
        if not values or len(set(values)) < len(values):
            msg = f"--{name} is {list(values)}: give at least one, and each only once"
            raise UsageError(msg)
    fixed = [name for name in ("alpha", "beta") if getattr(recipe.loss, name) is not None]
    if fixed and len(losses) > 1:
        msg = f"the recipe fixes loss.{fixed[0]}, which would follow it to every loss; leave it out: each has its own"
        raise UsageError(msg)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError("a sweep runs in one process: start it without torchrun, or train its losses one by one")


def _with_seed(recipe: Recipe, seed: int) -> Recipe:
    return replace(recipe, training=replace(recipe.training, seed=seed))


def _run(run: Run, plans: Sequence[Plan], out: Path, settings: ModelSettings) -> Trained:
    folder = out / "runs" / run.name
    resume = last_state(folder / WORK) is not None
    log.info("%s: %s", run.name, "going on" if resume else "starting")
    try:
        train(run.recipe, folder, resume=resume, evaluate=make_evaluator(run.recipe))
    except Interrupted as stop:
        raise Interrupted(f"{run.name}: {stop}; finished runs are kept: start the sweep again") from None
    return Trained(run, read_training_manifest(folder), _evaluated(str(folder), plans, out, settings))


def _evaluated(
    model: str, plans: Sequence[Plan], out: Path, settings: ModelSettings, transform: Transform | None = None
) -> dict[str, Result]:
    retriever = open_retriever(model, settings, SearchSettings(transform=transform))
    return evaluate_saved(retriever, plans, out / "results")


def _record(one: Trained, out: Path) -> SweepRun:
    seen = one.manifest.seen
    return SweepRun(
        loss=one.run.loss,
        seed=one.run.seed,
        folder=f"runs/{one.run.name}",
        steps=seen.steps,
        rows=seen.rows,
        texts=seen.texts,
        tokens=seen.tokens,
        seconds=seen.seconds,
        batches=str(one.manifest.identity["batches"]),
        selected_step=one.manifest.selected_step,
        results={task: result.path.relative_to(out).as_posix() for task, result in one.results.items()},
    )


def _task(
    plan: Plan,
    base: Result,
    mapped: Mapping[str, Mapping[str, Result]],
    done: Sequence[Trained],
    losses: Sequence[str],
) -> SweepTask:
    """Compare on one task: each loss and transform with the base, and CLEAR with losses that lack one of its parts."""
    name = plan.task.name
    sides = {of: [results[name]] for of, results in mapped.items()}
    sides |= {loss: [one.results[name] for one in done if one.run.loss == loss] for loss in losses}
    pairs = [(a, b) for a, b in CONTRASTS if a in sides and b in sides]
    return SweepTask(
        task=name,
        metric=plan.main_metric,
        partial=plan.limit is not None,
        rows=(_scores("base", [base]), *(_scores(loss, results) for loss, results in sides.items())),
        gains=tuple(_difference(f"{loss} - base", [base], results) for loss, results in sides.items()),
        contrasts=tuple(_difference(f"{a} - {b}", sides[b], sides[a]) for a, b in pairs),
    )


def _scores(name: str, results: Sequence[Result]) -> LossScores:
    return LossScores(name, len(results), summarise_results(results).groups)


def _difference(name: str, base: Sequence[Result], candidate: Sequence[Result]) -> LossDifference:
    """Average the seeds of both sides query by query; intervals are over clusters of queries."""
    found = compare.compare(base, candidate, resampling=compare.NO_DRAWS)
    return LossDifference(name, {group: compare.difference_row(one) for group, one in found.groups.items()})
