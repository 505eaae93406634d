"""Made-up results with the shape of real ones: a matrix of languages, clustered queries, a plausible manifest."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from clear_bench.documents import read_as
from clear_bench.render.records import Change, Entry
from clear_bench.store.results import KEYS, SCORES, read_result, save_result
from clear_bench.types import LanguagePair, Manifest

CODES = (
    *("eng-Latn", "ara-Arab", "deu-Latn", "ell-Grek", "spa-Latn", "hin-Deva"),
    *("ron-Latn", "rus-Cyrl", "tha-Thai", "tur-Latn", "vie-Latn", "zho-Hans"),
)


def make_scores(
    pairs: list[str],
    queries: int = 60,
    *,
    clusters: int = 12,
    level: float = 0.85,
    shift: float = 0.0,
    seed: int = 0,
    metrics: tuple[str, ...] = ("nDCG@10", "recall@10"),
) -> pa.Table:
    """Draw one score per pair, query and metric; `seed` 0 and a shift give a pair of models that differ a little."""
    rng = np.random.default_rng(5)
    own = np.random.default_rng(seed + 100)
    ease = rng.normal(0, 1, queries)
    rows = []
    for pair in pairs:
        query, passage = pair.split(":")
        hard = 0.9 * (query != "eng-Latn") + 0.6 * (passage != "eng-Latn") - 0.5 * (query == passage)
        draw = ease + rng.normal(0, 1, queries) + own.normal(0, 0.35, queries)
        ranks = np.clip(np.rint(np.exp(0.9 * (hard - draw - 4 * (level - 0.6) - 10 * shift))), 0, 12).astype(int)
        ndcg = np.where(ranks >= 10, 0.0, 1 / np.log2(ranks + 2))
        columns = {"nDCG@10": ndcg, "recall@10": (ranks < 10).astype(float)}
        columns |= {name: (ranks < 1).astype(float) for name in metrics if name not in columns}
        rows.append(
            pa.table(
                {
                    "query_language": pa.repeat(query, queries),
                    "passage_language": pa.repeat(passage, queries),
                    "query_id": pa.array([f"q{i:04d}" for i in range(queries)]),
                    "cluster_id": pa.array([f"c{i % clusters:03d}" for i in range(queries)]),
                }
                | {name: pa.array(columns[name]) for name in metrics}
            )
        )
    return pa.concat_tables(rows)


def make_manifest(
    model: str, task: str, pairs: list[str], fingerprint: str | None = None, **more: Any
) -> dict[str, Any]:
    print_ = fingerprint or hashlib.sha256(model.encode()).hexdigest()
    sides = {side for pair in pairs for side in pair.split(":")}
    manifest: dict[str, Any] = {
        "identity": f"{print_}-{task}",
        "kind": "measured",
        "model": {
            "name": model,
            "slug": f"model-{print_[:8]}",
            "revision": None,
            "fingerprint": print_,
            "weights_digest": hashlib.sha256(print_.encode()).hexdigest(),
            "prompts": {"query": "query: ", "passage": "passage: "},
            "similarity": "cosine",
            "max_seq_length": 512,
            "precision": "fp32",
            "licence": "MIT",
            "trained_on": [],
        },
        "task": {
            "name": task,
            "title": f"{task.upper()} test",
            "main_metric": "nDCG@10",
            "metrics": ["nDCG@10", "recall@10"],
            "cluster": "passage",
            "licence": "CC-BY-SA-4.0",
            "instruction": "",
            "source": {"path": "."},
        },
        "pairs": pairs,
        "partial": False,
        "limit": None,
        "run_depth": 10,
        "digests": {
            "question": hashlib.sha256(task.encode()).hexdigest(),
            "queries": dict.fromkeys(sorted(sides), "1" * 64),
            "corpora": dict.fromkeys(sorted(sides), "2" * 64),
            "qrels": dict.fromkeys(pairs, "3" * 64),
        },
        "counts": {"encoded": 10},
        "created": "2026-11-20T10:00:00+00:00",
        "seconds": {"encode": 1.0},
        "command": ["clear-bench", "run", "--model", model, "--tasks", task],
        "versions": {"clear-bench": "0.1.0", "numpy": "2.3.0"},
        "machine": {"system": "Linux", "architecture": "x86_64"},
    }
    return manifest | more


def as_manifest(content: dict[str, Any]) -> Manifest:
    """Return a made-up document as the value, whether or not it would pass as a result's."""
    return read_as(Manifest, content, "a made manifest")


