"""The manifest of a result: what was run, on what, with what, and what it cost."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from clear_bench import __version__
from clear_bench.api.identity import digests, identity
from clear_bench.api.plan import Plan
from clear_bench.api.retrievers.dense import first_texts
from clear_bench.api.retrievers.protocol import Retriever
from clear_bench.readers.given import brought
from clear_bench.types import Checkpoint, Manifest
from clear_bench.types.manifest import CountsPart, ModelPart, TaskPart

PACKAGES = (
    "torch",
    "sentence-transformers",
    "transformers",
    "tokenizers",
    "faiss-cpu",
    "faiss-gpu",
    "bm25s",
    "numpy",
    "mteb",
)
LEFT_OUT = {
    "unjudged": "a query without a judgement",
    "untranslated": "a query whose relevant passages are all in other languages",
    "dropped": "a query that is judged without a relevant passage, which the card drops",
}
"""Why a query does not count for a pair: count in `Judgements` -> words."""


def versions() -> dict[str, str]:
    """List the versions that can move a score, of what is installed."""
    found = {"clear-bench": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def describe(plan: Plan, retriever: Retriever, folder: Path | None = None) -> Manifest:
    """Return what a manifest says before the run, which names the result; the counts and the cost come later.

    `folder` is where the result will be: the path of a user's own card is relative to it.
    """
    named = digests(plan)
    return Manifest(
        identity=identity(named, retriever),
        kind=retriever.kind,
        model=_model(retriever.checkpoint),
        encoded=first_texts(plan, retriever.checkpoint),
        task=_task(plan, folder),
        settings=retriever.settings,
        pairs=tuple(map(str, plan.pairs)),
        partial=plan.limit is not None,
        limit=plan.limit,
        run_depth=plan.run_depth,
        digests=named,
        counts=CountsPart(),
    )


def _model(checkpoint: Checkpoint) -> ModelPart:
    return ModelPart(
        name=checkpoint.name,
        slug=checkpoint.slug,
        revision=checkpoint.revision,
        fingerprint=checkpoint.fingerprint,
        weights_digest=checkpoint.weights_digest,
        prompts=checkpoint.prompts,
        similarity=checkpoint.similarity,
        max_seq_length=checkpoint.max_seq_length,
        precision=checkpoint.precision,
        truncate_dim=checkpoint.truncate_dim,
        licence=checkpoint.licence,
        trained_on=checkpoint.trained_on,
    )


def _task(plan: Plan, folder: Path | None) -> TaskPart:
    task = plan.task
    return TaskPart(
        name=task.name,
        title=task.title,
        main_metric=plan.main_metric,
        metrics=plan.metrics,
        cluster=task.cluster,
        licence=task.licence,
        instruction=task.instruction,
        overlaps=task.overlaps,
        source=task.source,
        card=os.path.relpath(task.card.resolve(), folder.resolve()) if task.card and folder else None,
        brought={entry: tuple(hashes) for entry, hashes in brought(task, plan.pairs).items()},
    )


def with_judged(counts: CountsPart, plan: Plan) -> CountsPart:
    """Add, per pair, the queries that count as 0 for lack of a relevant passage, and those left out and why.

    Pairs that have none are not listed.
    """
    out = {str(one.pair): {name: getattr(one, name) for name in LEFT_OUT} for one in plan.judgements}
    return replace(
        counts,
        unanswerable={str(one.pair): one.unanswerable for one in plan.judgements if one.unanswerable},
        left_out={pair: reasons for pair, reasons in out.items() if any(reasons.values())},
    )


def measured(manifest: Manifest, started: datetime, seconds: Mapping[str, float], command: Sequence[str]) -> Manifest:
    """Add when, where and how a run was made."""
    return replace(
        manifest,
        created=started.isoformat(timespec="seconds"),
        seconds={name: round(value, 3) for name, value in seconds.items()},
        command=tuple(command),
        versions=versions(),
        machine={"system": platform.system(), "architecture": platform.machine()},
    )


def now() -> datetime:
    """Return the time, UTC."""
    return datetime.now(UTC)
