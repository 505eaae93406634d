"""Evaluates a model on task cards while it is trained, as an evaluator of sentence-transformers."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sentence_transformers.sentence_transformer.evaluation import SentenceEvaluator

from clear_bench.api import evaluate
from clear_bench.api.plan import Plan, make_plans
from clear_bench.compare import PAIR_GROUPS
from clear_bench.errors import UsageError
from clear_bench.score import by_kind, macro, means
from clear_bench.types import Scores

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from clear_bench.score import Mean
    from clear_bench.train.recipe import Recipe


class CardEvaluator(SentenceEvaluator):  # type: ignore[misc]  # sentence-transformers ships no types
    """Evaluates a model in memory on planned tasks; works in any trainer of sentence-transformers.

    The values are the main metric, 0-1, averaged over pairs and then over tasks: `english`, `cross` (all pairs of two
    languages) and the kinds of pairs that occur. No vectors are kept, since the next call has other weights.
    """

    def __init__(self, plans: Sequence[Plan]) -> None:
        super().__init__()
        self.primary_metric = "cross"
        self.plans = plans
        kinds = {pair.kind for plan in plans for pair in plan.pairs}
        if "english" not in kinds or kinds.isdisjoint(PAIR_GROUPS["cross"]):
            msg = (
                "evaluation.tasks must have English pairs and pairs of two languages, to see what English loses; "
                f"evaluation.pairs leaves {', '.join(sorted(kinds))}: add en:en, or x-en, en-x or direct"
            )
            raise UsageError(msg)

    def __call__(
        self, model: SentenceTransformer, output_path: str | None = None, epoch: int = -1, steps: int = -1
    ) -> dict[str, float]:
        """Return the metrics of a model by group of pairs; nothing is saved."""
        with tempfile.TemporaryDirectory() as folder:
            done = evaluate(model, self.plans, name="in-training", cache_dir=Path(folder))
        metrics = {plan.task.name: plan.main_metric for plan in self.plans}
        by_task = [_by_group(scores, metrics[task]) for task, scores in done.scores.items()]
        return _averages(by_task)


def make_evaluator(recipe: Recipe) -> CardEvaluator | None:
    """Return the evaluator of a recipe's [evaluation]; None where it names no task."""
    part = recipe.evaluation
    if not part.tasks:
        return None
    return CardEvaluator(make_plans(part.tasks, part.pairs, limit=part.limit))


def _by_group(scores: Scores, metric: str) -> dict[str, float]:
    cells = means(scores, metric)
    groups: dict[str, Mean] = dict(by_kind(cells)) | {
        "cross": macro(mean for pair, mean in cells.items() if pair.kind in PAIR_GROUPS["cross"])
    }
    return {name: mean.value for name, mean in groups.items() if mean.value is not None}


def _averages(by_task: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for groups in by_task for name in groups)
    found = {name: [groups[name] for groups in by_task if name in groups] for name in names}
    return {name: sum(values) / len(values) for name, values in found.items()}
