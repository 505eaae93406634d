"""CPU seconds of `mteb.evaluate` on an L x L matrix: mteb's own search, and our searcher under the same task.

The encoder is free: vectors are looked up. mteb's scoring, its dataset copies and its JSON cost the same for both and
are shown apart. Run it alone on the machine: python benchmarks/mteb_searcher.py --languages 12
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import datasets
import mteb
import numpy as np
from mteb.models import ModelMeta, SearchEncoderWrapper
from sections import report, table

from clear_bench.mteb_bridge import Searcher, as_mteb_task
from clear_bench.settings import ModelSettings
from clear_bench.tasks import load_card

CODES = ("en", "ar", "de", "el", "es", "hi", "ro", "ru", "th", "tr", "vi", "zh")
DIMENSIONS = 384


class Vectors:
    """A vector for every text, looked up."""

    mteb_model_meta = ModelMeta.create_empty({"name": "benchmark/vectors", "revision": "1"})

    def __init__(self, texts: list[str]) -> None:
        made = np.random.default_rng(0).standard_normal((len(texts), DIMENSIONS)).astype(np.float32)
        self.vectors = made / np.linalg.norm(made, axis=1, keepdims=True)
        self.rows = {text: row for row, text in enumerate(texts)}
        self.encoded = 0

    def look_up(self, texts: list[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
        self.encoded += len(texts)
        return self.vectors[[self.rows[text] for text in texts]]

    def encode(self, inputs: Any, **_settings: Any) -> Any:
        """As mteb calls an encoder."""
        return self.look_up([text for batch in inputs for text in batch["text"]])

    def similarity(self, one: Any, other: Any) -> Any:
        import torch

        return torch.as_tensor(one) @ torch.as_tensor(other).T

    similarity_pairwise = similarity


class Ours:
    """The same for us."""

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = vectors

    def encode(self, texts: list[str]) -> Any:
        return self.vectors.look_up(texts) if texts[0] in self.vectors.rows else self.vectors.vectors[: len(texts)]


class Timed:
    """Counts the CPU seconds of a searcher."""

    def __init__(self, model: Any) -> None:
        self.model, self.mteb_model_meta, self.seconds = model, model.mteb_model_meta, 0.0

    def index(self, *args: Any, **settings: Any) -> None:
        with self._count():
            self.model.index(*args, **settings)

    def search(self, *args: Any, **settings: Any) -> Any:
        with self._count():
            return self.model.search(*args, **settings)

    @contextmanager
    def _count(self) -> Iterator[None]:
        started = time.process_time()
        yield
        self.seconds += time.process_time() - started


def write_card(folder: Path, languages: int, queries: int, passages: int) -> list[str]:
    """Write a parallel collection of distinct texts; give the texts."""
    texts = []
    lines = ["query-id\tcorpus-id\tscore", *(f"q{i}\tp{i % passages}\t1" for i in range(queries))]
    (folder / "qrels.tsv").write_text("\n".join(lines) + "\n")
    for code in CODES[:languages]:
        for side, prefix, count in (("corpus", "p", passages), ("queries", "q", queries)):
            rows = [{"_id": f"{prefix}{i}", "text": f"{code} {side} {i}"} for i in range(count)]
            texts += [row["text"] for row in rows]
            (folder / side).mkdir(exist_ok=True)
            (folder / side / f"{code}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "card.toml").write_text(
        f"""name = "benchmark"
reader = "jsonl"
languages = {json.dumps(CODES[:languages])}
pairs = "all"
metrics = ["nDCG@10"]
main_metric = "nDCG@10"
licence = "CC0-1.0"
[source]
path = "."
[files]
corpus = "corpus/{{code}}.jsonl"
queries = "queries/{{code}}.jsonl"
qrels = "qrels.tsv"
[codes]
"""
        + "\n".join(f'"{code}" = "{code}"' for code in CODES[:languages])
    )
    return texts


def measure(make: Callable[[], Any], card: Path, folder: Path) -> tuple[float, float, dict[str, float]]:
    """Give the CPU seconds of searching and of all the rest, and nDCG@10 by subset."""
    task, model = as_mteb_task(load_card(card)), Timed(make())
    started = time.process_time()
    done = mteb.evaluate(model, task, cache=mteb.ResultCache(folder), co2_tracker=False, show_progress_bar=False)
    total = time.process_time() - started
    scores = {entry["hf_subset"]: entry["ndcg_at_10"] for entry in done.task_results[0].scores["test"]}
    return model.seconds, total - model.seconds, scores


def warm_up() -> None:
    """Import what the first evaluation imports, so that it does not count for one side."""
    with tempfile.TemporaryDirectory() as name:
        vectors = Vectors(write_card(Path(name), 1, 8, 4))
        for make in (lambda: Searcher(Ours(vectors), cache_dir=Path(name)), lambda: SearchEncoderWrapper(vectors)):
            measure(make, Path(name) / "card.toml", Path(name) / "warm")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--languages", type=int, default=12, help="at most 12")
    parser.add_argument("--queries", type=int, default=1190, help="a language")
    parser.add_argument("--passages", type=int, default=240, help="a language")
    parser.add_argument("--write", action="store_true", help="put the table into RESULTS.md")
    asked = parser.parse_args()
    datasets.disable_progress_bars()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts = write_card(folder, asked.languages, asked.queries, asked.passages)
        vectors = Vectors(texts)
        warm_up()
        ours, our_rest, our_scores = measure(
            lambda: Searcher(
                Ours(vectors), ModelSettings(similarity="dot"), cache_dir=folder / "cache", name="benchmark"
            ),
            folder / "card.toml",
            folder / "ours",
        )
        our_encoded, vectors.encoded = vectors.encoded, 0
        theirs, their_rest, their_scores = measure(
            lambda: SearchEncoderWrapper(vectors), folder / "card.toml", folder / "theirs"
        )
    assert max(abs(our_scores[name] - their_scores[name]) for name in their_scores) <= 1e-5
    rows = [
        ("mteb", f"{vectors.encoded:,}", f"{theirs:.1f}", f"{their_rest:.1f}"),
        ("clear-bench's searcher", f"{our_encoded:,}", f"{ours:.1f}", f"{our_rest:.1f}"),
    ]
    size = f"{asked.languages} x {asked.languages} pairs, {len(texts):,} texts, vectors given for nothing."
    said = f"mteb's own search costs {theirs / ours:.1f} times ours; every nDCG@10 is equal to 1e-5."
    columns = ("search in `mteb.evaluate`", "texts encoded", "CPU s, search", "CPU s, the rest")
    body = f"{size} {said}\n\n{table(columns, rows)}"
    report("mteb-searcher", "Our searcher under mteb", body, write=asked.write)


if __name__ == "__main__":
    main()
