"""clear-bench beside its peers in one run: a language matrix, search, scoring, and what one more pair costs.

    python benchmarks/peers.py [CARD] [--full] [--languages ar,de,en,zh] [--parts matrix,search,score,pair] [--write]

The matrix is 4 x 4 of the card's languages (12 x 12 with --full), every framework in a process of its own, on the same
checkpoint, texts and threads; seconds start after imports, and the model's loading counts. The matrix is run once, the
other parts at least three times; --repeat asks for more. Without a card, XQuAD is loaded from the hub. mteb takes about
an hour for 144 cells on two cores: --peers "clear-bench;mteb, L cells, times L" has it measure the 12 cells of a
language with itself, and multiplies, for mteb encodes both sides of each cell anew; the loading is left out then.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from sections import middle, report, table

from clear_bench import languages
from clear_bench.api.plan import Plan, make_plan
from clear_bench.models import open_checkpoint
from clear_bench.settings import ModelSettings
from clear_bench.tasks import find_task
from clear_bench.types import Checkpoint, LanguagePair

Cells = dict[LanguagePair, float]
Loaded = tuple[Any, list[int]]
"""A model, and how many texts each call asked it for."""
BASE, DIAGONAL = "mteb", "mteb, L cells, times L"


def clear_bench(checkpoint: Checkpoint, plan: Plan, cache: Path) -> tuple[Cells, int]:
    from clear_bench.api import evaluate

    with TemporaryDirectory() as out:
        options = {"precision": checkpoint.precision, "cache_dir": cache, "out": Path(out)}
        done = evaluate(str(checkpoint.path), [plan], **options)
        matrix = done.matrix(plan.task.name, "nDCG@10")
        counts = done.scores[plan.task.name].provenance.counts
    return {pair: float(matrix.loc[pair.query, pair.passage]) for pair in plan.pairs}, counts.encoded_texts


def with_mteb(
    checkpoint: Checkpoint, plan: Plan, cache: Path, variant: str = "", loaded: Loaded | None = None
) -> tuple[Cells, int]:
    import mteb
    from mteb.models.cache_wrappers import CachedEmbeddingWrapper
    from mteb.models.search_encoder_index import FaissSearchIndex
    from mteb.models.search_wrappers import SearchEncoderWrapper
    from mteb_cells import cells_by_mteb

    model, asked = loaded or counting(checkpoint)
    wrapped: Any = mteb.SentenceTransformerEncoderWrapper(model)
    if variant == "cache":
        wrapped = CachedEmbeddingWrapper(wrapped, cache)
    if variant == "faiss":
        wrapped = SearchEncoderWrapper(wrapped, index_backend=FaissSearchIndex(wrapped))
    return cells_by_mteb(wrapped, plan), sum(asked)


def on_the_diagonal(checkpoint: Checkpoint, plan: Plan, cache: Path, loaded: Loaded) -> tuple[Cells, int]:
    """Let mteb measure one cell a language: together they ask for each text once, and the whole matrix L times."""
    own = [pair for pair in plan.pairs if pair.query == pair.passage]
    part = make_plan(plan.task, own, metric_names=["nDCG@10"], limit=plan.limit)
    return with_mteb(checkpoint, part, cache, loaded=loaded)


def with_library(checkpoint: Checkpoint, plan: Plan, cache: Path) -> tuple[Cells, int]:
    """sentence-transformers' own evaluator, one call a pair, as its documentation shows."""
    from mteb_cells import relevant
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

    model, asked = counting(checkpoint)
    cells = {}
    for pair in plan.pairs:
        queries, passages = plan.query_texts[pair.query], plan.passage_texts[pair.passage]
        wanted = {name: {p for p, g in own.items() if g > 0} for name, own in relevant(plan, pair).items()}
        evaluator = InformationRetrievalEvaluator(
            dict(zip(queries.ids.to_pylist(), queries.text.to_pylist(), strict=True)),
            dict(zip(passages.ids.to_pylist(), passages.text.to_pylist(), strict=True)),
            wanted,
            query_prompt=checkpoint.prompts.get("query"),
            corpus_prompt=checkpoint.prompts.get("passage"),
            write_csv=False,
        )
        cells[pair] = float(evaluator(model)["cosine_ndcg@10"])
    return cells, sum(asked)


