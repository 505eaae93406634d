"""Mines hard negatives for training data with a checkpoint or BM25, without passages that may be relevant."""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clear_bench.api.retrievers.dense import DenseRetriever
from clear_bench.api.retrievers.lexical import LexicalSearcher
from clear_bench.api.retrievers.open import open_retriever
from clear_bench.api.retrievers.protocol import Retriever
from clear_bench.disk import atomic_write, write_text
from clear_bench.encode import PromptedTexts, encode
from clear_bench.search import Searcher
from clear_bench.settings import ModelSettings
from clear_bench.train.files import provenance_file, read_provenance
from clear_bench.train.recipe import Recipe
from clear_bench.train.sources import english_side
from clear_bench.types import ENGLISH, LanguagePair, Run, Texts, make_texts

log = logging.getLogger(__name__)

SCHEMA = "clear-bench/negatives/1"
PAIR = LanguagePair(ENGLISH, ENGLISH)
BLOCK = 256
DEFAULTS = ModelSettings()
Floats = NDArray[np.float32]
Positives = Mapping[str, Sequence[str]]
"""Id of a query -> ids of its own passages."""


def with_mined(recipe: Recipe, folder: Path, settings: ModelSettings = DEFAULTS) -> Recipe:
    """Return a recipe whose data has the negatives that its [mine] asks for; without [mine] the recipe itself."""
    if not recipe.mine.model:
        return recipe
    path = mine(recipe, folder, settings)
    return replace(recipe, data=replace(recipe.data, negatives_file=str(path)))


def mine(recipe: Recipe, folder: Path, settings: ModelSettings = DEFAULTS) -> Path:
    """Write negatives.jsonl.gz (`_id`, `neg`) with its provenance and return its path; an identical file is reused.

    Mining uses English queries and passages only: those of a collection's training split, where a query and its passage
    have equal ids, or all anchors, positives and negatives of rows with role columns. Query negatives are joined in
    training: they are the negatives' own queries in the row's language.
    """
    part, data = recipe.mine, recipe.data
    side = english_side(data)
    queries, passages = _as_texts(side.queries), _as_texts(side.passages)
    retriever = open_retriever(part.model, settings)
    asked = {
        "schema": SCHEMA,
        "model": Path(part.model).name,
        "fingerprint": retriever.checkpoint.fingerprint,
        "queries": queries.digest,
        "passages": passages.digest,
        **{key: value for key, value in asdict(part).items() if key != "model"},
    }
    path = folder / "negatives.jsonl.gz"
    made = provenance_file(path)
    if path.is_file() and made.is_file() and asked.items() <= read_provenance(made).items():
        return path
    depth = part.depth + part.skip + max(map(len, side.positives.values()), default=1)
    negatives = choose(*_retrieve(retriever, queries, passages, side.positives, depth), queries, passages,
                       side.positives, margin=part.margin, skip=part.skip, keep=part.keep)  # fmt: skip
    short = sum(len(found) < data.negatives for found in negatives.values())
    if short:
        log.warning(
            "%d of %d queries have fewer than %d negatives and will be left out", short, len(queries), data.negatives
        )
    with atomic_write(path) as temporary, gzip.open(temporary, "wt", encoding="utf-8") as lines:
        lines.writelines(json.dumps({"_id": item, "neg": found}) + "\n" for item, found in negatives.items())
    write_text(made, json.dumps({**asked, "short_of_negatives": short}, indent=1) + "\n")
    return path


