"""Search beside its peers in one process: raw FAISS, torch's product alone; memory and time over the corpus size.

python benchmarks/search.py [--rows 100000] [--queries 1000] [--depth 100] [--repeat 3]
python benchmarks/search.py --pair           one pair of a 12 x 12 matrix: 1,000 queries on 240 passages
python benchmarks/search.py --memory         RssAnon and time from memory-mapped float32 files, 100k to 2M rows
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clear_bench.search import Searcher
from clear_bench.types import Embeddings, LanguagePair

DIMENSIONS = 384
PAIR = LanguagePair("eng-Latn", "eng-Latn")
BLOCK = 65_536


def unit_vectors(rows: int, seed: int) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).standard_normal((rows, DIMENSIONS), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def ids(rows: int) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(np.arange(rows)).cast(pa.string())])


def blocks(vectors: NDArray[np.float32]) -> Embeddings:
    """Cut a corpus as the embedding store does."""
    return Embeddings(tuple(vectors[start : start + BLOCK] for start in range(0, len(vectors), BLOCK)))


def measure(work: dict[str, Callable[[], object]], repeat: int) -> dict[str, tuple[float, float]]:
    """Run each piece of work in turn, `repeat` times: median CPU and wall seconds."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in work}
    for _ in range(repeat):
        for name, step in work.items():
            cpu, wall = time.process_time(), time.perf_counter()
            step()
            times[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    return {name: (median(cpu for cpu, _ in t), median(wall for _, wall in t)) for name, t in times.items()}


def side_by_side(rows: int, queries: int, depth: int, repeat: int) -> None:
    import faiss
    import torch

    corpus, asked = unit_vectors(rows, 0), unit_vectors(queries, 1)
    flat = faiss.IndexFlatIP(DIMENSIONS)
    flat.add(corpus)
    passages, questions = torch.from_numpy(corpus), torch.from_numpy(asked)
    ours = {spec: Searcher([blocks(corpus)], ids(rows), spec, "cpu") for spec in ("faiss", "torch")}
    selected = np.arange(queries)
    work: dict[str, Callable[[], object]] = {
        "raw FAISS": lambda: flat.search(asked, depth),
        "torch matmul alone": lambda: [questions @ part.T for part in passages.split(8192)],
    }
    for spec, searcher in ours.items():
        work[f"clear-bench {spec}"] = lambda s=searcher: s.search(Embeddings((asked,)), selected, PAIR, depth)
    found = ours["faiss"].search(Embeddings((asked,)), selected, PAIR, depth)
    share = (found.positions == flat.search(asked, depth)[1]).mean()
    print(f"{queries} x {rows} x {DIMENSIONS}, depth {depth}; hits equal to raw FAISS: {share:.5%}")
    report(measure(work, repeat), "raw FAISS")


def report(times: dict[str, tuple[float, float]], base: str) -> None:
    for name, (cpu, wall) in times.items():
        print(
            f"  {name:24s} CPU {cpu:9.4f} s   wall {wall:9.4f} s   CPU / {base} {cpu / times[base][0]:.2f}", flush=True
        )


def one_pair(queries: int, depth: int, repeat: int) -> None:
    """Sizes of an XQuAD cell. The vectors share a direction, as those of real models do."""
    direction = unit_vectors(1, 2)[0]
    corpus, asked = (v + 1.5 * direction for v in (unit_vectors(240, 0), unit_vectors(queries, 1)))
    corpus, asked = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (corpus, asked))
    searcher, embeddings = Searcher([Embeddings((corpus,))], ids(240)), Embeddings((asked,))
    rows = np.arange(queries)
    work: dict[str, Callable[[], object]] = {
        "matmul alone, fp32": lambda: asked @ corpus.T,
        "clear-bench": lambda: searcher.search(embeddings, rows, PAIR, depth),
    }
    print(f"one pair: {queries} x 240 x {DIMENSIONS}, depth {depth}")
    report(measure(work, 50 * repeat), "matmul alone, fp32")


def memory(queries: int, depth: int) -> None:
    """Search memory-mapped files of growing size, each in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        for rows in (100_000, 1_000_000, 2_000_000):
            path = Path(folder) / f"{rows}.npy"
            written = np.lib.format.open_memmap(path, "w+", np.float32, (rows, DIMENSIONS))
            for start in range(0, rows, BLOCK):
                written[start : start + BLOCK] = unit_vectors(min(BLOCK, rows - start), start)
            del written
            for spec in ("faiss", "torch"):
                arguments = ["--child", str(path), "--index", spec, "--queries", str(queries), "--depth", str(depth)]
                subprocess.run([sys.executable, __file__, *arguments], check=True)
            path.unlink()


def child(path: str, spec: str, queries: int, depth: int) -> None:
    corpus, asked = np.load(path, mmap_mode="r"), unit_vectors(queries, 1)
    searcher = Searcher([blocks(corpus)], ids(len(corpus)), spec, "cpu")
    with watched() as memory:
        cpu = time.process_time()
        searcher.search(Embeddings((asked,)), np.arange(queries), PAIR, depth)
        cpu = time.process_time() - cpu
    print(
        f"  {spec:6s} {len(corpus):>9,} rows: RssAnon {memory[0]:.0f} MB, {max(memory):.0f} MB at most; {cpu:.2f} CPU s"
    )


@contextmanager
def watched() -> Iterator[list[float]]:
    """Collect the anonymous memory of this process in MB, every 10 ms until the block ends; the first was before it."""
    seen, done = [anonymous()], threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            seen.append(anonymous())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()
        seen.append(anonymous())


def anonymous() -> float:
    """Anonymous resident memory of this process in MB: mapped files do not count."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("RssAnon:")[1].split()[0]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--depth", type=int, default=100)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--pair", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--index", default="faiss", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        child(asked.child, asked.index, asked.queries, asked.depth)
    elif asked.memory:
        memory(asked.queries, asked.depth)
    elif asked.pair:
        one_pair(asked.queries, asked.depth, asked.repeat)
    else:
        side_by_side(asked.rows, asked.queries, asked.depth, asked.repeat)


if __name__ == "__main__":
    main()
