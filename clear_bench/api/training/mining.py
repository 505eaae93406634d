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

from clear_bench.api.plan import Plan
from clear_bench.api.retrievers.open import open_retriever
from clear_bench.api.retrievers.protocol import Retriever
from clear_bench.disk import atomic_write, write_text
from clear_bench.settings import ModelSettings
from clear_bench.tasks import Task
from clear_bench.train.files import provenance_file, read_provenance
from clear_bench.train.recipe import Recipe
from clear_bench.train.sources import english_side
from clear_bench.types import ENGLISH, Collection, Judgements, LanguagePair, Run, Texts, make_texts

log = logging.getLogger(__name__)

SCHEMA = "clear-bench/negatives/1"
PAIR = LanguagePair(ENGLISH, ENGLISH)
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
    """Return the run, and each query's similarity to the least similar of its own passages, NaN if none is known."""
    place = {name: i for i, name in enumerate(passages.ids.to_pylist())}
    own = [[place[name] for name in positives[item] if name in place] for item in queries.ids.to_pylist()]
    none, starts = np.empty(0, dtype=np.int64), np.zeros(len(queries) + 1, dtype=np.int64)
    everyone = Judgements(PAIR, np.arange(len(queries)), starts, none, none.astype(np.int32))
    search = retriever.prepare(_plan(queries, passages, everyone, depth)).open(ENGLISH)
    similarities = search(everyone, [np.array(rows, dtype=np.int64) for rows in own]).similarities
    return search(everyone), np.fmin.reduce(similarities, axis=1)


def _plan(queries: Texts, passages: Texts, judgements: Judgements, depth: int) -> Plan:
    """Plan a search that is not scored."""
    task = Task(
        name="negatives",
        title="negatives",
        reader="",
        languages=(ENGLISH,),
        pairs=(PAIR,),
        metrics=(),
        main_metric="",
        licence="",
        folder=Path(),
        source={},
    )
    collection = Collection({ENGLISH: queries}, {ENGLISH: passages}, qrels={}, clusters={})
    return Plan(task, collection, (judgements,), (), depth)


def _as_texts(found: Mapping[str, str]) -> Texts:
    return make_texts(ENGLISH, _column(list(found)), _column(list(found.values())))


def _column(values: Sequence[str]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, pa.string())])
