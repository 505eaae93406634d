"""Memory and time of exact search over mapped files of growing size, each size in a process of its own.

    python benchmarks/memory.py [--sizes 1000000,2000000,4000000,8000000,10000000] [--dtype float16|float32]
                                [--folder DIR] [--write]

Vectors and ids are written once, at the largest size, into a temporary folder that is removed at the end; a size is
the first rows of them. 10 million rows of 384 dimensions take 7.7 GB of disk in float16, 15.4 GB in float32; too
little free disk is said before anything is written. The folder has to be on a disk: files of a tmpfs are memory.

Anonymous memory (RssAnon, at most, both searches) is what a run needs; mapped files only fill the page cache, which
the system takes back when it needs to. Each size is searched twice: first after the kernel was asked to drop the
vectors from its page cache (`posix_fadvise`; it drops what no other process maps), then at once again. The first shows
the disk, the second the work; where the file is larger than free memory, both read the disk. CPU seconds are those of
the second search. T(2N)/T(N) compares a size with the largest one measured that is at most half of it; where that is
not exactly half, the ratio is scaled to one doubling.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from search import BLOCK, DIMENSIONS, PAIR, blocks, unit_vectors, watched
from sections import middle, report, table

from clear_bench.search import Searcher
from clear_bench.types import Embeddings

SPARE = 2**30
"""Bytes of disk that stay free."""
COLUMNS = (
    *("passages", "RssAnon before, MB", "added by the search, MB", "CPU s", "wall s"),
    *("wall s, cache dropped", "T(2N)/T(N), CPU"),
)


@dataclass(frozen=True, slots=True)
class Measured:
    rows: int
    before: float
    """Anonymous memory before the search, MB; ids and file handles are open."""
    peak: float
    cpu: float
    wall: float
    cold: float
    """Wall seconds of the first search, for which the page cache was dropped."""


def need_disk(folder: str | Path, needed: int) -> None:
    """End the script with what is missing, before a file is written."""
    free = shutil.disk_usage(folder).free
    if free < needed + SPARE:
        raise SystemExit(f"{needed / 1e9:.1f} GB are needed in {folder}, {free / 1e9:.1f} GB are free; see --folder")


def write(folder: Path, rows: int, dtype: str) -> None:
    written = np.lib.format.open_memmap(folder / "vectors.npy", "w+", np.dtype(dtype), (rows, DIMENSIONS))
    with pa.OSFile(str(folder / "ids.arrow"), "wb") as file, pa.ipc.new_file(file, ID) as ids:
        for start in range(0, rows, BLOCK):
            end = min(start + BLOCK, rows)
            written[start:end] = unit_vectors(end - start, start)
            ids.write(pa.record_batch([pa.array(np.arange(start, end)).cast(pa.string())], schema=ID))
    written.flush()


ID = pa.schema([("id", pa.string())])


def drop_cache(path: Path) -> None:
    """Ask the kernel to forget a file's pages; they are on disk already."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def child(folder: Path, rows: int, queries: int, depth: int) -> Measured:
    drop_cache(folder / "vectors.npy")
    corpus, asked = np.load(folder / "vectors.npy", mmap_mode="r")[:rows], unit_vectors(queries, 1)
    ids = pa.ipc.open_file(pa.memory_map(str(folder / "ids.arrow"))).read_all()["id"].slice(0, rows)
    searcher = Searcher([blocks(corpus)], ids, "auto", "cpu")
    spent = []
    with watched() as memory:
        for _ in range(2):
            cpu, wall = time.process_time(), time.perf_counter()
            searcher.search(Embeddings((asked,)), np.arange(queries), PAIR, depth)
            spent.append((time.process_time() - cpu, time.perf_counter() - wall))
    (_, cold), (cpu, wall) = spent
    return Measured(rows, memory[0], max(memory), cpu, wall, cold)


def measure(
    sizes: Sequence[int], queries: int, depth: int, folder: str | None = None, dtype: str = "float16"
) -> list[Measured]:
    need_disk(folder or tempfile.gettempdir(), max(sizes) * (DIMENSIONS * np.dtype(dtype).itemsize + 16))
    found = []
    with tempfile.TemporaryDirectory(dir=folder) as place:
        write(Path(place), max(sizes), dtype)
        for rows in sizes:
            numbers = {"--child": place, "--sizes": rows, "--queries": queries, "--depth": depth}
            command = [sys.executable, __file__, *(str(part) for pair in numbers.items() for part in pair)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found.append(Measured(**json.loads(done.stdout)))
            print(f"{rows:,} rows: {found[-1].cpu:.1f} CPU s", file=sys.stderr, flush=True)
    return found


def per_doubling(times: dict[int, float], rows: int) -> float | None:
    """Give what twice the rows cost, from the largest size that is at most half of these.

    >>> per_doubling({1: 3.0, 4: 12.0}, 4), per_doubling({1: 3.0, 4: 12.0}, 1)
    (2.0, None)
    """
    smaller = [size for size in times if 2 * size <= rows]
    if not smaller:
        return None
    half = max(smaller)
    return (times[rows] / times[half]) ** (1 / math.log2(rows / half))


def lines(found: Sequence[Measured]) -> list[tuple[str, ...]]:
    times = {one.rows: one.cpu for one in found}
    rows = []
    for one in found:
        ratio = per_doubling(times, one.rows)
        memory = f"{one.before:.0f}", f"{one.peak - one.before:.0f}"
        spent = (middle([seconds]) for seconds in (one.cpu, one.wall, one.cold))
        rows.append((f"{one.rows:,}", *memory, *spent, f"{ratio:.2f}" if ratio else ""))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1000000,2000000,4000000,8000000,10000000", help="rows, comma-separated")
    parser.add_argument("--dtype", default="float16", choices=["float16", "float32"], help="of the file")
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--depth", type=int, default=100)
    parser.add_argument("--folder", help="where the files are written meanwhile; default: the system's")
    parser.add_argument("--write", action="store_true", help="put the table into RESULTS.md")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    sizes = [int(rows) for rows in asked.sizes.split(",")]
    if asked.child:
        print(json.dumps(asdict(child(asked.child, *sizes, asked.queries, asked.depth))))
        return
    found = measure(sizes, asked.queries, asked.depth, asked.folder, asked.dtype)
    head = (
        f"{asked.queries:,} queries, {DIMENSIONS} dimensions, {asked.dtype} on disk, k = {asked.depth}, CPU. Anonymous "
        "memory; the mapped file is in the page cache alone. Goals: memory flat, T(2N)/T(N) from 1.8 to 2.2."
    )
    body = f"{head}\n\n{table(COLUMNS, lines(found))}"
    report("memory", "Memory and time over the corpus", body, write=asked.write)


if __name__ == "__main__":
    main()