def choose(
    run: Run,
    own: Floats,
    queries: Texts,
    passages: Texts,
    positives: Positives,
    *,
    margin: float,
    skip: int,
    keep: int,
) -> dict[str, list[str]]:
    """Return for each query the best-ranked passages that are clearly less similar than its positives.

    `own` is each query's similarity to the least similar of its own passages; NaN leaves a query without negatives.
    A passage with the text of a positive counts as that positive, whatever its id.
    """
    names, texts = passages.ids.to_pylist(), passages.text.to_pylist()
    known = dict(zip(names, texts, strict=True))
    found = {}
    for row, (item, limit) in enumerate(zip(queries.ids.to_pylist(), own * (1 - margin), strict=True)):
        hits = zip(run.positions[row].tolist(), run.similarities[row].tolist(), strict=True)
        # Comparisons with NaN are false, so a query without a known positive has no negatives.
        usable = [i for rank, (i, similarity) in enumerate(hits) if i >= 0 and rank >= skip and similarity < limit]
        own_texts = {known.get(name) for name in positives[item]}
        found[item] = [names[i] for i in usable if names[i] not in positives[item] and texts[i] not in own_texts][:keep]
    return found


def _retrieve(
    retriever: Retriever, queries: Texts, passages: Texts, positives: Positives, depth: int
) -> tuple[Run, Floats]:
    """Return the run, and each query's similarity to the least similar of its own passages."""
    rows = np.arange(len(queries))
    gold = _places(queries, passages, positives)
    if not isinstance(retriever, DenseRetriever):
        return _by_words(queries, passages, gold, depth)
    checkpoint, store, encoder = retriever.checkpoint, retriever.store, retriever.encoder
    asked = encode(PromptedTexts.of(checkpoint, queries, "query"), store, encoder).embeddings
    known = encode(PromptedTexts.of(checkpoint, passages, "passage"), store, encoder).embeddings
    run = Searcher([known], passages.ids, retriever.index, retriever.device).search(asked, rows, PAIR, depth)
    vectors = asked.take(rows)
    own = np.stack([(vectors * known.take(np.maximum(column, 0))).sum(axis=1) for column in gold.T])
    return run, _least(np.where(gold.T >= 0, own, np.nan))


def _by_words(queries: Texts, passages: Texts, gold: NDArray[np.int64], depth: int) -> tuple[Run, Floats]:
    """Return the same by BM25; a few queries at a time, with all hits, since a positive may have any rank."""
    searcher = LexicalSearcher([passages], passages.ids)
    runs, own = [], []
    for start in range(0, len(queries), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(queries)))
        run = searcher.search(queries, rows, PAIR, len(passages))
        own.append(_least(np.stack([_similarity_of(run, column) for column in gold[rows].T])))
        runs.append(replace(run, positions=run.positions[:, :depth], similarities=run.similarities[:, :depth]))
    positions = np.concatenate([run.positions for run in runs])
    similarities = np.concatenate([run.similarities for run in runs])
    return Run(PAIR, np.arange(len(queries)), positions, similarities), np.concatenate(own)


def _similarity_of(run: Run, gold: NDArray[np.int64]) -> Floats:
    """Return the similarity of one passage of each query; NaN where they share no word."""
    hit = (run.positions == gold[:, None]) & (gold >= 0)[:, None]
    return np.where(hit.any(axis=1), np.where(hit, run.similarities, -np.inf).max(axis=1), np.nan).astype(np.float32)


def _places(queries: Texts, passages: Texts, positives: Positives) -> NDArray[np.int64]:
    """Return the positions of each query's own passages, padded with -1, [q, n]."""
    place = {name: i for i, name in enumerate(passages.ids.to_pylist())}
    own = [[place.get(name, -1) for name in positives[item]] for item in queries.ids.to_pylist()]
    width = max(map(len, own), default=1)
    return np.array([row + [-1] * (width - len(row)) for row in own], dtype=np.int64).reshape(-1, width)


def _least(own: NDArray[np.float32]) -> Floats:
    """Return the smallest known similarity of each column; NaN where none is known."""
    least: Floats = np.fmin.reduce(own, axis=0).astype(np.float32)
    return least


def _as_texts(found: Mapping[str, str]) -> Texts:
    return make_texts(ENGLISH, _column(list(found)), _column(list(found.values())))


def _column(values: Sequence[str]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, pa.string())])