def matrix(codes: list[str] | tuple[str, ...]) -> list[str]:
    return [f"{query}:{passage}" for query in codes for passage in codes]


def save(
    out: Path,
    model: str = "org/small",
    task: str = "xquad",
    codes: list[str] | tuple[str, ...] = CODES,
    *,
    pairs: list[str] | None = None,
    fingerprint: str | None = None,
    scores: dict[str, Any] | None = None,
    **more: Any,
) -> Path:
    """Write a sealed result folder and give its path."""
    pairs = pairs or matrix(codes)
    manifest = make_manifest(model, task, pairs, fingerprint, **more)
    table = make_scores(pairs, **(scores or {}))

    manifest["task"]["metrics"] = [name for name in table.column_names if name not in KEYS]

    def write(folder: Path) -> Manifest:
        pq.write_table(table, folder / SCORES)
        return as_manifest(manifest)

    return save_result(out / manifest["model"]["slug"] / task, write)


HOSTILE = "org/x|<script>alert(1)</script>$\\frac{[/bold]::error::\x1b[31m"
SMALL = CODES[:4]


def entry(
    folder: Path, name: str = "org/next", *, codes: tuple[str, ...] = SMALL, shift: float = 0.02, base: bool = True
) -> Entry:
    """Save two results and put them together as a report does."""
    from clear_bench.api.summary import summarise_results
    from clear_bench.compare import Resampling, compare

    draw: dict[str, Any] = {"queries": 40, "clusters": 10}
    new = [read_result(save(folder, name, codes=codes, scores=draw | {"seed": 1, "shift": shift}))]
    if not base:
        return Entry(summarise_results(new))
    old = [read_result(save(folder, "org/base", codes=codes, scores=draw))]
    gains = compare(old, new, trained={"eng-Latn", "deu-Latn"}, resampling=Resampling(200))
    changes = [
        Change(LanguagePair("deu-Latn", "eng-Latn"), "q1", 0.1, 1.0, "Wie?", [("relevant", "p1", "The <b>Rhine</b>.")]),
        Change(LanguagePair("ara-Arab", "eng-Latn"), "q2", 1.0, 0.0),
    ]
    return Entry(summarise_results(new), gains, changes, 0.01, summarise_results(old))


def with_space(one: Entry, name: str) -> Entry:
    """Add the geometry of made-up vectors; `name` is what the model and every passage are called."""
    from clear_bench.geometry import Cell, Hub, Picture, Space, changes

    rng = np.random.default_rng(0)
    codes = one.summary.sides[1]
    clusters = np.arange(20)

    def cells(value: float) -> list[Cell]:
        pairs = [(a, b) for a in codes for b in codes if a != b]
        parts = [rng.normal(value, 0.02, 20) for _ in pairs]
        return [
            Cell(name, "passage", *pair, float(part.mean()), part, clusters, 20)
            for name in ("translation_cosine", "translation_contrast")
            for pair, part in zip(pairs, parts, strict=True)
        ]

    now = cells(0.9)
    places = rng.normal(size=(len(codes), 5, 2))
    picture = Picture(codes, places[:, 0], places[:, 1:], (name,) * 4, (0.3, 0.1))
    space = Space(name, one.summary.task, now, [Hub(codes[0], name, 9, 2.0)], picture)
    return replace(one, space=space, moved=changes(cells(0.8), now))