def counting(checkpoint: Checkpoint) -> Loaded:
    """Load the checkpoint with sentence-transformers and count the texts that it is asked for."""
    from sentence_transformers import SentenceTransformer

    asked: list[int] = []

    class Counting(SentenceTransformer):
        def encode(self, *arguments: Any, **settings: Any) -> Any:
            asked.append(len(arguments[0] if arguments else settings.get("sentences", settings.get("inputs"))))
            return super().encode(*arguments, **settings)

    return Counting(str(checkpoint.path), device="cpu", local_files_only=True), asked


PEERS: dict[str, tuple[Callable[..., tuple[Cells, int]], dict[str, Any]]] = {
    "clear-bench": (clear_bench, {}),
    "clear-bench, warm store": (clear_bench, {}),
    "clear-bench, bf16": (clear_bench, {}),
    BASE: (with_mteb, {}),
    DIAGONAL: (on_the_diagonal, {}),
    "mteb, FaissSearchIndex": (with_mteb, {"variant": "faiss"}),
    "mteb, CachedEmbeddingWrapper": (with_mteb, {"variant": "cache"}),
    "InformationRetrievalEvaluator": (with_library, {}),
}


def child(name: str, asked: argparse.Namespace) -> None:
    """Measure one framework in this process and print JSON."""
    # Imported before the clock starts, whoever needs them.
    import faiss  # noqa: F401
    import mteb  # noqa: F401
    import sentence_transformers  # noqa: F401

    precision = "bf16" if name.endswith("bf16") else "fp32"
    checkpoint = open_checkpoint(asked.model, ModelSettings(precision=precision))
    plan = the_plan(asked)
    step, settings = PEERS[name]
    if name == DIAGONAL:
        settings = {"loaded": counting(checkpoint)}  # once for the whole matrix, so it must not be multiplied
    with TemporaryDirectory() as folder:
        if "warm" in name:
            step(checkpoint, plan, Path(folder))
        cpu, wall = time.process_time(), time.perf_counter()
        cells, texts = step(checkpoint, plan, Path(folder), **settings)
        spent = time.process_time() - cpu, time.perf_counter() - wall
    times = len(plan.pairs) / len(cells)
    values = [cells.get(pair) for pair in plan.pairs]
    measured = {"cpu": times * spent[0], "wall": times * spent[1], "texts": round(times * texts), "cells": values}
    print(json.dumps(measured))


def the_plan(asked: argparse.Namespace) -> Plan:
    task = find_task(asked.card)
    chosen = [languages.canonical(code) for code in asked.languages.split(",")] if asked.languages else task.languages
    kept = set(chosen if asked.full or asked.languages else chosen[:4])
    pairs = [pair for pair in task.pairs if {pair.query, pair.passage} <= kept]
    return make_plan(task, pairs, metric_names=["nDCG@10"], limit=asked.limit)


def matrix(asked: argparse.Namespace) -> None:
    chosen = asked.peers.split(";") if asked.peers else [name for name in PEERS if name != DIAGONAL]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in chosen}
    for _ in range(asked.repeat):
        for name in chosen:
            arguments = [a for a in sys.argv[1:] if a != "--write"]
            done = subprocess.run(
                [sys.executable, __file__, *arguments, "--child", name], check=True, stdout=subprocess.PIPE, text=True
            )
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
            print(f"{name}: {found[name][-1]['wall']:.1f} s", file=sys.stderr, flush=True)
    base = found.get(BASE) or found.get(DIAGONAL) or found[chosen[0]]
    rows = [_matrix_row(name, runs, base) for name, runs in found.items()]
    plan = the_plan(asked)
    texts = [sum(map(len, sets.values())) for sets in (plan.query_texts, plan.passage_texts)]
    often = "Each ran once." if asked.repeat == 1 else f"In turn, {asked.repeat} times."
    side = len(plan.query_texts)
    size = f"{asked.model} on {plan.task.name}: {len(plan.pairs)} pairs, {texts[0]:,} queries, {texts[1]:,} passages."
    columns = ("framework", "CPU s", "of mteb", "wall s", "of mteb", "texts encoded", "largest difference of a cell")
    report(
        f"matrix-of-a-model-{side}",
        f"A matrix of {side} languages with a real model",
        f"{size} {often}\n\n{table(columns, rows)}",
        write=asked.write,
    )


