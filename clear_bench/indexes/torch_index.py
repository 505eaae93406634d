"""torch: exact search on the CPU, on all visible CUDA devices and on Apple's GPU, streaming with a running top-k."""

from __future__ import annotations

import logging
import warnings
from itertools import cycle

import numpy as np
import torch
from numpy.typing import NDArray

from clear_bench.errors import EnvironmentFault, UsageError
from clear_bench.indexes import Index, Precision, bad_spec
from clear_bench.indexes.rows import SMALL, Arithmetic, Hits, Rows, check_width, empty_hits

logger = logging.getLogger(__name__)

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
_ARITHMETIC: dict[str, Arithmetic] = {"highest": "fp32", "high": "tf32", "medium": "bf16"}
_CPU_BLOCK, _GPU_BLOCK = (256, 32_768), (4096, 65_536)
"""Queries and passages that are multiplied at once."""
_CHUNK = 32


def open_torch(detail: str, dimensions: int, device: str | None, precision: Precision) -> Index:
    """Open the exact index; torch has no others."""
    if detail:
        raise bad_spec(f"torch:{detail}", "torch searches exactly and takes no factory string")
    return TorchExact(dimensions, _devices(device), precision)


def _devices(name: str | None) -> list[torch.device]:
    """List what a device name means: `cuda` is every visible one, None the fastest kind there is."""
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        msg = f"unknown device {name!r}; known: 'cpu', 'cuda', 'cuda:0', 'mps'"
        raise UsageError(msg) from None
    if device.type == "cuda" and not torch.cuda.is_available():
        msg = f"device {name!r}: torch sees no CUDA device; use --device cpu or install a CUDA build of torch"
        raise EnvironmentFault(msg)
    if device.type == "cuda" and device.index is None:
        return [torch.device("cuda", i) for i in range(torch.cuda.device_count())]
    return [device]


class TorchExact:
    """Exact search; each device takes every n-th block of the corpus and keeps its own best hits."""

    is_exact = True

    def __init__(self, dimensions: int, devices: list[torch.device], precision: Precision = "fp32") -> None:
        kind = devices[0].type
        self.name = "torch" if (kind, precision) == ("cpu", "fp32") else f"torch:{kind} x{len(devices)} {precision}"
        self._rows = Rows(dimensions)
        self.add = self._rows.add
        self._devices, self._precision = devices, precision
        self._block = _CPU_BLOCK if kind == "cpu" else _GPU_BLOCK

    @property
    def is_coarse(self) -> bool:
        """See `Index.is_coarse`."""
        return not self._rows.is_small and self._arithmetic() != "fp32"

    @property
    def error(self) -> float:
        """See `Index.error`."""
        return self._rows.error(self._arithmetic())

    @torch.inference_mode()
    def search(self, queries: NDArray[np.float32], k: int) -> Hits:
        """See `Index.search`."""
        check_width(queries, self._rows.dimensions, "query")
        if self._rows.is_small:
            return self._rows.search_small(queries, k)
        k = min(k, len(self._rows))
        if not len(queries):
            return empty_hits(0, k)
        lanes = [_Lane(device, queries, k, self._block, _DTYPES[self._precision]) for device in self._devices]
        for lane, (start, block) in zip(cycle(lanes), self._rows.blocks(self._block[1])):
            lane.offer(start, block, measure=not self._rows.is_measured)
        self._take_norms(lanes)
        return _merge_lanes(lanes, len(queries), k)

    def _arithmetic(self) -> Arithmetic:
        # A program that trains may have allowed faster, coarser products.
        allowed = _ARITHMETIC[torch.get_float32_matmul_precision()]
        return allowed if self._precision == "fp32" else self._precision

    def _take_norms(self, lanes: list[_Lane]) -> None:
        used = [lane.squares for lane in lanes if lane.squares is not None]
        if used:
            smallest, largest = torch.stack([squares.cpu() for squares in used]).unbind(dim=1)
            self._rows.measured(float(smallest.min()) ** 0.5, float(largest.max()) ** 0.5, self._block[1])


