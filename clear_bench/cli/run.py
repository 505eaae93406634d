"""`clear-bench run`: evaluate a checkpoint on language pairs, save the result, print the table."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clear_bench.cli.options import (
    COUNT,
    NAMES,
    cache_option,
    json_option,
    model_options,
    option,
    search_options,
    together,
    with_settings,
)
from clear_bench.cli.ranks import Led
from clear_bench.cli.task_names import resolve
from clear_bench.console import say, say_json
from clear_bench.errors import EnvironmentFault, UsageError

if TYPE_CHECKING:
    from clear_bench.api import Evaluation
    from clear_bench.api.plan import Plan
    from clear_bench.cluster.ranks import Ranks
    from clear_bench.settings import ModelSettings, SearchSettings

log = logging.getLogger(__name__)

task_options = together(
    option("--tasks", type=NAMES, required=True, help="Tasks, groups, card paths or mteb:NAME, comma-separated."),
    option("--pairs", default="all", show_default=True, help="query:passage: en:en, *:en, de:POOL, direct, cross ..."),
    option("--metrics", type=NAMES, default="", help="Metrics instead of the cards' own, comma-separated."),
    option("--limit", type=COUNT, help="First N queries of each language; marks the result partial."),
    option("--run-depth", type=COUNT, help="Ranks stored of each run; default: the card's, mostly 10."),
)


@click.command(cls=Led)
@option("--model", required=True, help="Folder, hub id (id@revision), embedded:NAME, or bm25.")
@option("--baseline", help="A second model, run with the same settings: print the gains over it, too.")
@task_options
@option("--metric", help="The metric in front of the tables, instead of each task's main metric.")
@option("--out", type=click.Path(path_type=Path), default=Path("results"), show_default=True, help="Result folder.")
@option("--vectors", type=click.Path(path_type=Path), help="Folder of precomputed vectors instead of encoding.")
@search_options
@model_options
@cache_option
@click.option("--force", is_flag=True, help="Replace another result that stands in this one's place.")
@click.option("--dry-run", is_flag=True, help="Show what would run, with counts, and stop.")
@json_option
@with_settings("model_settings", "search_settings")
def run(
    model: str,
    baseline: str | None,
    tasks: tuple[str, ...],
    pairs: str,
    metrics: tuple[str, ...],
    metric: str | None,
    limit: int | None,
    run_depth: int | None,
    out: Path,
    vectors: Path | None,
    force: bool,
    dry_run: bool,
    as_json: bool,
    model_settings: ModelSettings,
    search_settings: SearchSettings,
    ranks: Ranks | None = None,
) -> None:
    """Evaluate a checkpoint on language pairs.

    Each text is encoded once, however many pairs use it; embeddings are kept for the next run.
    """
    from clear_bench.api.evaluation import Output, evaluate_plans
    from clear_bench.api.plan import make_plans
    from clear_bench.api.retrievers.open import open_retriever

    chosen, read = resolve(tasks)
    plans = make_plans(
        chosen,
        [pairs],
        metric_names=metrics,
        limit=limit,
        run_depth=run_depth,
        offline=model_settings.offline,
        read=read,
    )
    front = _in_front(plans, metric)
    if dry_run:
        _show_plan(model, plans, _encoded(model, plans, model_settings, search_settings, vectors), as_json)
        return
    # Both are opened first: a mistyped name must not cost the run of the other one.
    retrievers = [open_retriever(model, model_settings, search_settings, vectors=vectors, ranks=ranks)]
    if baseline:
        # Precomputed vectors and the transform belong to the candidate; the lexical baseline has no use for devices.
        own = replace(search_settings, transform=None, transform_from=None)
        own = replace(own, devices=None) if baseline == "bm25" else own
        retrievers.insert(0, open_retriever(baseline, model_settings, own, ranks=ranks))
    output = Output(out, force, ("clear-bench", *sys.argv[1:]))
    done = [evaluate_plans(retriever, plans, output) for retriever in retrievers]
    if as_json:
        say_json(_document(done))
        return
    _show_tables(done[-1], front)
    if baseline:
        _show_gains(done[0], done[1], front)


def _in_front(plans: Sequence[Plan], metric: str | None) -> dict[str, str]:
    """Return the metric in front by task: the one asked for, where the task has it."""
    from clear_bench.metrics import parse

    wanted = parse(metric).name if metric else None
    known = list(dict.fromkeys(name for plan in plans for name in plan.metrics))
    if wanted and wanted not in known:
        msg = f"--metric {metric} is not among the metrics of this run ({', '.join(known)}); name it in --metrics too"
        raise UsageError(msg)
    return {plan.task.name: wanted if wanted in plan.metrics else plan.main_metric for plan in plans if wanted}


def _show_tables(done: Evaluation, front: Mapping[str, str]) -> None:
    from clear_bench.api.summary import summarise
    from clear_bench.render.tables import run_tables
    from clear_bench.render.writers import write_terminal

    for task, scores in done.scores.items():
        for table in run_tables(summarise(scores, front.get(task))):
            write_terminal(table)
            say()


def _show_gains(base: Evaluation, candidate: Evaluation, front: Mapping[str, str]) -> None:
    """Compare the scores that were asked for as `clear-bench compare` does."""
    from clear_bench.api import compare
    from clear_bench.cli.compare import show

    old, new = base.results(), candidate.results()
    one_by_one = [compare({task: (old[task],)}, {task: (new[task],)}, metric=front.get(task)) for task in old]
    show(
        replace(
            one_by_one[0],
            comparisons=tuple(one for found in one_by_one for one in found.comparisons),
            notes=tuple(line for found in one_by_one for line in found.notes),
        )
    )


def _document(done: Iterable[Evaluation]) -> dict[str, object]:
    from clear_bench.api.countable import NOT_COUNTED
    from clear_bench.score import means

    rows = [
        {
            "model": one.checkpoint.name,
            "task": task,
            "query_language": pair.query,
            "passage_language": pair.passage,
            "metric": metric,
            "value": mean.value,
            "n_queries": mean.n,
            "reason": reasons.get(metric, {}).get(str(pair), NOT_COUNTED) if mean.value is None else None,
        }
        for one in done
        for task, scores in one.scores.items()
        for reasons in [scores.provenance.counts.uncounted]
        for metric in scores.metrics
        for pair, mean in means(scores, metric).items()
    ]
    return {"schema": "clear-bench/run/1", "results": rows}


def _encoded(
    model: str,
    plans: Sequence[Plan],
    model_settings: ModelSettings,
    search_settings: SearchSettings,
    vectors: Path | None,
) -> list[dict[str, str]]:
    """Return the first texts of each plan as they would be encoded; nothing is fetched or started for that.

    What the model's files forbid is raised here as it would be in the run.
    """
    from clear_bench.api.retrievers.dense import first_texts
    from clear_bench.api.retrievers.open import open_retriever

    here = replace(search_settings, engine="local", devices=None)
    try:
        retriever = open_retriever(model, replace(model_settings, offline=True), here, vectors=vectors)
    except EnvironmentFault as fault:
        log.warning("%s is not here yet, so what is encoded cannot be shown: %s", model, fault)
        return [{} for _ in plans]
    return [first_texts(plan, retriever.checkpoint) for plan in plans]


def _show_plan(model: str, plans: Sequence[Plan], encoded: Sequence[dict[str, str]], as_json: bool) -> None:
    from clear_bench.api.manifest import LEFT_OUT

    rows: list[dict[str, Any]] = [  # Any: JSON
        {
            "task": plan.task.name,
            "pairs": len(plan.pairs),
            "queries": sum(map(len, plan.query_texts.values())),
            "passages": sum(map(len, plan.passage_texts.values())),
            "texts": len(plan.query_texts) + len(plan.passage_texts),
            "judged": sum(len(judged.query_rows) for judged in plan.judgements),
            "unanswerable": sum(judged.unanswerable for judged in plan.judgements),
            "left_out": {name: sum(getattr(judged, name) for judged in plan.judgements) for name in LEFT_OUT},
            "metrics": list(plan.metrics),
            "depth": max(plan.depth(pair.passage) for pair in plan.pairs),
            "encoded": texts,
        }
        for plan, texts in zip(plans, encoded, strict=True)
    ]
    if as_json:
        say_json({"schema": "clear-bench/plan/1", "model": model, "tasks": rows})
        return
    for row, plan in zip(rows, plans, strict=True):
        say(f"{model} on {row['task']}: {row['pairs']} pairs, {row['judged']:,} searches to depth {row['depth']}")
        say(f"  encode {row['texts']} text sets: {row['queries']:,} queries, {row['passages']:,} passages")
        say(f"  metrics {', '.join(plan.metrics)}")
        for side, text in row["encoded"].items():
            say(f"  first {side} as encoded: {text!r}")
        for text in _counted(plan):
            say(f"  {text}")


def _counted(plan: Plan) -> Iterator[str]:
    """Yield which queries of a plan count as 0 or are left out, and why."""
    from clear_bench.api.manifest import LEFT_OUT

    if zero := sum(judged.unanswerable for judged in plan.judgements):
        yield f"counted as 0 {zero:,} times: a query that is judged without a relevant passage"
    for name, reason in LEFT_OUT.items():
        if out := sum(getattr(judged, name) for judged in plan.judgements):
            yield f"left out {out:,} times: {reason}"
