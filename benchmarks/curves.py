"""Cost curves beside peers: CPU and memory against corpus size, against queries, and against the number of languages.

    python benchmarks/curves.py [--full] [--parts corpus,queries,languages] [--write]
    python benchmarks/curves.py --parts corpus --sizes 10000,100000,1000000 --pictures FOLDER

`corpus` and `queries` search made-up vectors of 384 dimensions, mapped from a temporary file, k = 100. Each point of
each peer is a process of its own: one search that is not timed, of which the added anonymous memory is reported (what
the peer built for the corpus included), then --repeat timed ones. `languages` evaluates L x L pairs of a made-up
parallel collection with an encoder that looks its vectors up, in clear-bench and in mteb in turn, from reading the
texts to results on disk; the texts that each asks for are counted. Without --full the largest sizes are left out. A
product of 10,000 queries x 100,000 passages, which torch holds as a whole, takes 4 GB. --write puts tables into
RESULTS.md and pictures beside it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import sections
from chart import chart
from memory import need_disk, write
from sections import middle, report, table

OURS, FAISS, TORCH, MTEB = "clear-bench", "raw FAISS", "torch matmul, topk", "mteb"
SIZES = {
    "corpus": ("10000,30000,100000,300000", ",1000000"),
    "queries": ("10,100,1000", ",10000"),
    "languages": ("2,4,6", ",8,12"),
}
"""What is measured, and what --full adds."""

SECONDS = "CPU seconds, medians"

Vectors = Any  # Any: float32 rows, mapped or not


@dataclass(frozen=True, slots=True)
class Point:
    """What one framework spent at one size."""

    cpu: list[float]
    memory: float = 0.0
    """Anonymous MB added at most."""
    texts: int = 0
    """Texts that it asked the encoder for."""


Curves = dict[str, dict[int, Point]]


def open_ours(corpus: Vectors, queries: Vectors, depth: int) -> Callable[[], object]:
    from search import PAIR, blocks, ids

    from clear_bench.search import Searcher
    from clear_bench.types import Embeddings

    searcher, rows = Searcher([blocks(corpus)], ids(len(corpus)), "auto", "cpu"), np.arange(len(queries))
    return lambda: searcher.search(Embeddings((queries,)), rows, PAIR, depth)


def open_faiss(corpus: Vectors, queries: Vectors, depth: int) -> Callable[[], object]:
    import faiss

    flat = faiss.IndexFlatIP(corpus.shape[1])
    flat.add(corpus)
    return lambda: flat.search(queries, depth)


def open_torch(corpus: Vectors, queries: Vectors, depth: int) -> Callable[[], object]:
    import torch

    passages, questions = torch.from_numpy(corpus), torch.from_numpy(queries)
    return lambda: torch.topk(questions @ passages.T, depth)


def open_mteb(corpus: Vectors, queries: Vectors, depth: int) -> Callable[[], object]:
    from peers import mteb_search

    return lambda: mteb_search(corpus, queries, depth)


SEARCHES = {OURS: open_ours, FAISS: open_faiss, TORCH: open_torch, MTEB: open_mteb}


def child(asked: argparse.Namespace) -> Point:
    """Measure one search in this process."""
    from search import unit_vectors, watched

    # Copy on write: torch refuses to be quiet about arrays that it must not change.
    corpus = np.load(Path(asked.child) / "vectors.npy", mmap_mode="c")[: asked.rows]
    queries = unit_vectors(asked.queries, 1)
    # A search of a few rows imports and starts what it needs, before memory is looked at.
    SEARCHES[asked.peer](corpus[:10], queries[:1], 5)()
    with watched() as memory:
        step = SEARCHES[asked.peer](corpus, queries, asked.depth)
        step()
    spent = []
    for _ in range(asked.repeat):
        cpu = time.process_time()
        step()
        spent.append(time.process_time() - cpu)
    return Point(spent, max(memory) - memory[0])


def searches(sizes: Sequence[tuple[int, int]], key: int, asked: argparse.Namespace) -> Curves:
    """Measure every peer at every (rows, queries); `key` says which of them the curves run over."""
    found: Curves = {name: {} for name in SEARCHES}
    largest = max(rows for rows, _ in sizes)
    with TemporaryDirectory(dir=asked.folder) as folder:
        need_disk(folder, largest * 400 * 4)
        write(Path(folder), largest, "float32")
        for size in sizes:
            for name in SEARCHES:
                numbers = {"--rows": size[0], "--queries": size[1], "--depth": asked.depth, "--repeat": asked.repeat}
                words = [str(part) for pair in numbers.items() for part in pair]
                command = [sys.executable, __file__, "--child", folder, "--peer", name, *words]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                found[name][size[key]] = Point(**json.loads(done.stdout.splitlines()[-1]))
                _tell(name, size[key], found[name][size[key]])
    return found


def corpus(sizes: Sequence[int], asked: argparse.Namespace) -> None:
    found = searches([(rows, asked.queries) for rows in sizes], 0, asked)
    head = f"{asked.queries:,} queries, 384 dimensions, float32, k = {asked.depth}; mapped file, page cache warm."
    memory = [[f"{found[name][size].memory:.0f}" for name in found] for size in sizes]
    rows = [(f"{size:,}", *row) for size, row in zip(sizes, memory, strict=True)]
    added = f"Anonymous memory added, MB:\n\n{table(('passages', *found), rows)}"
    drawn = {
        "corpus": _draw(found, _cpu, "CPU of a search over the corpus", "passages", SECONDS),
        "memory": _draw(
            found, lambda p: max(1.0, p.memory), "Memory of a search over the corpus", "passages", "anonymous MB added"
        ),
    }
    tables = f"{head}\n\n{_costs(found, 'passages', FAISS)}\n\n{added}"
    _publish("corpus", "Cost over the corpus", tables, drawn, asked)


def queries(sizes: Sequence[int], asked: argparse.Namespace) -> None:
    found = searches([(asked.rows, count) for count in sizes], 1, asked)
    head = f"{asked.rows:,} passages, 384 dimensions, float32, k = {asked.depth}; mapped file, page cache warm."
    drawn = {"queries": _draw(found, _cpu, "CPU of a search over the queries", "queries", SECONDS)}
    _publish("queries", "Cost over the queries", f"{head}\n\n{_costs(found, 'queries', FAISS)}", drawn, asked)


def languages(sizes: Sequence[int], asked: argparse.Namespace) -> None:
    found = evaluations(sizes, asked.texts, asked.repeat)
    head = (
        f"L x L pairs of {asked.texts[0]:,} queries on {asked.texts[1]:,} passages a language; each text's vector is "
        "given for nothing. From reading the texts to results on disk."
    )
    rows = [
        (str(size), f"{size**2}", *(f"{found[name][size].texts:,}" for name in found), str(2 * size), str(2 * size**2))
        for size in sizes
    ]
    columns = ("languages", "pairs", *(f"texts, {name}" for name in found), "sets, 2L", "sets, 2L²")
    drawn = {
        "languages": _draw(found, _cpu, "CPU of an L x L matrix", "languages", SECONDS),
        "texts": _draw(found, lambda p: p.texts, "Texts encoded for an L x L matrix", "languages", "texts"),
    }
    body = f"{head}\n\n{_costs(found, 'languages', MTEB)}\n\n{table(columns, rows)}"
    _publish("languages", "Cost over the languages", body, drawn, asked)


def evaluations(sizes: Sequence[int], texts: tuple[int, int], repeat: int) -> Curves:
    """Evaluate L x L pairs in both frameworks in turn."""
    from matrix import FreeEncoder, ours, theirs
    from pairs import CODES, make_collection

    from clear_bench.tasks import load_card

    found: Curves = {OURS: {}, MTEB: {}}
    with TemporaryDirectory() as folder:
        make_collection(Path(folder), max(sizes), *texts)
        task, encoder = load_card(Path(folder, "card.toml")), FreeEncoder()
        theirs(encoder, task, list(task.pairs[:1]))  # imports what mteb imports
        for size in sizes:
            pairs = [pair for pair in task.pairs if {pair.query, pair.passage} <= set(CODES[:size])]
            ours(encoder, task, pairs)  # draws every vector once
            spent: dict[str, list[float]] = {name: [] for name in found}
            counts = {}
            for _ in range(repeat):
                for name, framework in ((OURS, ours), (MTEB, theirs)):
                    encoder.asked, cpu = 0, time.process_time()
                    framework(encoder, task, pairs)
                    spent[name].append(time.process_time() - cpu)
                    counts[name] = encoder.asked
            for name in found:
                found[name][size] = Point(spent[name], texts=counts[name])
                _tell(name, size, found[name][size])
    return found


def _tell(name: str, size: int, point: Point) -> None:
    print(f"{name} at {size:,}: {middle(point.cpu)} CPU s", file=sys.stderr, flush=True)


def _cpu(point: Point) -> float:
    return median(point.cpu)


def _draw(found: Curves, value: Callable[[Point], float], title: str, across: str, up: str) -> str:
    """Draw a value of every point; a peer has one colour in all charts."""
    lines = {name: [(size, value(p)) for size, p in found.get(name, {}).items()] for name in SEARCHES}
    return chart(lines, title, across, up)


def _costs(found: Curves, size_name: str, base: str) -> str:
    """Lay out CPU seconds of all, and ours as a share of one of them."""
    rows = [
        (
            f"{size:,}",
            *(middle(points[size].cpu) for points in found.values()),
            f"{_cpu(found[OURS][size]) / _cpu(found[base][size]):.2f}",
        )
        for size in found[OURS]
    ]
    return table((size_name, *(f"{name}, CPU s" for name in found), f"clear-bench of {base}"), rows)


def _publish(name: str, title: str, body: str, drawn: Mapping[str, str], asked: argparse.Namespace) -> None:
    """Report a section; its pictures are saved where it is written, or where --pictures says."""
    folder = sections.RESULTS.parent if asked.write else asked.pictures
    for picture, svg in drawn.items() if folder else ():
        Path(folder, f"curves-{picture}.svg").write_text(svg, encoding="utf-8")
    shown = "\n".join(f"![{title}: {picture}](curves-{picture}.svg)" for picture in drawn)
    report(f"curves-{name}", title, f"{body}\n\n{shown}", write=asked.write)


PARTS = {"corpus": corpus, "queries": queries, "languages": languages}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="up to 1,000,000 passages, 10,000 queries, 12 languages")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--sizes", help="of the one part asked for, comma-separated")
    parser.add_argument("--rows", type=int, default=100_000, help="passages of `queries`")
    parser.add_argument("--queries", type=int, default=1000, help="queries of `corpus`")
    parser.add_argument("--depth", type=int, default=100)
    parser.add_argument("--texts", type=int, nargs=2, default=(1190, 240), help="queries and passages a language")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--folder", help="where the vectors are written meanwhile; default: the system's")
    parser.add_argument("--pictures", type=Path, help="save the pictures here; with --write they go beside RESULTS.md")
    parser.add_argument("--write", action="store_true", help="put tables and pictures beside the other results")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--peer", choices=list(SEARCHES), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        print(json.dumps(asdict(child(asked))))
        return
    parts = asked.parts.split(",")
    if asked.sizes and len(parts) > 1:
        parser.error("--sizes is for one part; name it with --parts")
    for name in parts:
        some, more = SIZES[name]
        sizes = [int(size) for size in (asked.sizes or some + (more if asked.full else "")).split(",")]
        PARTS[name](sizes, asked)


if __name__ == "__main__":
    main()
