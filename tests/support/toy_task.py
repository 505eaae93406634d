"""A tiny parallel collection on disk, for tests that need a whole task."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CODES = {"eng-Latn": "en", "deu-Latn": "de", "ara-Arab": "ar"}
SUBJECTS = ("river", "copper", "barley", "violin", "falcon", "bridge", "comet", "harbour")


def write_task(folder: Path, name: str = "toy", extra: str = "", size: int = 8) -> Path:
    """Write a card with three languages, `size` passages and as many queries each; give the card's path."""
    for code in CODES.values():
        passages = [{"_id": f"p{i}", "text": f"{code} {subject} is described here"} for i, subject in _subjects(size)]
        queries = [{"_id": f"q{i}", "text": f"{code} what is {subject}"} for i, subject in _subjects(size)]
        _write(folder / "corpus" / f"{code}.jsonl", passages)
        _write(folder / "queries" / f"{code}.jsonl", queries)
    lines = ["query-id\tcorpus-id\tscore", *(f"q{i}\tp{i}\t1" for i in range(size))]
    (folder / "qrels.tsv").write_text("\n".join(lines) + "\n")
    languages = ", ".join(f'"{language}"' for language in CODES)
    codes = "\n".join(f'"{language}" = "{code}"' for language, code in CODES.items())
    card = folder / "card.toml"
    card.write_text(
        f"""name = "{name}"
title = "Toy"
reader = "jsonl"
languages = [{languages}]
pairs = "all"
metrics = ["nDCG@10", "recall@1", "MRR@10"]
main_metric = "nDCG@10"
cluster = "passage"
licence = "CC0-1.0"
{extra}
[source]
path = "."
[files]
corpus = "corpus/{{code}}.jsonl"
queries = "queries/{{code}}.jsonl"
qrels = "qrels.tsv"
[codes]
{codes}
"""
    )
    return card


def write_many(folder: Path, passages: int, length: int) -> Path:
    """Write a card in English whose corpus needs several shards: random words, 100 queries; give the card's path."""
    rng = np.random.default_rng(0)
    words = [f"{a}{b}{c}" for a in "kmnprst" for b in "aeiou" for c in "lmnrs"]
    for name, count, size in (("corpus", passages, length), ("queries", 100, 8)):
        texts = (" ".join(rng.choice(words, size)) + f" {i}" for i in range(count))
        _write(folder / f"{name}.jsonl", [{"_id": f"p{i}", "text": text} for i, text in enumerate(texts)])
    judged = "".join(f"p{i}\tp{i}\t1\n" for i in range(100))
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + judged, "utf-8")
    card = folder / "card.toml"
    card.write_text(
        """
name = "many"
title = "Many passages"
reader = "jsonl"
languages = ["eng-Latn"]
pairs = "all"
metrics = ["nDCG@10"]
main_metric = "nDCG@10"
licence = "CC0-1.0"
source.path = "."
files = { corpus = "corpus.jsonl", queries = "queries.jsonl", qrels = "qrels.tsv" }
""",
        "utf-8",
    )
    return card


def _subjects(size: int) -> list[tuple[int, str]]:
    return [(i, f"{SUBJECTS[i % len(SUBJECTS)]} {i // len(SUBJECTS)}") for i in range(size)]


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_vectors(folder: Path, size: int = 8, seed: int = 0, noise: float = 1.0, dimensions: int = 8) -> Path:
    """Write vectors for `write_task` of one size: those of a subject are near each other in every language."""
    rng = np.random.default_rng(seed)
    meaning = rng.standard_normal((size, dimensions))
    for side in ("queries", "passages"):
        (folder / side).mkdir(parents=True, exist_ok=True)
        for code in CODES.values():
            vectors = meaning + noise * rng.standard_normal((size, dimensions))
            np.save(folder / side / f"{code}.npy", vectors.astype(np.float32))
    return folder


class WordEncoder:
    """Adds up a random vector per word, so that texts that share words are near; counts what it is given."""

    def __init__(self, dimensions: int = 16) -> None:
        self.dimensions = dimensions
        self.texts: list[str] = []

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        self.texts += texts
        return np.array([sum(self._word(word) for word in text.split()) for text in texts], dtype=np.float32)

    def _word(self, word: str) -> NDArray[np.float64]:
        seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "little")
        return np.random.default_rng(seed).standard_normal(self.dimensions)
