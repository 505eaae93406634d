"""The values that pass between stages. Records are frozen; invariants are checked where a value is made."""

from __future__ import annotations

from clear_bench.types.checkpoint import Checkpoint, Embeddings, Side, Similarity
from clear_bench.types.collection import Collection, Pool
from clear_bench.types.judgements import Judgements, Qrels, make_qrels
from clear_bench.types.manifest import Manifest, ResultKind
from clear_bench.types.pairs import ENGLISH, LanguagePair, PairKind
from clear_bench.types.results import Run, Scores
from clear_bench.types.texts import Texts, make_texts, take_ascending

__all__ = [
    "ENGLISH",
    "Checkpoint",
    "Collection",
    "Embeddings",
    "Judgements",
    "LanguagePair",
    "Manifest",
    "PairKind",
    "Pool",
    "Qrels",
    "ResultKind",
    "Run",
    "Scores",
    "Side",
    "Similarity",
    "Texts",
    "make_qrels",
    "make_texts",
    "take_ascending",
]
