"""Many pairs of one parallel collection, with precomputed vectors: what a further pair costs once texts are encoded.

    python benchmarks/pairs.py [--languages 30] [--queries 900] [--passages 488] [--write]

The collection is made up, in the size of Belebele's 30 largest languages unless told otherwise. Prints CPU seconds of
`clear_bench.evaluate` after imports, results and hits written to disk, and milliseconds a pair.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from sections import middle, report, table

from clear_bench.api import evaluate

CODES = """
eng-Latn ara-Arab ben-Beng bul-Cyrl ces-Latn dan-Latn deu-Latn ell-Grek spa-Latn est-Latn
fin-Latn fra-Latn heb-Hebr hin-Deva hun-Latn ind-Latn ita-Latn jpn-Jpan kor-Hang lit-Latn
nld-Latn pol-Latn por-Latn ron-Latn rus-Cyrl swa-Latn tam-Taml tha-Thai tur-Latn vie-Latn
""".split()  # noqa: SIM905  # thirty names read better so
WIDTH = 384


def make_collection(folder: Path, languages: int, queries: int, passages: int) -> None:
    """Write a card with its texts, and vectors in which a query lies near its passage in every language."""
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((passages, WIDTH))
    answers = np.arange(queries) % passages
    for side in ("corpus", "queries", "vectors/queries", "vectors/passages"):
        (folder / side).mkdir(parents=True)
    for code in CODES[:languages]:
        for side, count in (("corpus", passages), ("queries", queries)):
            rows = ({"_id": f"{side[0]}{i}", "title": "", "text": f"{side} {i} {code}"} for i in range(count))
            text = "".join(json.dumps(row) + "\n" for row in rows)
            (folder / side / f"{code}.jsonl").write_text(text, encoding="utf-8")
        for side, points in (("passages", shared), ("queries", shared[answers])):
            vectors = points + 2.5 * rng.standard_normal(points.shape) + 3.0
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            np.save(folder / "vectors" / side / f"{code}.npy", vectors.astype(np.float32))
    judged = "".join(f"q{i}\tc{answer}\t1\n" for i, answer in enumerate(answers))
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + judged, encoding="utf-8")
    (folder / "card.toml").write_text(
        f"""name = "made-up"
title = "Made up"
reader = "jsonl"
languages = {json.dumps(CODES[:languages])}
pairs = "all"
metrics = ["nDCG@10", "recall@1", "recall@100", "MRR@100"]
main_metric = "nDCG@10"
cluster = "passage"
licence = "CC0-1.0"

[source]
path = "."

[files]
corpus = "corpus/{{code}}.jsonl"
queries = "queries/{{code}}.jsonl"
qrels = "qrels.tsv"
""",
        encoding="utf-8",
    )


def measure(folder: Path, pairs: list[str] | None) -> tuple[float, int]:
    """Give CPU seconds and pairs of one evaluation."""
    with TemporaryDirectory() as results:
        started = time.process_time()
        done = evaluate(
            None, [str(folder / "card.toml")], pairs=pairs or ["all"], vectors=folder / "vectors",
            out=Path(results, "results"), cache_dir=Path(results, "cache"),
        )  # fmt: skip
        spent = time.process_time() - started
        (scores,) = done.scores.values()
        return spent, scores.provenance.counts.pairs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--languages", type=int, default=30)
    parser.add_argument("--queries", type=int, default=900)
    parser.add_argument("--passages", type=int, default=488)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="put the table into RESULTS.md")
    arguments = parser.parse_args()
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_collection(folder, arguments.languages, arguments.queries, arguments.passages)
        measure(folder, ["en:en"])  # imports what an evaluation imports
        diagonal = [f"{code}:{code}" for code in CODES[: arguments.languages]]
        spent: dict[str, list[float]] = {"all pairs": [], "one pair a language": []}
        counts = {}
        for _ in range(arguments.repetitions):
            for name, pairs in (("all pairs", None), ("one pair a language", diagonal)):
                seconds, counts[name] = measure(folder, pairs)
                spent[name].append(seconds)
    rows = [(name, f"{counts[name]:,}", middle(times)) for name, times in spent.items()]
    a, b = spent
    further = [1000 * (x - y) / (counts[a] - counts[b]) for x, y in zip(spent[a], spent[b], strict=True)]
    size = f"{arguments.languages} languages, {arguments.queries:,} queries on {arguments.passages:,} passages each."
    body = f"{size} One more pair: {middle(further)} ms.\n\n{table(('', 'pairs', 'CPU s'), rows)}"
    name = f"pairs-{arguments.languages}x{arguments.queries}x{arguments.passages}"
    report(name, "Pairs on precomputed vectors", body, write=arguments.write)


if __name__ == "__main__":
    main()
