"""What finds passages: a checkpoint with its embeddings and an index, or the lexical baseline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from clear_bench.api.plan import Plan
from clear_bench.api.retriever import Json, Retriever
from clear_bench.api.vectors import ReadyVectors, tell_of_coding, warn_of_truncation
from clear_bench.api.words import LexicalRetriever
from clear_bench.cluster import Loading, RayCluster
from clear_bench.cluster.devices import Crew, devices_of
from clear_bench.cluster.ranks import Ranks
from clear_bench.disk import cache_root
from clear_bench.encode import Encoding, Pool, encode, pending
from clear_bench.errors import UsageError
from clear_bench.indexes import check_backend
from clear_bench.lexical import NAME as BM25
from clear_bench.models import open_checkpoint, passage_prompt, query_prompt
from clear_bench.models.rows import mean_bytes
from clear_bench.models.shape import read_width
from clear_bench.progress import Progress, progress
from clear_bench.settings import ModelSettings, SearchSettings, StoreDtype
from clear_bench.store.embeddings import EmbeddingStore
from clear_bench.types import Checkpoint, Side, Texts

if TYPE_CHECKING:
    from clear_bench.models import Encoder


@dataclass(frozen=True, slots=True)
class DenseRetriever:
    """Finds passages by the similarity of vectors; each text is encoded once, whatever the number of pairs."""

    checkpoint: Checkpoint
    encoder: Callable[[], Encoder]
    """Called only where the store lacks something."""
    store: EmbeddingStore
    store_dtype: StoreDtype = "float32"
    index: str = "auto"
    device: str | None = None
    cluster: RayCluster | None = None
    """Encodes and searches instead of this process; its numbers are the same."""
    crew: Crew | None = None
    """Encodes instead of this process; its numbers are the same."""

    @property
    def settings(self) -> Json:
        """Index and stored precision."""
        return {"index": self.index, "store_dtype": self.store_dtype}

    def prepare(self, plan: Plan) -> ReadyVectors:
        """Encode the texts of a plan that the store does not have yet."""
        sets: list[tuple[Side, Texts, str]] = [
            *(("query", texts, self._query_prompt(plan)) for texts in plan.query_texts.values()),
            *(("passage", texts, passage_prompt(self.checkpoint)) for texts in plan.passage_texts.values()),
        ]
        counts = [pending(self.checkpoint, texts, side, p, self.store, self.store_dtype) for side, texts, p in sets]
        work = sum(count * mean_bytes(texts) for count, (_, texts, _) in zip(counts, sets, strict=True))
        with progress(sum(counts), f"encoding {plan.task.name}", work=work) as shown:
            if self.crew is None or not any(counts):
                encodings = [self._encode(self.cluster, shown, one) for one in sets]
            else:
                with self.crew.start() as workers:
                    encodings = workers.each(partial(self._encode, workers, shown), sets)
        done: dict[Side, dict[str, Encoding]] = {"query": {}, "passage": {}}
        for (side, texts, _), encoding in zip(sets, encodings, strict=True):
            done[side][texts.language] = encoding
        warn_of_truncation(done)
        tell_of_coding(self.store_dtype, done["passage"])
        return ReadyVectors(plan, done["query"], done["passage"], self.index, self.device, self.cluster)

    def _encode(self, pool: Pool | None, shown: Progress, one: tuple[Side, Texts, str]) -> Encoding:
        side, texts, prompt = one
        advance = partial(shown, each=mean_bytes(texts))
        return encode(
            self.checkpoint,
            texts,
            side,
            prompt,
            self.store,
            self.encoder,
            store_dtype=self.store_dtype,
            advance=advance,
            tell=shown.tell,
            pool=pool,
        )

    def _query_prompt(self, plan: Plan) -> str:
        return query_prompt(self.checkpoint, plan.task.instruction)


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
    return DenseRetriever(
        checkpoint,
        encoder,
        EmbeddingStore(cache_root()),
        search.store_dtype,
        search.index,
        devices[0].partition(":")[0] if devices else model_settings.device,  # all GPUs search
        RayCluster(loading, search.ray_address, search.ray_workers) if search.engine == "ray" else None,
        Crew(devices, loading, ranks) if devices and checkpoint.path is not None else None,
    )


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


def _no_workers(search: SearchSettings) -> str:
    what = "--engine ray" if search.devices is None else f"--devices {search.devices}"
    return f"{what} needs a model that its workers can open: a checkpoint folder, a hub id or embedded:NAME"


def _refuse(names: Sequence[str], what: str) -> None:
    """Refuse settings that would be ignored."""
    if names:
        msg = f"{', '.join(sorted(names))} cannot be set for {what}"
        raise UsageError(msg)