def _matrix_row(name: str, runs: list[dict[str, Any]], base: list[dict[str, Any]]) -> tuple[str, ...]:
    def both(key: str) -> tuple[str, str]:
        own, other = ([run[key] for run in side] for side in (runs, base))
        return middle(own), f"{median(own) / median(other):.3f}"

    cells, others = (np.array(side[-1]["cells"], dtype=float) for side in (runs, base))
    return name, *both("cpu"), *both("wall"), f"{runs[-1]['texts']:,}", f"{np.nanmax(np.abs(cells - others)):.1e}"


def timed(work: dict[str, Callable[[], object]], repeat: int) -> dict[str, list[float]]:
    """CPU seconds of each piece of work, in turn."""
    spent: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(repeat):
        for name, step in work.items():
            start = time.process_time()
            step()
            spent[name].append(time.process_time() - start)
    return spent


def rows_of(times: dict[str, list[float]], base: str) -> list[tuple[str, ...]]:
    return [(name, middle(t), f"{median(t) / median(times[base]):.2f}") for name, t in times.items()]


def search(asked: argparse.Namespace) -> None:
    import faiss
    import torch
    from search import PAIR, blocks, ids, unit_vectors

    from clear_bench.search import Searcher
    from clear_bench.types import Embeddings

    count, queries = asked.rows, 1000
    corpus, vectors = unit_vectors(count, 0), unit_vectors(queries, 1)
    flat = faiss.IndexFlatIP(corpus.shape[1])
    flat.add(corpus)
    searcher = Searcher([blocks(corpus)], ids(count), "faiss", "cpu")
    passages, questions = torch.from_numpy(corpus), torch.from_numpy(vectors)
    mteb_search(corpus[:10], vectors[:1], 5)  # imports what mteb imports
    texts = []
    for depth in (100, 1000):
        own = lambda depth=depth: searcher.search(Embeddings((vectors,)), np.arange(queries), PAIR, depth)  # noqa: E731
        work: dict[str, Callable[[], object]] = {
            "clear-bench": own,
            "raw FAISS": lambda depth=depth: flat.search(vectors, depth),
            "torch matmul and topk": lambda depth=depth: torch.topk(questions @ passages.T, depth),
            BASE: lambda depth=depth: mteb_search(corpus, vectors, depth),
        }
        equal = (own().positions == flat.search(vectors, depth)[1]).mean()
        rows = rows_of(timed(work, max(3, asked.repeat)), "raw FAISS")
        texts.append(
            f"k = {depth}; hits equal to raw FAISS: {equal:.4%}\n\n" + table(("search", "CPU s", "of FAISS"), rows)
        )
    head = f"{queries:,} queries on {count:,} passages of 384 dimensions, float32, CPU."
    report("search", "Search", "\n\n".join([head, *texts]), write=asked.write)


def mteb_search(corpus: Any, queries: Any, depth: int) -> object:
    """mteb's default search, given the vectors: chunks of 50,000 passages, torch.topk, and heaps of Python tuples."""
    import torch
    from mteb.models.search_wrappers import chunked_full_corpus_search

    class Corpus:
        """As much of a data set as the search needs: it slices rows and hands them to `encode`."""

        def __init__(self, rows: range) -> None:
            self.rows = rows

        def __len__(self) -> int:
            return len(self.rows)

        def __getitem__(self, name: str) -> list[str]:
            return [str(row) for row in self.rows]

        def select(self, rows: range) -> Corpus:
            return Corpus(self.rows[rows.start : rows.stop])

    import mteb.models.search_wrappers as module

    original = module.create_dataloader
    module.create_dataloader = lambda part, *_, **__: part  # type: ignore[assignment]
    try:
        return chunked_full_corpus_search(
            task_corpus=Corpus(range(len(corpus))),  # type: ignore[arg-type]
            corpus_chunk_size=50_000,
            query_idx_to_id={i: str(i) for i in range(len(queries))},
            query_embeddings=torch.from_numpy(queries),
            task_metadata=None,  # type: ignore[arg-type]
            hf_subset="default",
            hf_split="test",
            top_k=depth,
            encode_kwargs={"show_progress_bar": False},
            encode_fn=lambda part, **_: torch.from_numpy(corpus[part.rows.start : part.rows.stop]),
            similarity_fn=lambda one, other: one @ other.T,
            search_k_offset=1,
        )
    finally:
        module.create_dataloader = original


