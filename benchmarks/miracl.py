"""A collection of the size of MIRACL's hard negatives: what loading, searching and scoring take beside the vectors.

    python benchmarks/miracl.py [--share 1.0] [--dimensions 384] [--folder DIR] [--write]

Makes up the passages, queries and judgements of the card `miracl-hn` (18 languages, 11,076 queries, 2.4 million
passages of 500 characters) as Parquet files, and vectors in float16, in a temporary folder; at full size they and what
the runs make of them take 8 GB there, removed at the end. Then `clear_bench.evaluate` runs twice in processes of its
own: the first converts texts and stores vectors, the second finds both. Anonymous memory (RssAnon, at most) counts from
the process's start, imports included; mapped texts and vectors are not in it. Last, scoring alone: 11,076 queries x
1,000 hits.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from memory import need_disk
from metrics import METRICS, made
from search import BLOCK, watched
from sections import middle, report, table

from clear_bench.tasks import find_task

CARD = "miracl-hn"
CHARACTERS = 500
JUDGED = 10
"""Judgements a query, about as many as MIRACL's development set has; every third is positive."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    cpu: float
    wall: float
    memory: float
    """Anonymous MB at most."""
    value: float
    """nDCG@10 over all languages, so that a wrong run is seen."""


def sizes(share: float) -> dict[str, tuple[int, int]]:
    """Give queries and passages by language: those of the card, or a share of them."""
    expected = find_task(CARD).expected
    return {
        code: (max(2, round(share * counts.queries)), max(20, round(share * counts.passages)))
        for code, counts in expected.items()
    }


def make_collection(folder: Path, counts: Mapping[str, tuple[int, int]], dimensions: int) -> None:
    """Write card, texts, judgements and vectors; a query's vector lies near that of one relevant passage."""
    for side in ("corpus", "queries", "qrels", "vectors/queries", "vectors/passages"):
        (folder / side).mkdir(parents=True)
    for seed, (code, (queries, passages)) in enumerate(counts.items()):
        rng = np.random.default_rng(seed)
        _write_texts(folder / "corpus" / f"{code}.parquet", code, "p", passages)
        _write_texts(folder / "queries" / f"{code}.parquet", code, "q", queries)
        judged = np.stack([rng.choice(passages, JUDGED, replace=False) for _ in range(queries)])
        grades = np.tile(np.arange(JUDGED) % 3 == 0, (queries, 1)).astype(np.int64)
        asked = [f"q{row}" for row in np.repeat(np.arange(queries), JUDGED)]
        found = [f"p{row}" for row in judged.ravel()]
        columns = {"query-id": asked, "corpus-id": found, "score": grades.ravel()}
        pq.write_table(pa.table(columns), folder / "qrels" / f"{code}.parquet")
        vectors = _write_vectors(folder / "vectors" / "passages" / f"{code}.npy", passages, dimensions, rng)
        near = vectors[judged[:, 0]] + 0.05 * rng.standard_normal((queries, dimensions))
        np.save(folder / "vectors" / "queries" / f"{code}.npy", near.astype(np.float16))
    card = f"""name = "{CARD}-made-up"
title = "Made up"
reader = "ir"
languages = {json.dumps(list(counts))}
pairs = "monolingual"
metrics = {json.dumps(list(find_task(CARD).metrics))}
main_metric = "nDCG@10"
run_depth = 100
cluster = "query"
licence = "CC0-1.0"

[source]
path = "."

[files]
corpus = "corpus/{{code}}.parquet"
queries = "queries/{{code}}.parquet"
qrels = "qrels/{{code}}.parquet"

[codes]
"""
    codes = "".join(f'"{code}" = "{code}"\n' for code in counts)
    (folder / "card.toml").write_text(card + codes, encoding="utf-8")


def _write_texts(path: Path, code: str, prefix: str, count: int) -> None:
    schema = pa.schema([("_id", pa.string()), ("title", pa.string()), ("text", pa.string())])
    with pq.ParquetWriter(path, schema) as file:
        for start in range(0, count, BLOCK):
            rows = range(start, min(start + BLOCK, count))
            texts = [f"{code} {prefix}{row} ".ljust(CHARACTERS if prefix == "p" else 60, "x") for row in rows]
            file.write_table(pa.table([[f"{prefix}{row}" for row in rows], [""] * len(rows), texts], schema=schema))


