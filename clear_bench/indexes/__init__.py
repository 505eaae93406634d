"""Open an index: inner-product search over row positions. One file per backend, imported when first used."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, Protocol, cast

from clear_bench import registry
from clear_bench.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from clear_bench.quantise import Coding

Precision = Literal["fp32", "fp16", "bf16"]

INDEXES = {
    "faiss": "clear_bench.indexes.faiss_index:open_faiss",
    "torch": "clear_bench.indexes.torch_index:open_torch",
}
"""Backends that search exactly -> function that opens one."""
QUANTISED: dict[Coding, int] = {"int8": 4, "binary": 16}
"""Index of codes -> default number of candidates for each hit."""


class Index(Protocol):
    """Finds the passages with the largest inner product; cosine is the inner product of unit vectors."""

    @property
    def name(self) -> str:
        """What searched, for the manifest: `faiss`, `torch:cuda fp16`, `faiss:IVF1024,Flat`."""
        ...

    @property
    def is_exact(self) -> bool:
        """Whether `search` finds all hits, up to its rounding error."""
        ...

    @property
    def is_coarse(self) -> bool:
        """Whether it multiplies in less than float32. Its hits are candidates, whose similarity is computed again."""
        ...

    @property
    def error(self) -> float:
        """Bound on a similarity's distance from the true one, for a query of length 1; known after a search."""
        ...

    def add(self, vectors: NDArray[np.floating]) -> None:
        """Append rows, float32 or float16 [n, d]; they are kept by reference and read when a search needs them."""
        ...

    def search(self, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Find the `min(k, n)` best rows of each query: similarities, descending, and positions, both [q, min(k, n)].

        Where an approximate index finds fewer, the position is -1 and the similarity NaN. Raises `InputError` when a
        row that it reads is not finite or is all zero.
        """
        ...


def open_index(spec: str, dimensions: int, device: str | None = None, precision: Precision = "fp32") -> Index:
    """Open an empty index: `auto`, `faiss`, `torch`, or `faiss:FACTORY[:PARAMETERS]` as FAISS's factory spells it.

    `int8` and `binary`, or `int8:N`, keep codes in memory and rescore N times the hits asked for from the rows.
    `auto` is FAISS where it is installed and can use the device, else torch. Without a device it is the GPUs that the
    backend sees, else the CPU. Below fp32 an exact index is coarse, and the hits of a `Run` are still those of fp32.
    """
    backend, _, detail = spec.partition(":")
    if backend in QUANTISED:
        from clear_bench.indexes.quantised import Quantised

        candidates = open_index("auto", dimensions, device, precision)
        return Quantised(backend, oversampling(spec), dimensions, candidates)
    if backend == "auto":
        backend = _automatic(device)
    try:
        opened = registry.load(_known(backend))
    except ModuleNotFoundError as error:
        if error.name not in {"faiss", "torch"}:
            raise
        raise MissingExtraError(error.name, "cpu") from None
    return cast("Callable[..., Index]", opened)(detail, dimensions, device, precision)


def check_backend(spec: str, width: Callable[[], int | None] = lambda: None) -> None:
    """Refuse an index that is mistyped or not installed before hours are spent on encoding.

    Without a factory string nothing is imported; with one, FAISS is asked whether it builds such an index for vectors
    of this width, where it is known yet.
    """
    backend, _, detail = spec.partition(":")
    if backend in QUANTISED:
        oversampling(spec)
    elif backend != "auto" and _known(backend) and find_spec(backend) is None:
        raise MissingExtraError(backend, "cpu")
    elif detail:
        if backend == "faiss":
            check_factory(detail)
        if dimensions := width():
            open_index(spec, dimensions, "cpu")


def check_factory(detail: str) -> None:
    """Refuse a factory string of FAISS that is mistyped, or whose numbers would end the process."""
    from clear_bench.indexes.factory import factory_problem

    if problem := factory_problem(detail):
        raise bad_spec(f"faiss:{detail}", problem)


def oversampling(spec: str) -> int:
    """Return the number of candidates for each hit in an index of codes: 4 for `int8:4`."""
    coding, colon, times = spec.partition(":")
    if not colon:
        return QUANTISED[cast("Coding", coding)]
    if not re.fullmatch(r"0*[1-9][0-9]{0,8}", times):
        raise bad_spec(spec, f"after the colon stands how many candidates are rescored for each hit, as in {coding}:8")
    return int(times)


def bad_spec(spec: str, reason: str) -> UsageError:
    """Return the error for an index that cannot be opened."""
    known = "'faiss', 'torch', 'int8', 'binary:16', 'faiss:IVF1024,Flat' or 'faiss:HNSW32'"
    return UsageError(f"index {spec!r}: {reason}; try {known}")


def _known(backend: str) -> str:
    return registry.lookup({"auto": "", **INDEXES, **dict.fromkeys(QUANTISED, "")}, backend, "index")


def _automatic(device: str | None) -> str:
    if find_spec("faiss") is None:
        return "torch"
    if device is None or device.startswith("cpu"):
        return "faiss"
    from clear_bench.indexes.faiss_index import gpu_count

    return "faiss" if device.startswith("cuda") and gpu_count() else "torch"