class _Lane:
    """One device: the queries on it and their best hits so far."""

    def __init__(
        self, device: torch.device, queries: NDArray[np.float32], k: int, block: tuple[int, int], dtype: torch.dtype
    ) -> None:
        self.device, self.k, self.dtype = device, k, dtype
        self.limit = block[1]
        self.squares: torch.Tensor | None = None
        """Smallest and largest squared norm of the rows seen, [2]."""
        self.queries = [
            _tensor(queries[row : row + block[0]]).to(device, dtype) for row in range(0, len(queries), block[0])
        ]
        self.best: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._load = _PinnedLoader(device) if device.type == "cuda" else None

    def offer(self, start: int, block: NDArray[np.floating], measure: bool) -> None:
        """Search a block, in halves from where the device's memory does not suffice."""
        done = 0
        while done < len(block):
            piece = block[done : done + self.limit]
            if self._fits(start + done, piece, measure):
                done += len(piece)
            else:
                self._halve(len(piece))

    def _fits(self, start: int, piece: NDArray[np.floating], measure: bool) -> bool:
        # The caller goes on after this frame is gone: a traceback would keep the tensors alive that filled the memory.
        try:
            self._search(start, piece, measure)
        except torch.OutOfMemoryError:
            return False
        return True

    def _search(self, start: int, piece: NDArray[np.floating], measure: bool) -> None:
        raw = self._load(piece) if self._load else _tensor(piece).to(self.device)
        squares = self._measure(raw) if measure else self.squares
        passages = raw.to(self.dtype).T
        best = []
        for i, queries in enumerate(self.queries):
            values, indices = _top(queries @ passages, self.k)
            hits = values.float(), indices + start
            best.append(_merge(self.best[i], hits, self.k) if self.best else hits)
        self.best, self.squares = best, squares  # all or nothing: a piece that failed is offered again

    def _measure(self, raw: torch.Tensor) -> torch.Tensor:
        squares = raw.float().square().sum(dim=1)
        extremes = torch.stack([squares.amin(), squares.amax()])
        if self.squares is None:
            return extremes
        return torch.stack([torch.minimum(self.squares[0], extremes[0]), torch.maximum(self.squares[1], extremes[1])])

    def _halve(self, size: int) -> None:
        if size < 2 * SMALL:
            msg = f"{self.device} is out of memory with {size:,} passages at once: free it, or search with --device cpu"
            raise EnvironmentFault(msg)
        logger.warning("%s is out of memory with a block of %d passages: halving it", self.device, size)
        self.limit = size // 2
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


class _PinnedLoader:
    """Copies blocks to a CUDA device through two pinned buffers, while the device still works on the block before."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._buffers: list[tuple[torch.Tensor, torch.cuda.Event] | None] = [None, None]
        self._turn = 0

    def __call__(self, block: NDArray[np.floating]) -> torch.Tensor:
        self._turn ^= 1
        buffer, copied = self._buffer(block)
        copied.synchronize()  # the copy before the last, from this buffer, is over
        np.copyto(buffer[: len(block)].numpy(), block)
        working = torch.cuda.current_stream(self._device)
        with torch.cuda.stream(self._stream):
            moved = buffer[: len(block)].to(self._device, non_blocking=True)
            copied.record(self._stream)
        working.wait_event(copied)
        moved.record_stream(working)
        return moved

    def _buffer(self, block: NDArray[np.floating]) -> tuple[torch.Tensor, torch.cuda.Event]:
        kept = self._buffers[self._turn]
        dtype = torch.float16 if block.dtype == np.float16 else torch.float32
        if kept is None or len(kept[0]) < len(block) or kept[0].dtype != dtype:
            kept = torch.empty(block.shape, dtype=dtype, pin_memory=True), torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._buffers[self._turn] = kept
        return kept


def _tensor(array: NDArray[np.floating]) -> torch.Tensor:
    """View an array as a tensor without a copy, a read-only memory map too: nothing here writes to it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(np.ascontiguousarray(array))


def _top(similarities: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pick the k largest of each row, unsorted: from the k chunks with the largest maxima, which hold them all."""
    queries, passages = similarities.shape
    chunks = passages // _CHUNK
    if chunks * _CHUNK != passages or chunks < 4 * k:
        values, indices = torch.topk(similarities, min(k, passages), dim=1, sorted=False)
        return values, indices
    maxima = similarities.view(queries, _CHUNK, chunks).amax(dim=1)
    kept = torch.topk(maxima, k, dim=1, sorted=False).indices
    steps = torch.arange(0, passages, chunks, device=similarities.device)
    columns = (kept[:, :, None] + steps).flatten(1)
    values, indices = torch.topk(similarities.gather(1, columns), k, dim=1, sorted=False)
    return values, columns.gather(1, indices)


def _merge(
    best: tuple[torch.Tensor, torch.Tensor], hits: tuple[torch.Tensor, torch.Tensor], k: int, ordered: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    values, positions = torch.cat([best[0], hits[0]], dim=1), torch.cat([best[1], hits[1]], dim=1)
    values, chosen = torch.topk(values, min(k, values.shape[1]), dim=1, sorted=ordered)
    return values, positions.gather(1, chosen)


def _merge_lanes(lanes: list[_Lane], queries: int, k: int) -> Hits:
    """Bring the hits of all devices together, descending."""
    best = torch.empty((queries, 0)), torch.empty((queries, 0), dtype=torch.int64)
    for lane in lanes:
        if lane.best:
            values, positions = (torch.cat(parts).cpu() for parts in zip(*lane.best, strict=True))
            best = _merge(best, (values, positions), k, ordered=True)
    return best[0].numpy(), best[1].numpy()
