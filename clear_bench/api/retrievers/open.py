"""Open what `--model` names: a checkpoint, BM25, an object with `encode`, or a folder of vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from clear_bench.api.retrievers.dense import DenseRetriever
from clear_bench.api.retrievers.lexical import NAME as BM25
from clear_bench.api.retrievers.lexical import LexicalRetriever
from clear_bench.api.retrievers.protocol import Retriever
from clear_bench.api.retrievers.transformed import transformed
from clear_bench.cluster import Loading, RayCluster
from clear_bench.cluster.devices import Crew, devices_of
from clear_bench.cluster.ranks import Ranks
from clear_bench.disk import cache_root
from clear_bench.errors import UsageError
from clear_bench.indexes import check_backend
from clear_bench.models import open_checkpoint
from clear_bench.models.shape import read_width
from clear_bench.settings import ModelSettings, SearchSettings
from clear_bench.store.embeddings import EmbeddingStore
from clear_bench.types import Checkpoint

if TYPE_CHECKING:
    from clear_bench.models import Encoder


def open_retriever(
    model: object,
    model_settings: ModelSettings = ModelSettings(),  # noqa: B008 - frozen
    search_settings: SearchSettings = SearchSettings(),  # noqa: B008 - frozen
    *,
    name: str | None = None,
    vectors: Path | None = None,
    ranks: Ranks | None = None,
) -> Retriever:
    """Open a model: a path, hub id or `embedded:NAME`, `bm25`, an object with `encode`, or a folder of vectors.

    `name` names a model in memory; `ranks` are the processes that torchrun has started beside this one. Raises
    `UsageError`, `CheckpointError` or `EnvironmentFault` as `models.open_checkpoint` does.
    """
    search = search_settings
    if search.engine == "ray" and (search.devices is not None or ranks is not None):
        msg = "--engine ray has workers of its own; run without --devices and without torchrun"
        raise UsageError(msg)
    _check_transform(search, has_vectors=vectors is not None or model != BM25)
    devices = devices_of(search.devices, model_settings.device, ranks)
    if vectors is None and model == BM25:
        if search.devices is not None:
            raise UsageError(_no_workers(search))
        return LexicalRetriever()
    checkpoint, encoder = open_encoder(model, model_settings, name=name, vectors=vectors)
    check_backend(search.index, partial(read_width, checkpoint))
    if checkpoint.path is None and (search.devices is not None or search.engine == "ray"):
        raise UsageError(_no_workers(search))
    loading = Loading(str(model), checkpoint.fingerprint, model_settings, cache_root())
    dense = DenseRetriever(
        checkpoint,
        encoder,
        EmbeddingStore(cache_root()),
        search.store_dtype,
        search.index,
        devices[0].partition(":")[0] if devices else model_settings.device,  # all GPUs search
        RayCluster(loading, search.ray_address, search.ray_workers) if search.engine == "ray" else None,
        Crew(devices, loading, ranks) if devices and checkpoint.path is not None else None,
    )
    if search.transform is None:
        return dense
    return transformed(dense, search.transform, search.transform_from, offline=model_settings.offline)


def open_encoder(
    model: object, settings: ModelSettings, *, name: str | None = None, vectors: Path | None = None
) -> tuple[Checkpoint, Callable[[], Encoder]]:
    """Return the checkpoint and what loads its encoder when it is first needed."""
    encoder: Encoder
    if vectors is not None:
        from clear_bench.models.vectors import VectorReader, open_vectors

        _refuse(
            settings.given("query_prompt", "passage_prompt", "similarity", "max_seq_length"),
            "precomputed vectors; they are what they are (vectors.json may set the similarity)",
        )
        encoder = VectorReader(vectors)
        called = str(model) if model else None
        checkpoint = open_vectors(vectors, name=called, truncate_dim=settings.truncate_dim)
    elif isinstance(model, str | Path):
        checkpoint = open_checkpoint(str(model), settings)
        return checkpoint, cache(partial(_load, checkpoint, settings))
    else:
        from clear_bench.models.objects import from_object

        _refuse(settings.given("max_seq_length"), "a model in memory; set it on the object")
        checkpoint, encoder = from_object(model, settings, name=name)
    return checkpoint, lambda: encoder


def _load(checkpoint: Checkpoint, settings: ModelSettings) -> Encoder:
    from clear_bench.models.loading import load_encoder

    return load_encoder(checkpoint, settings)


def _check_transform(search: SearchSettings, *, has_vectors: bool) -> None:
    if search.transform is None:
        if search.transform_from is not None:
            msg = f"--transform-from {search.transform_from} is for a transform; name one with --transform"
            raise UsageError(msg)
    elif search.engine == "ray" or not has_vectors:
        what = "--engine ray searches vectors as they are stored" if has_vectors else "bm25 has no vectors"
        msg = f"{what}; run without --transform {search.transform}"
        raise UsageError(msg)


def _no_workers(search: SearchSettings) -> str:
    what = "--engine ray" if search.devices is None else f"--devices {search.devices}"
    return f"{what} needs a model that its workers can open: a checkpoint folder, a hub id or embedded:NAME"


def _refuse(names: Sequence[str], what: str) -> None:
    """Refuse settings that would be ignored."""
    if names:
        msg = f"{', '.join(sorted(names))} cannot be set for {what}"
        raise UsageError(msg)
