"""FAISS: exact search on the CPU and on all visible GPUs, and whatever its index factory builds."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from clear_bench.errors import EnvironmentFault, UsageError
from clear_bench.indexes import Index, Precision, bad_spec, check_factory
from clear_bench.indexes.rows import SMALL, Hits, Rows, check_width, empty_hits

logger = logging.getLogger(__name__)

_QUERIES, _PASSAGES = 1024, 8192
_GPU_QUERIES, _GPU_PASSAGES = 65_536, 262_144
_GPU_DEPTH = 2048
"""FAISS selects at most this many hits on a GPU."""


def open_faiss(detail: str, dimensions: int, device: str | None, precision: Precision) -> Index:
    """Open the exact index when `detail` is empty or `Flat`, else FAISS's factory index."""
    gpus = _gpus(device)
    if detail not in ("", "Flat"):
        return FaissFactory(detail, dimensions, gpus)
    if gpus:
        return FaissGpu(dimensions, gpus, precision)
    if precision != "fp32":
        raise bad_spec("faiss", f"{precision} needs a GPU here, or the index 'torch'")
    return FaissExact(dimensions)


def gpu_count() -> int:
    """Count the GPUs that FAISS can use: none where faiss-cpu is installed."""
    return int(faiss.get_num_gpus()) if hasattr(faiss, "StandardGpuResources") else 0


def _gpus(device: str | None) -> list[int]:
    if device is None:
        return list(range(gpu_count()))
    if not device.startswith("cuda"):
        return []
    if not re.fullmatch(r"cuda(:[0-9]{1,4})?", device):
        msg = f"unknown device {device!r}; known: 'cpu', 'cuda', 'cuda:0', 'mps'"
        raise UsageError(msg)
    count, chosen = gpu_count(), device.partition(":")[2]
    if not count:
        logger.warning("FAISS sees no GPU (faiss-cpu is installed, or no device is visible): searching on the CPU")
    elif chosen and int(chosen) >= count:
        msg = f"device {device!r} does not exist: FAISS sees {count} GPUs"
        raise UsageError(msg)
    return [int(chosen)] if count and chosen else list(range(count))


class FaissExact:
    """Exact search on the CPU: NumPy's BLAS multiplies block by block, FAISS's heaps keep the best.

    The BLAS inside FAISS's wheels is several years older than NumPy's: on processors newer than it, this takes a third
    of the time of `faiss.knn` (benchmarks/search.py), and the corpus is never copied.
    """

    name = "faiss"
    is_exact = True
    is_coarse = False

    def __init__(self, dimensions: int) -> None:
        self._rows = Rows(dimensions)
        self.add = self._rows.add

    @property
    def error(self) -> float:
        """See `Index.error`."""
        return self._rows.error()

    def search(self, queries: NDArray[np.float32], k: int) -> Hits:
        """See `Index.search`."""
        check_width(queries, self._rows.dimensions, "query")
        if self._rows.is_small:
            return self._rows.search_small(queries, k)
        best = _Heaps(len(queries), min(k, len(self._rows)))
        room = np.empty(_QUERIES * _PASSAGES, dtype=np.float32)
        for start, vectors in self._rows.stream(_PASSAGES):
            for row in range(0, len(queries), _QUERIES):
                part = queries[row : row + _QUERIES]
                block = room[: len(part) * len(vectors)].reshape(len(part), len(vectors))
                np.matmul(part, vectors.T, out=block)
                best.push(row, start, block)
        return best.sorted()


class _Heaps:
    """The best hits so far of every query."""

    def __init__(self, queries: int, k: int) -> None:
        self._hits = empty_hits(queries, k)
        self._heaps = faiss.float_minheap_array_t()
        self._heaps.nh, self._heaps.k = queries, k
        self._heaps.val, self._heaps.ids = map(faiss.swig_ptr, self._hits)
        self._heaps.heapify()

    def push(self, row: int, start: int, similarities: NDArray[np.float32]) -> None:
        """Offer a block [queries from `row` on, passages from `start` on]."""
        queries, passages = similarities.shape
        self._heaps.addn(passages, faiss.swig_ptr(similarities), start, row, queries)

    def push_hits(self, similarities: NDArray[np.float32], positions: NDArray[np.int64]) -> None:
        """Offer hits of every query, [q, any]."""
        width = similarities.shape[1]
        self._heaps.addn_with_ids(
            width, faiss.swig_ptr(similarities), faiss.swig_ptr(positions), width, 0, len(positions)
        )

    def sorted(self) -> Hits:
        """Return the hits, descending. The heaps cannot be used again."""
        self._heaps.reorder()
        return self._hits


