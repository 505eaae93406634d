"""What finds passages: a checkpoint with its embeddings and an index, or the lexical baseline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from clear_bench.api.plan import Plan
from clear_bench.api.retriever import Json, Retriever
from clear_bench.api.vectors import ReadyVectors, tell_of_coding, warn_of_truncation
from clear_bench.api.words import LexicalRetriever
from clear_bench.cluster import Loading, RayCluster
from clear_bench.cluster.devices import Crew, Devices, devices_of
from clear_bench.cluster.ranks import Ranks
from clear_bench.disk import cache_root
from clear_bench.encode import Encoding, Pool, encode, pending
from clear_bench.errors import UsageError
from clear_bench.indexes import check_backend
from clear_bench.lexical import NAME as BM25
from clear_bench.models import load_encoder, open_checkpoint, passage_prompt, query_prompt
from clear_bench.models.rows import mean_bytes
from clear_bench.models.shape import read_width
from clear_bench.progress import Progress, progress
from clear_bench.store.embeddings import EmbeddingStore, StoreDtype
from clear_bench.types import Checkpoint, Side, Texts

if TYPE_CHECKING:
    from clear_bench.models import Encoder

Engine = Literal["local", "ray"]


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
        settings: Json = {"store_dtype": self.store_dtype, "advance": advance, "tell": shown.tell, "pool": pool}
        return encode(self.checkpoint, texts, side, prompt, self.store, self.encoder, **settings)

    def _query_prompt(self, plan: Plan) -> str:
        return query_prompt(self.checkpoint, plan.task.instruction)


def open_retriever(
    model: object,
    *,
    name: str | None = None,
    vectors: Path | None = None,
    index: str = "auto",
    device: str | None = None,
    batch_tokens: int | None = None,
    store_dtype: StoreDtype = "float32",
    allow_pickle: bool = False,
    trust_remote_code: bool = False,
    truncate_dim: int | None = None,
    engine: Engine = "local",
    ray_address: str | None = None,
    ray_workers: int | None = None,
    devices: Devices | None = None,
    ranks: Ranks | None = None,
    **settings: Any,  # Any: what `models.open_checkpoint` and `from_object` take
) -> Retriever:
    """Open a model: a path, hub id or `embedded:NAME`, `bm25`, an object with `encode`, or a folder of vectors.

    `devices` are several devices of this machine; `ranks` the processes that torchrun has started beside this one.
    Raises `UsageError`, `CheckpointError` or `EnvironmentFault` as `models.open_checkpoint` does.
    """
    if engine == "ray" and (devices is not None or ranks is not None):
        msg = "--engine ray has workers of its own; run without --devices and without torchrun"
        raise UsageError(msg)
    names = devices_of(devices, device, ranks)
    store, root = EmbeddingStore(cache_root()), cache_root()
    encoder: Callable[[], Encoder]
    if vectors is not None:
        from clear_bench.models.vectors import VectorReader, open_vectors

        _refuse(settings, (), "precomputed vectors; they are what they are (vectors.json may set the similarity)")
        reader = VectorReader(vectors)
        checkpoint = open_vectors(vectors, name=str(model) if model else None, truncate_dim=truncate_dim)
        encoder = lambda: reader  # noqa: E731
    elif isinstance(model, str) and model == BM25:
        if devices is not None:
            raise UsageError(_no_workers(devices))
        return LexicalRetriever()
    elif isinstance(model, str | Path):
        checkpoint = open_checkpoint(
            str(model),
            truncate_dim=truncate_dim,
            allow_pickle=allow_pickle,
            trust_remote_code=trust_remote_code,
            **settings,
        )
        encoder = _once(
            lambda: load_encoder(
                checkpoint,
                device=device,
                batch_tokens=batch_tokens,
                allow_pickle=allow_pickle,
                trust_remote_code=trust_remote_code,
            )
        )
    else:
        from clear_bench.models.objects import from_object

        known = ("query_prompt", "passage_prompt", "similarity")
        _refuse(settings, known, "a model in memory; set it on the object")
        given = {key: settings.get(key) for key in known}
        checkpoint, found = from_object(model, name=name, truncate_dim=truncate_dim, batch_tokens=batch_tokens, **given)
        encoder = lambda: found  # noqa: E731
    check_backend(index, partial(read_width, checkpoint))
    if checkpoint.path is None and (devices is not None or engine == "ray"):
        raise UsageError(_no_workers(devices))
    allowed = {"allow_pickle": allow_pickle, "trust_remote_code": trust_remote_code}
    opening = settings | allowed | {"truncate_dim": truncate_dim, "cache_dir": root}
    loading = allowed | {"device": device, "batch_tokens": batch_tokens}
    told = Loading(str(model), checkpoint.fingerprint, opening, loading)
    cluster = RayCluster(told, ray_address, ray_workers) if engine == "ray" else None
    crew = Crew(names, told, ranks) if names and checkpoint.path is not None else None
    device = names[0].partition(":")[0] if names else device  # all GPUs search
    return DenseRetriever(checkpoint, encoder, store, store_dtype, index, device, cluster, crew)


def _no_workers(devices: Devices | None) -> str:
    what = "--engine ray" if devices is None else f"--devices {devices}"
    return f"{what} needs a model that its workers can open: a checkpoint folder, a hub id or embedded:NAME"


def _refuse(settings: Json, known: Sequence[str], what: str) -> None:
    """Refuse settings that would be ignored; these two have a value on the command line always."""
    unknown = {key for key, value in settings.items() if value is not None and key not in known}
    unknown -= {"precision", "offline"}
    if unknown:
        msg = f"{', '.join(sorted(unknown))} cannot be set for {what}"
        raise UsageError(msg)


def _once(load: Callable[[], Encoder]) -> Callable[[], Encoder]:
    """Load at the first call, and give the same encoder from then on."""
    loaded: list[Encoder] = []

    def get() -> Encoder:
        if not loaded:
            loaded.append(load())
        return loaded[0]

    return get
