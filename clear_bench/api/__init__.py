"""The stages put together, for notebooks and for the command line: evaluate a model and look at the scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clear_bench.api.evaluation import Evaluation, Output, evaluate_plans
from clear_bench.api.plan import Plan, make_plans
from clear_bench.api.retrieval import open_retriever
from clear_bench.disk import cache_at
from clear_bench.readers import read
from clear_bench.tasks import Task, find_task
from clear_bench.types import Collection

__all__ = ["Evaluation", "Plan", "evaluate", "load_task", "make_plans"]


def evaluate(
    model: object,
    tasks: str | Task | Sequence[str | Task] | Sequence[Plan],
    *,
    pairs: str | Sequence[str] = (),
    metrics: Sequence[str] = (),
    limit: int | None = None,
    run_depth: int | None = None,
    out: Path | str | None = None,
    force: bool = False,
    offline: bool = False,
    cache_dir: Path | str | None = None,
    command: Sequence[str] = (),
    **settings: Any,  # Any: what `open_retriever` takes
) -> Evaluation:
    """Evaluate a model on the language pairs of tasks.

    `model` is a checkpoint folder, a hub id (`id@revision`), `embedded:NAME`, `bm25`, or any object whose `encode`
    takes a list of strings and gives vectors [n, d]. `tasks` are names, card paths or `Task` values; `pairs` are
    patterns such as `de:en`, `*:en` or `direct`. With `out`, results are saved below it and identical ones are read
    instead of measured again. `cache_dir` is where data sets, built models and embeddings are kept. `settings` are the
    command line's own: `device`, `index`, `precision`, `query_prompt`, `passage_prompt`, `similarity`,
    `max_seq_length`, `truncate_dim`, `store_dtype`, `batch_tokens`, `vectors`, `allow_pickle`, `trust_remote_code`;
    `name` names a model in memory. `devices="cuda:0,cuda:1"` (or a number) encodes in worker processes; a script calls
    it below `if __name__ == "__main__":`, as these import it.

    Values are 0-1 and unrounded. Raises the errors of `clear_bench.errors`: `UsageError` for unknown names,
    `InputError` for collections, checkpoints or vectors that would give a wrong number.
    """
    with cache_at(cache_dir):
        wanted = [tasks] if isinstance(tasks, str | Task) else list(tasks)
        plans = [one for one in wanted if isinstance(one, Plan)] or make_plans(
            [one for one in wanted if not isinstance(one, Plan)],
            [pairs] if isinstance(pairs, str) else pairs,
            metric_names=metrics,
            limit=limit,
            run_depth=run_depth,
            offline=offline,
        )
        if isinstance(model, str):
            settings["offline"] = offline
        retriever = open_retriever(model, **settings)
        return evaluate_plans(retriever, plans, Output(Path(out) if out else None, force, tuple(command)))


def load_task(name: str, pairs: str | Sequence[str] = (), *, cache_dir: Path | str | None = None) -> Collection:
    """Load the texts and judgements of a task by name or card path, all of it or only what some pairs need.

    `cache_dir` is where downloaded and converted data sets are kept.

    >>> collection = load_task("mini", "de:en")
    >>> len(collection.queries["deu-Latn"]), len(collection.corpora["eng-Latn"])
    (72, 36)
    """
    from clear_bench.tasks import select_pairs

    task = find_task(name)
    with cache_at(cache_dir):
        return read(task, select_pairs(task, pairs) if pairs else None)