def _write_vectors(path: Path, count: int, dimensions: int, rng: np.random.Generator) -> np.ndarray:
    vectors = np.lib.format.open_memmap(path, "w+", np.float16, (count, dimensions))
    for start in range(0, count, BLOCK):
        block = rng.standard_normal((min(BLOCK, count - start), dimensions), dtype=np.float32)
        vectors[start : start + BLOCK] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return vectors


def child(folder: Path) -> Evaluated:
    """Evaluate in this process, as `clear-bench run --vectors` does."""
    with watched() as memory:
        from clear_bench.api import evaluate

        cpu, wall = time.process_time(), time.perf_counter()
        with TemporaryDirectory(dir=folder) as out:
            done = evaluate(
                None, [str(folder / "card.toml")], vectors=folder / "vectors", store_dtype="float16", device="cpu",
                out=Path(out), cache_dir=folder / "cache",
            )  # fmt: skip
            value = float(np.nanmean(done.matrix(f"{CARD}-made-up", "nDCG@10").to_numpy()))
        spent = time.process_time() - cpu, time.perf_counter() - wall
    return Evaluated(*spent, max(memory), value)


def runs(share: float, dimensions: int, place: str | None) -> dict[str, Evaluated]:
    counts = sizes(share)
    passages = sum(own for _, own in counts.values())
    with TemporaryDirectory(dir=place) as name:
        # Vectors twice and texts twice: as given, and as kept.
        need_disk(name, passages * (4 * dimensions + 3 * CHARACTERS))
        folder = Path(name)
        make_collection(folder, counts, dimensions)
        command = [sys.executable, __file__, "--child", name]
        found = {}
        for run in ("first run", "second run"):
            # Converted texts belong into this folder, not among the user's own.
            environment = os.environ | {"CLEAR_BENCH_CACHE": str(folder / "cache")}
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
            found[run] = Evaluated(**json.loads(done.stdout.splitlines()[-1]))
            print(f"{run}: {found[run]}", file=sys.stderr, flush=True)
    return found


def scoring(queries: int, depth: int, repeat: int) -> list[tuple[str, str]]:
    """Time the scoring of one run that is there, for the card's metrics and for eight."""
    from clear_bench.score import score

    run, judgements = made(queries, depth, JUDGED - 2)
    rows = []
    for names in (find_task(CARD).metrics, METRICS):
        spent = []
        for _ in range(repeat):
            cpu = time.process_time()
            score(run, judgements, names)
            spent.append(time.process_time() - cpu)
        rows.append((", ".join(names), middle(spent)))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=1.0, help="of the card's queries and passages: a trial")
    parser.add_argument("--dimensions", type=int, default=384)
    parser.add_argument("--repeat", type=int, default=5, help="of the scoring")
    parser.add_argument("--folder", help="where the files are written meanwhile; default: the system's")
    parser.add_argument("--write", action="store_true", help="put the tables into RESULTS.md")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        print(json.dumps(asdict(child(asked.child))))
        return
    counts = list(sizes(asked.share).values())
    queries, passages = (sum(own) for own in zip(*counts, strict=True))
    scored = scoring(queries, 1000, asked.repeat)
    found = runs(asked.share, asked.dimensions, asked.folder)
    rows = [(n, f"{e.memory:.0f}", f"{e.cpu:.1f}", f"{e.wall:.1f}", f"{e.value:.4f}") for n, e in found.items()]
    body = (
        f"{len(counts)} languages, {queries:,} queries, {passages:,} passages, {asked.dimensions} dimensions in "
        "float16, made up. Goal: at most 2,000 MB of anonymous memory; the vectors are in the page cache alone.\n\n"
        f"{table(('evaluate', 'anonymous MB at most', 'CPU s', 'wall s', 'nDCG@10'), rows)}\n\n"
        f"Scoring alone, {queries:,} queries x 1,000 hits. Goal: at most 2 CPU s.\n\n"
        f"{table(('metrics', 'CPU s'), scored)}"
    )
    report("miracl", "MIRACL's size", body, write=asked.write)


if __name__ == "__main__":
    main()