class FaissGpu:
    """Exact search on GPUs: the corpus streams through them in blocks, so it may be larger than their memory."""

    is_exact = True

    def __init__(self, dimensions: int, gpus: list[int], precision: Precision) -> None:
        if precision == "bf16":
            raise bad_spec("faiss", "bf16 is not offered on a GPU; use fp16, or the index 'torch'")
        self.name = f"faiss:gpu x{len(gpus)} {precision}"
        self._rows = Rows(dimensions)
        self.add = self._rows.add
        self._precision = precision
        self._gpus = {gpu: faiss.StandardGpuResources() for gpu in gpus}
        self._size = _GPU_PASSAGES

    @property
    def error(self) -> float:
        """See `Index.error`."""
        return self._rows.error(self._precision)

    @property
    def is_coarse(self) -> bool:
        """See `Index.is_coarse`."""
        return not self._rows.is_small and self._precision != "fp32"

    def search(self, queries: NDArray[np.float32], k: int) -> Hits:
        """See `Index.search`."""
        check_width(queries, self._rows.dimensions, "query")
        if self._rows.is_small:
            return self._rows.search_small(queries, k)
        k = min(k, len(self._rows))
        # Beyond the selection's limit a block must not hold more passages than can be selected from it.
        size = self._size if k <= _GPU_DEPTH else _GPU_DEPTH
        best = _Heaps(len(queries), k)
        stream = self._rows.blocks(size) if self._rows.is_measured else self._rows.stream(size)
        with ThreadPoolExecutor(len(self._gpus)) as pool:
            while batch := list(islice(stream, len(self._gpus))):
                found = pool.map(lambda gpu, item: list(self._hits(gpu, queries, k, *item)), self._gpus, batch)
                for hits in found:
                    for similarities, positions in hits:
                        best.push_hits(similarities, positions)
        return best.sorted()

    def _hits(
        self, gpu: int, queries: NDArray[np.float32], k: int, start: int, block: NDArray[np.floating]
    ) -> Iterator[Hits]:
        """Search a block on one GPU, in halves when it has too little memory."""
        dtype = np.dtype(np.float16 if self._precision == "fp16" else np.float32)
        vectors: NDArray[np.floating] = np.ascontiguousarray(block, dtype=dtype)
        xq: NDArray[np.floating] = queries.astype(dtype, copy=False)
        done = 0
        while done < len(vectors):
            piece = vectors[done : done + self._size]
            try:
                similarities, positions = _knn_gpu(self._gpus[gpu], gpu, xq, piece, min(k, len(piece)))
            except RuntimeError as fault:
                if not re.search(r"out of memory|alloc fail", str(fault), re.IGNORECASE):
                    raise
                self._halve(len(piece), fault)
                continue
            yield similarities, positions + (start + done)
            done += len(piece)

    def _halve(self, size: int, fault: RuntimeError) -> None:
        if size < 2 * SMALL:
            msg = f"GPU out of memory with a block of {size:,} passages: free it, or search with --device cpu"
            raise EnvironmentFault(msg) from fault
        logger.warning("GPU out of memory with a block of %d passages: halving it", size)
        self._size = size // 2


def _knn_gpu(resources: object, gpu: int, queries: NDArray[np.floating], vectors: NDArray[np.floating], k: int) -> Hits:
    similarities, positions = empty_hits(len(queries), k)
    for row in range(0, len(queries), _GPU_QUERIES):
        part = slice(row, row + _GPU_QUERIES)
        faiss.knn_gpu(
            resources, queries[part], vectors, k, similarities[part], positions[part],
            metric=faiss.METRIC_INNER_PRODUCT, device=gpu,
        )  # fmt: skip
    return similarities, positions


class FaissFactory:
    """Approximate search as the factory string says, e.g. `IVF1024,Flat:nprobe=32`; trained and filled at first use.

    Unless told, an inverted file visits a sixteenth of its lists: FAISS's own default of one list misses too much.
    """

    is_exact = False
    is_coarse = False
    error = 0.0

    def __init__(self, detail: str, dimensions: int, gpus: list[int]) -> None:
        self.name = f"faiss:{detail}"
        check_factory(detail)
        factory, _, self._parameters = detail.partition(":")
        self._rows = Rows(dimensions)
        self.add = self._rows.add
        self._gpus = gpus
        self._index = self._refuse(lambda: faiss.index_factory(dimensions, factory, faiss.METRIC_INNER_PRODUCT))
        self._lists = self._inverted_lists()
        parameters = self._parameters or (f"nprobe={max(1, self._lists // 16)}" if self._lists else "")
        if parameters:
            self._refuse(lambda: faiss.ParameterSpace().set_index_parameters(self._index, parameters))

    def build(self) -> None:
        """Train on an even sample and add every row that is not in yet."""
        if not self._index.is_trained:
            sample = self._rows.sample(max(100_000, 64 * self._lists))
            self._refuse(lambda: self._index.train(sample))
            self._move_to_gpus()
        if self._index.ntotal == len(self._rows):
            return
        for start, vectors in self._rows.stream(_PASSAGES):
            if start >= self._index.ntotal:
                self._index.add(vectors)

    def search(self, queries: NDArray[np.float32], k: int) -> Hits:
        """See `Index.search`."""
        check_width(queries, self._rows.dimensions, "query")
        self.build()
        found = self._refuse(lambda: self._index.search(np.ascontiguousarray(queries), min(k, len(self._rows))))
        similarities, positions = found
        similarities[positions < 0] = np.nan
        return similarities, positions

    def _inverted_lists(self) -> int:
        ivf = faiss.try_extract_index_ivf(self._index)
        return int(ivf.nlist) if ivf is not None else 0

    def _move_to_gpus(self) -> None:
        if not self._gpus:
            return
        options = faiss.GpuMultipleClonerOptions()
        options.shard = True
        try:
            self._index = faiss.index_cpu_to_gpus_list(self._index, options, self._gpus)
        except RuntimeError as fault:
            logger.warning("%s does not run on a GPU, searching on the CPU: %s", self.name, _reason(fault))

    def _refuse(self, step: Callable[[], Any]) -> Any:  # Any: FAISS has no types
        """Run a step. FAISS's refusal is an error of the index that the user named."""
        try:
            return step()
        except RuntimeError as fault:
            raise bad_spec(self.name, f"FAISS says: {_reason(fault)}") from fault


def _reason(fault: RuntimeError) -> str:
    """Remove function name and source line from FAISS's message."""
    return re.sub(r"^Error in .*?\.(?:cpp|cu|h):\d+: ", "", str(fault), flags=re.DOTALL).strip()
