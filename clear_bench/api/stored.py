"""Find the vectors of a result in the store again, without opening a model or encoding anything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from clear_bench.api.geometry import Drawn, survey
from clear_bench.api.identity import plan_again
from clear_bench.api.plan import Plan, Read
from clear_bench.api.retrievers.dense import DenseRetriever, ReadyVectors, prompted_texts
from clear_bench.api.retrievers.transformed import TransformedRetriever
from clear_bench.disk import cache_root
from clear_bench.encode import pending
from clear_bench.errors import EnvironmentFault, UsageError
from clear_bench.geometry import Overall, Space, changes
from clear_bench.models.checkpoint import truncated
from clear_bench.settings import StoreDtype, Transform
from clear_bench.store.embeddings import FOLDER, KEY, EmbeddingStore
from clear_bench.store.results import Result
from clear_bench.tasks import Task
from clear_bench.types import Checkpoint

if TYPE_CHECKING:
    from clear_bench.models import Encoder


def survey_result(result: Result, task: Task, read: Read, drawn: Drawn, *, offline: bool = False) -> Space:
    """Measure the vectors that a result was made of."""
    plan = plan_again(result, task, lambda one, pairs, local: read(one, pairs, local or offline))
    ready = stored_vectors(result, plan)
    return survey(
        result.model,
        plan,
        {language: one.embeddings for language, one in ready.queries.items()},
        {language: one.embeddings for language, one in ready.passages.items()},
        result.manifest.model.similarity or "cosine",
        drawn,
    )


def geometry_change(base: Result, candidate: Result, task: Task, read: Read, drawn: Drawn) -> list[Overall]:
    """Measure how the geometry changed from a base to a candidate, on the same texts of one task."""
    before, after = (survey_result(result, task, read, drawn, offline=True) for result in (base, candidate))
    return changes(before.cells, after.cells)


def has_vectors(result: Result) -> bool:
    """Return whether a result found its passages by vectors."""
    return _dtype(result) is not None


def stored_vectors(result: Result, plan: Plan) -> ReadyVectors:
    """Return the embeddings of a result's texts. Raise `EnvironmentFault` where the store lacks some of them."""
    dtype = _dtype(result)
    if dtype is None:
        msg = f"{result.path}: {result.model} found its passages without vectors, so there is no geometry to measure"
        raise UsageError(msg)
    store = EmbeddingStore(cache_root())
    best = min(_checkpoints(result), key=lambda one: _lacking(one, plan, store, dtype))
    if lacking := _lacking(best, plan, store, dtype):
        msg = (
            f"{result.path}: {lacking:,} of its texts have no vectors in {store.cache}; give the cache of the run with "
            f"--cache-dir, or the model instead of its result: its texts are then encoded"
        )
        raise EnvironmentFault(msg)
    dense = DenseRetriever(best, _never, store, dtype)
    transform = next((one for one in get_args(Transform) if one == result.manifest.settings.get("transform")), None)
    if transform is None:
        return dense.prepare(plan)
    if other := result.manifest.settings.get("transform_from"):
        msg = (
            f"{result.path}: its vectors were mapped by what was estimated on {other}; measure the model instead, "
            f"with --transform {transform} --transform-from"
        )
        raise UsageError(msg)
    return TransformedRetriever(dense, transform).prepare(plan)


def _dtype(result: Result) -> StoreDtype | None:
    said = result.manifest.settings.get("store_dtype")
    return next((one for one in get_args(StoreDtype) if one == said), None)


def _lacking(checkpoint: Checkpoint, plan: Plan, store: EmbeddingStore, dtype: StoreDtype) -> int:
    return sum(pending(texts, store, dtype) for texts in prompted_texts(plan, checkpoint))


def _checkpoints(result: Result) -> Iterator[Checkpoint]:
    """Rebuild the checkpoint from the manifest, which does not say all: vectors may belong to rows or to texts."""
    model = result.manifest.model
    fingerprint = str(result.manifest.settings.get("transform_of", model.fingerprint))
    for is_by_row in (False, True):
        yield Checkpoint(
            name=result.model,
            path=None,
            fingerprint=fingerprint,
            weights_digest=model.weights_digest,
            prompts=model.prompts,
            similarity=model.similarity or "cosine",
            max_seq_length=model.max_seq_length,
            precision=model.precision,
            truncate_dim=model.truncate_dim,
            cache_digest=_cache_digest(fingerprint, model.truncate_dim),
            is_by_row=is_by_row,
        )


def _cache_digest(fingerprint: str, truncate_dim: int | None) -> str:
    """Return what names the full vectors: the fingerprint, or what it was made of where dimensions were cut."""
    if truncate_dim is None:
        return fingerprint
    known = (_vectors(path) for path in sorted((cache_root() / FOLDER).glob(f"*/*/{KEY}")))
    return next((name for name in known if name and truncated(name, truncate_dim) == fingerprint), fingerprint)


def _vectors(path: Path) -> str | None:
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["vectors"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _never() -> Encoder:
    msg = "stored vectors are complete, so no encoder is asked"
    raise RuntimeError(msg)