def score(asked: argparse.Namespace) -> None:
    """nDCG@10 and recall@100 of one run in every library that can compute them."""
    import pytrec_eval
    from metrics import made, oracle_input

    from clear_bench.score import score as ours

    run, judgements = made(1000, 100, 1)
    hits, qrels = oracle_input(run, judgements)
    oracle = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10", "recall.100"})
    work: dict[str, Callable[[], object]] = {
        "clear-bench": lambda: ours(run, judgements, ("nDCG@10", "recall@100")),
        "pytrec_eval": lambda: oracle.evaluate(hits),
    }
    missing = [name for name in ("ir_measures", "ranx") if not add_scorer(name, work, qrels, hits)]
    for step in work.values():
        step()
    text = table(("scorer", "CPU s", "of pytrec_eval"), rows_of(timed(work, max(3, asked.repeat)), "pytrec_eval"))
    note = f"\n\nNot installed: {', '.join(missing)}." if missing else ""
    head = "One run of 1,000 queries x 100 hits, nDCG@10 and recall@100; each peer's input was made beforehand."
    report("score", "Scoring", f"{head}\n\n{text}{note}", write=asked.write)


def add_scorer(name: str, work: dict[str, Callable[[], object]], qrels: Any, hits: Any) -> bool:
    try:
        if name == "ir_measures":
            import ir_measures
            from ir_measures import R, nDCG

            evaluator = ir_measures.evaluator([nDCG @ 10, R @ 100], qrels)
            work["ir-measures"] = lambda: list(evaluator.iter_calc(hits))
        else:
            import ranx

            truth, run = ranx.Qrels(qrels), ranx.Run(hits)
            work["ranx"] = lambda: ranx.evaluate(truth, run, ["ndcg@10", "recall@100"])
    except ModuleNotFoundError:
        return False
    return True


def pair(asked: argparse.Namespace) -> None:
    """Search, score and lay out pairs of 1,000 queries; vectors and the passage side's index are there."""
    from matrix import FreeEncoder

    from clear_bench.api.cells import cells, run_table, score_table
    from clear_bench.api.retrievers.open import open_retriever
    from clear_bench.disk import cache_at

    asked.limit = 1000
    plan = the_plan(asked)
    with TemporaryDirectory() as cache, cache_at(cache):
        ready = open_retriever(FreeEncoder(), name="free").prepare(plan)
        step = lambda: [(score_table(plan, cell), run_table(plan, cell)) for cell in cells(plan, ready)]  # noqa: E731
        step()
        spent = [1000 * t / len(plan.pairs) for t in timed({"": step}, max(5, asked.repeat))[""]]
    sizes = {len(texts) for texts in plan.passage_texts.values()}
    size = f"{len(plan.pairs)} pairs of {plan.task.name}, up to 1,000 queries x {max(sizes)} passages"
    head = f"{size}: search, score, tables."
    report("pair", "One more pair", f"{head} CPU ms a pair: {middle(spent)} (goal: at most 5).", write=asked.write)


PARTS = {"matrix": matrix, "search": search, "score": score, "pair": pair}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("card", nargs="?", default="xquad", help="task name, or the path of a card; default: xquad")
    parser.add_argument("--model", default="embedded:me5-small-q4")
    parser.add_argument("--full", action="store_true", help="all languages of the card instead of the first 4")
    parser.add_argument("--languages", help="these languages")
    parser.add_argument("--limit", type=int, help="first N queries of each language: a trial")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--peers", help="of the matrix, with semicolons: " + "; ".join(PEERS))
    parser.add_argument("--rows", type=int, default=1_000_000, help="passages of the search")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="put the sections into RESULTS.md")
    parser.add_argument("--child", choices=list(PEERS), help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.child:
        child(asked.child, asked)
        return
    for name in asked.parts.split(","):
        PARTS[name](asked)


if __name__ == "__main__":
    main()
