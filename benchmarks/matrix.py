"""A language matrix with a free encoder: what the framework itself costs, beside mteb on the same vectors and cells.

    python benchmarks/matrix.py [CARD] [--languages 4] [--full] [--repeat 3] [--write]

Vectors are drawn once per text, so encoding costs nothing and every text that a framework asks for is counted.
Prints CPU seconds, texts encoded and the largest difference between the two frameworks' cells. --full takes all
languages of the card, which is XQuAD from the hub unless another is given.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from sections import middle, report, table

from clear_bench.api import evaluate
from clear_bench.api.plan import make_plan
from clear_bench.tasks import find_task
from clear_bench.types import LanguagePair

WIDTH = 384


class FreeEncoder:
    """Looks vectors up; a text's vector is drawn from its own digest, close to that of texts it shares words with."""

    def __init__(self) -> None:
        self.known: dict[str, np.ndarray] = {}
        self.asked = 0

    def encode(self, texts: Iterable[str], **_settings: Any) -> np.ndarray:
        texts = list(texts)
        self.asked += len(texts)
        return np.stack([self.vector(text) for text in texts])

    def vector(self, text: str) -> np.ndarray:
        if text not in self.known:
            words = [np.random.default_rng(_seed(word)).standard_normal(WIDTH) for word in set(text.lower().split())]
            own = np.random.default_rng(_seed(text)).standard_normal(WIDTH)
            mixed = np.sum(words, axis=0) + own
            self.known[text] = (mixed / np.linalg.norm(mixed)).astype(np.float32)
        return self.known[text]


def _seed(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def ours(encoder: FreeEncoder, task: Any, pairs: list[LanguagePair]) -> dict[LanguagePair, float]:
    """Evaluate with clear-bench, results and run written to disk."""
    with TemporaryDirectory() as folder:
        done = evaluate(
            encoder, [task], pairs=[str(pair) for pair in pairs], out=Path(folder), cache_dir=Path(folder, "cache")
        )
        matrix = done.matrix(task.name, "nDCG@10")
    return {pair: float(matrix.loc[pair.query, pair.passage]) for pair in pairs}


def theirs(encoder: FreeEncoder, task: Any, pairs: list[LanguagePair]) -> dict[LanguagePair, float]:
    """Evaluate the same cells with mteb."""
    from mteb.models.model_meta import ModelMeta
    from mteb_cells import cells_by_mteb

    class Lookup:
        mteb_model_meta = ModelMeta.create_empty(overwrites={"name": "benchmark/free-encoder"})

        def encode(self, inputs: Any, **_settings: Any) -> np.ndarray:
            return encoder.encode([text for batch in inputs for text in batch["text"]])

        def similarity(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
            return first @ second.T

        def similarity_pairwise(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
            return (first * second).sum(axis=1)

    return cells_by_mteb(Lookup(), make_plan(task, pairs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("card", nargs="?", default="xquad")
    parser.add_argument("--languages", type=int, default=4)
    parser.add_argument("--full", action="store_true", help="all languages of the card")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="put the table into RESULTS.md")
    arguments = parser.parse_args()
    task = find_task(arguments.card)
    chosen = task.languages if arguments.full else task.languages[: arguments.languages]
    pairs = [pair for pair in task.pairs if {pair.query, pair.passage} <= set(chosen)]
    warm = FreeEncoder()
    # Draws every vector once, and imports what each framework imports.
    ours(warm, task, pairs)
    theirs(warm, task, pairs[:1])
    cells, asked = {}, {}
    spent: dict[str, list[float]] = {"clear-bench": [], "mteb": []}
    for _ in range(arguments.repeat):
        for name, framework in (("clear-bench", ours), ("mteb", theirs)):
            warm.asked = 0
            started = time.process_time()
            cells[name] = framework(warm, task, pairs)
            spent[name].append(time.process_time() - started)
            asked[name] = warm.asked
    worst = max(abs(cells["clear-bench"][pair] - cells["mteb"][pair]) for pair in pairs)
    base = median(spent["mteb"])
    rows = [(name, middle(s), f"1/{base / median(s):.1f}", f"{asked[name]:,}") for name, s in spent.items()]
    size = f"{len(chosen)} x {len(chosen)} languages, {len(pairs)} pairs, each text's vector given for nothing."
    same = f"Largest difference of a cell (nDCG@10): {worst:.1e}."
    text = table(("framework", "CPU s", "of mteb", "texts encoded"), rows)
    report("matrix", "The framework alone", f"{size} {same}\n\n{text}", write=arguments.write)


if __name__ == "__main__":
    main()
