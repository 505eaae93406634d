"""Factory strings reach FAISS only where it survives them."""

from __future__ import annotations

import os

import numpy as np
import pytest

from clear_bench.errors import UsageError
from clear_bench.indexes import check_backend
from clear_bench.indexes.factory import factory_problem

faiss = pytest.importorskip("faiss")

ABORTS = ("HNSW0", "HNSW1", "RR0,Flat", "PQ4x0", "RQ0x8", "RQ4x0", "IVF4_HNSW0,Flat", "IVF4_HNSW1,Flat", "NSG0", "NSG1")
"""What FAISS 1.15 ends the process for, by an assertion, a bad address or an endless loop."""


@pytest.mark.parametrize(
    "detail",
    [
        *ABORTS,
        *("IVF0,Flat", "PQ0", "OPQ0,Flat", "PCA0,Flat", "IVF99999999,Flat", "HNSW99999", "RR65536,Flat", "PQ4x25"),
        *("", ",", "Flat,", "HNSW-1", "HNSW32 ", "hnsw32", "IVF١,Flat", "IVF" + "9" * 5000 + ",Flat", "Idontknow"),
        *("IVF4,Flat:nprobe=0", "IVF4,Flat:nprobe=-1", "HNSW4:efSearch=2000000000", "Flat,RFlat:k_factor_rf=1e9"),
        *("IVF4,Flat:nprobe=nan", "IVF4,Flat:nprobe", "IVF4,Flat:verbose=3", "IVF4,Flat:nprobe=4:nprobe=4"),
    ],
    ids=lambda text: text[:40],
)
def test_strings_that_faiss_does_not_survive_or_understand_are_refused(detail: str) -> None:
    with pytest.raises(UsageError, match="index 'faiss:"):
        check_backend(f"faiss:{detail}" if detail else "faiss:,")


@pytest.mark.parametrize(
    "detail",
    [
        *("Flat", "HNSW32", "HNSW", "HNSW16,Flat:efSearch=64", "NSG32,Flat", "IVF1024,Flat:nprobe=32", "IVF4096,PQ48"),
        *(
            "IVF65536_HNSW32,SQ8",
            "OPQ16_64,IVF1024,PQ16x4fs,RFlat:nprobe=8,k_factor_rf=4",
            "PCAR64,SQfp16",
            "PQ64x4fsr",
        ),
        *("HNSW32_SQ8", "HNSW16_PQ8", "PCAW32,HNSW32", "ITQ64,Flat", "L2norm,Pad64,Flat", "IVF64,RaBitQ", "RQ4x8"),
        *("PQ16np,Refine(SQ8)", "PQ64x4fsr", "IVF64_HNSW,Flat"),
    ],
)
def test_strings_that_faiss_understands_are_taken(detail: str) -> None:
    assert factory_problem(detail) is None


@pytest.mark.slow
@pytest.mark.parametrize("dimensions", [1, 7, 16])
@pytest.mark.parametrize("rows", [2, 40])
def test_faiss_survives_what_is_taken_at_its_bounds(dimensions: int, rows: int) -> None:
    codes = ("Flat", "SQ4", "SQ6", "SQ8", "SQfp16", "SQbf16", "PQ1x1", "PQ4x2", "PQ1x16", "PQ1x4fs", "RaBitQ", "RQ1x1")
    graphs = [f"{name}{links}{end}" for name in ("HNSW", "NSG") for links in ("", 2, 3, 1024) for end in ("", "_SQ8")]
    inverted = [f"IVF{lists}{end},{code}" for lists in (1, 7) for end in ("", "_HNSW2", "_HNSW1024") for code in codes]
    before = [
        f"{name},Flat" for name in ("PCA1", "PCAWR16", "OPQ1", "OPQ1_1", "OPQ4_64", "RR1", "RR100", "ITQ", "Pad64")
    ]
    after = [f"{code},{end}" for code in ("Flat", "PQ4x2", "IVF2,SQ8") for end in ("RFlat", "Refine(SQ8)")]
    found = {}
    for detail in (*codes, *graphs, *inverted, *before, *after):
        assert factory_problem(detail) is None, detail
        found[detail] = _fate(detail, dimensions, rows)
    assert not {detail: end for detail, end in found.items() if end != 0}


def _fate(detail: str, dimensions: int, rows: int) -> int:
    """Build and search an index in a process of its own; 0 also where FAISS says what it does not like."""
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            vectors = np.random.default_rng(0).normal(size=(rows, dimensions)).astype(np.float32)
            index = faiss.index_factory(dimensions, detail, faiss.METRIC_INNER_PRODUCT)
            index.train(vectors)
            index.add(vectors)
            index.search(vectors, min(10, rows))
        except RuntimeError:
            pass
        os._exit(0)
    return os.waitpid(child, 0)[1]
