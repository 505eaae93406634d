"""What names a result: the question that it answers, the model, and the settings; nothing else may move its numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from clear_bench import question
from clear_bench.api.plan import Plan, Read, make_plan
from clear_bench.api.retrievers.protocol import Retriever
from clear_bench.documents import digest_of
from clear_bench.errors import NotComparableError
from clear_bench.store.results import Result
from clear_bench.tasks import Task, select_pairs
from clear_bench.types.manifest import DigestsPart

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


def digests(plan: Plan) -> DigestsPart:
    """Lay out a manifest's `digests`: of everything that moves a score, whatever the model; `question` is of all."""
    data = question.digests(plan.collection, plan.judgements)
    asked = {name: value(plan) for name, value in ASKED.items()} | question.asked(data)
    return DigestsPart(question=digest_of(asked), further=data)


def identity(named: DigestsPart, retriever: Retriever) -> str:
    """Name a result by its `digests` and what found the passages: the same scores with the same intervals."""
    found = {name: value(retriever) for name, value in ANSWERED.items()}
    return digest_of({**found, "question": named.question, "clusters": named.inputs["clusters"]})


def plan_again(result: Result, task: Task, read: Read) -> Plan:
    """Plan what a result has measured, with a task that `read` can read.

    Raises `NotComparableError` where the collection on this machine is not the one that was evaluated.
    """
    made = result.manifest
    foreign = [pair for pair in result.pairs if pair not in select_pairs(task, [str(pair)])]
    if foreign:
        msg = f"{result.path}: the task {task.name!r} has no pair {foreign[0]}; give the card that was evaluated"
        raise NotComparableError(msg)
    plan = make_plan(
        task,
        result.pairs,
        metric_names=made.task.metrics,
        limit=made.limit,
        run_depth=made.run_depth,
        read=read,
    )
    if digests(plan).question != made.digests.question:
        msg = f"{result.path}: the collection of {task.name!r} on this machine differs from the one that was evaluated"
        raise NotComparableError(msg)
    return plan
