"""A searcher for `mteb.evaluate`: our embedding store and indexes under mteb's `SearchProtocol`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from clear_bench.api.retrievers.open import open_encoder
from clear_bench.disk import cache_at, cache_root
from clear_bench.encode import PromptedTexts, encode, pending
from clear_bench.errors import InputError, UsageError
from clear_bench.mteb_bridge.datasets import passage_texts, query_texts
from clear_bench.mteb_bridge.naming import model_meta
from clear_bench.progress import progress
from clear_bench.qrels import find_rows
from clear_bench.rerank import rerank
from clear_bench.search import Searcher as PassageSearcher
from clear_bench.settings import ModelSettings, StoreDtype
from clear_bench.store.embeddings import EmbeddingStore
from clear_bench.types import Embeddings, LanguagePair, Run, Side, Texts

if TYPE_CHECKING:
    from datasets import Dataset
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.models.model_meta import ModelMeta
    from numpy.typing import NDArray


_OPEN = 256
"""Text sets whose vectors stay open, memory-mapped, because later subsets may use them again."""


class Searcher:
    """Run a model on any text retrieval task of mteb. Each text is encoded once, however many subsets use it.

    `model` is what `clear-bench run --model` takes, or an object with `encode`. mteb files the results
    under a name and a revision that follow from the weights, so two checkpoints never share a cache entry.

    >>> mteb.evaluate(Searcher("path/to/checkpoint"), mteb.get_tasks(["BelebeleRetrieval"]))  # doctest: +SKIP
    """

    def __init__(
        self,
        model: object,
        settings: ModelSettings = ModelSettings(),  # noqa: B008 - frozen
        *,
        name: str | None = None,
        cache_dir: Path | None = None,
        index: str = "auto",
        store_dtype: StoreDtype = "float32",
    ) -> None:
        with cache_at(cache_dir):
            self.checkpoint, self._encoder = open_encoder(model, settings, name=name)
        self.encoded = 0
        """Texts encoded so far, without those that the store had."""
        self._store, self._store_dtype = EmbeddingStore(cache_root(cache_dir)), store_dtype
        self._index, self._device = index, settings.device
        self._opened_sets: dict[tuple[str, str, str], Embeddings] = {}
        self._passages: Texts | None = None
        self._vectors = Embeddings(())
        self._searcher: PassageSearcher | None = None

    @property
    def mteb_model_meta(self) -> ModelMeta:
        """The name and revision under which mteb stores results."""
        return model_meta(self.checkpoint)

    def index(self, corpus: Dataset, *, task_metadata: TaskMetadata, hf_subset: str, **given: object) -> None:
        """Encode the texts of a corpus that the store lacks. mteb calls it, with settings that are not needed here."""
        texts = passage_texts(corpus, hf_subset)
        if self._passages is None or self._passages.digest != texts.digest:
            self._vectors = self._encode(texts, "passage", task_metadata)
            self._passages, self._searcher = texts, None

    def search(
        self,
        queries: Dataset,
        *,
        task_metadata: TaskMetadata,
        hf_subset: str,
        top_k: int,
        top_ranked: Mapping[str, Sequence[str]] | None = None,
        **given: object,
    ) -> dict[str, dict[str, float]]:
        """Rank the passages of the corpus, or only each query's candidates: query id -> passage id -> similarity."""
        if self._passages is None:
            msg = "there is no corpus to search yet; mteb calls `index` first"
            raise UsageError(msg)
        passages, texts = self._passages, query_texts(queries, hf_subset)
        vectors = self._encode(texts, "query", task_metadata)
        rows, pair = np.arange(len(texts)), LanguagePair(hf_subset, hf_subset)
        if top_ranked is None:
            run = self._opened(passages).search(vectors, rows, pair, top_k)
        else:
            candidates = look_up(texts, passages, top_ranked)
            run = rerank(vectors, rows, [self._vectors], passages.ids, pair, top_k, candidates)
        return _as_mteb(run, texts, passages)

    def _encode(self, texts: Texts, side: Side, task: TaskMetadata) -> Embeddings:
        prompted = PromptedTexts.of(self.checkpoint, texts, side, task_instruction(task))
        key = (side, prompted.prompt, texts.text_digest)
        if key not in self._opened_sets:
            if len(self._opened_sets) == _OPEN:
                self._opened_sets.clear()
            self._opened_sets[key] = self._from_store(prompted, task)
        return self._opened_sets[key]

    def _from_store(self, texts: PromptedTexts, task: TaskMetadata) -> Embeddings:
        count = pending(texts, self._store, self._store_dtype)
        with progress(count, f"encoding {task.name}", work=count * texts.mean_bytes) as shown:
            done = encode(texts, self._store, self._encoder, store_dtype=self._store_dtype, shown=shown)
        self.encoded += done.fresh
        return done.embeddings

    def _opened(self, passages: Texts) -> PassageSearcher:
        """Return the index, which the first queries build: reranking does not need one."""
        if self._searcher is None:
            self._searcher = PassageSearcher([self._vectors], passages.ids, self._index, self._device)
        return self._searcher


def task_instruction(task: TaskMetadata) -> str | None:
    """Return the instruction that a task of mteb has for models; None without one."""
    return task.prompt.get("query") if isinstance(task.prompt, dict) else task.prompt


def look_up(queries: Texts, passages: Texts, top_ranked: Mapping[str, Sequence[str]]) -> list[NDArray[np.int64]]:
    """Return the positions of each query's candidates. Raise `InputError` for one that the corpus lacks."""
    given = [list(top_ranked.get(key, ())) for key in queries.ids.to_pylist()]
    names = pa.array([name for names in given for name in names], pa.string())
    positions = find_rows(names, passages.ids)
    if (positions < 0).any():
        msg = f"the candidate {names[int(np.argmin(positions))].as_py()!r} is not in the corpus ({passages.language})"
        raise InputError(msg)
    return np.split(positions, np.cumsum([len(names) for names in given])[:-1])


def _as_mteb(run: Run, queries: Texts, passages: Texts) -> dict[str, dict[str, float]]:
    """Return a run as dicts, which mteb ranks again. For a small corpus, ranked whole, this is most of the work."""
    keys = queries.ids.to_pylist()
    if run.positions.shape[1] == len(passages) and (run.positions >= 0).all():
        # One order of the ids for all queries: half the time of an order for each.
        similarities = np.empty_like(run.similarities)
        np.put_along_axis(similarities, run.positions, run.similarities, axis=1)
        ids = passages.ids.to_pylist()
        empty = dict.fromkeys(ids, 0.0)
        spelled = {key: empty.copy() for key in keys}  # a copy has its final size
        for key, row in zip(keys, similarities.tolist(), strict=True):
            spelled[key].update(zip(ids, row, strict=True))
        return spelled
    names = passages.ids.to_numpy(zero_copy_only=False)
    found: dict[str, dict[str, float]] = {}
    for key, positions, similarities in zip(keys, run.positions, run.similarities, strict=True):
        count = int((positions >= 0).sum())
        found[key] = dict(zip(names[positions[:count]].tolist(), similarities[:count].tolist(), strict=True))
    return found
