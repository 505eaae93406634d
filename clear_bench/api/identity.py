"""What names a result: the question that it answers, the model, and the settings; nothing else may move its numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from clear_bench import question
from clear_bench.api.plan import Plan
from clear_bench.api.retrievers.protocol import Retriever
from clear_bench.documents import digest_of

ASKED: Mapping[str, Callable[[Plan], object]] = {
    "task": lambda plan: plan.task.name,
    "instruction": lambda plan: plan.task.instruction,
    "metrics": lambda plan: plan.metrics,
    "run_depth": lambda plan: plan.run_depth,
    "limit": lambda plan: plan.limit,
}
"""What a question asks of its data; the data themselves are the rows of `question.INPUTS`."""

ANSWERED: Mapping[str, Callable[[Retriever], object]] = {
    # Weights, configuration, prompts, length, precision and dimensions; a run or folder of vectors by its content.
    "model": lambda retriever: retriever.checkpoint.fingerprint,
    # Index, and precision of stored vectors.
    "settings": lambda retriever: retriever.settings,
}
"""What finds the passages."""


def digests(plan: Plan) -> dict[str, Any]:  # Any: JSON
    """Lay out a manifest's `digests`: of everything that moves a score, whatever the model; `question` is of all."""
    data = question.digests(plan.collection, plan.judgements)
    asked = {name: value(plan) for name, value in ASKED.items()} | question.asked(data)
    return {"question": digest_of(asked), **data}


def identity(named: Mapping[str, Any], retriever: Retriever) -> str:  # Any: JSON
    """Name a result by its `digests` and what found the passages: the same scores with the same intervals."""
    found = {name: value(retriever) for name, value in ANSWERED.items()}
    return digest_of({**found, "question": named["question"], "clusters": named["clusters"]})
