from __future__ import annotations

import logging
import sys
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa
import pytest
import torch
from numpy.typing import NDArray

from clear_bench import indexes
from clear_bench.errors import EnvironmentFault, InputError, MissingExtraError, UsageError
from clear_bench.indexes import (
    INDEXES,
    QUANTISED,
    Index,
    check_backend,
    faiss_index,
    open_index,
    oversampling,
    quantised,
    rows,
    torch_index,
)
from clear_bench.indexes.rows import rounding_error
from clear_bench.quantise import CodedRows, Coding, code
from clear_bench.search import Searcher, recall_against_exact
from clear_bench.types import Embeddings, LanguagePair

CPU = torch.device("cpu")


@pytest.fixture(params=sorted(INDEXES))
def spec(request: pytest.FixtureRequest) -> str:
    """Every row of the table searches exactly under its plain name."""
    return str(request.param)


@pytest.fixture(params=["small", "streamed"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Search as a small corpus is, or stream blocks so narrow that every loop turns several times."""
    if request.param == "streamed":
        stream_narrowly(monkeypatch)
    return str(request.param)


def stream_narrowly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "SMALL", 1)
    monkeypatch.setattr(faiss_index, "_QUERIES", 7)
    monkeypatch.setattr(faiss_index, "_PASSAGES", 64)
    monkeypatch.setattr(torch_index, "_CPU_BLOCK", (7, 64))


def vectors(count: int, dimensions: int = 12, seed: int = 0) -> NDArray[np.float32]:
    """Make vectors of very different lengths."""
    generator = np.random.default_rng(seed)
    lengths = generator.uniform(0.1, 30, (count, 1))
    return (lengths * generator.standard_normal((count, dimensions))).astype(np.float32)


def assert_exact(index: Index, passages: NDArray[np.float32], queries: NDArray[np.float32], k: int) -> None:
    """Compare with float64: values within the index's own bound, and no better passage left out."""
    similarities, positions = index.search(queries, k)
    true = queries.astype(np.float64) @ passages.T.astype(np.float64)
    assert similarities.shape == positions.shape == (len(queries), min(k, len(passages)))
    assert similarities.dtype == np.float32
    assert positions.dtype == np.int64
    bound = index.error * np.linalg.norm(queries, axis=1)[:, None]
    assert (np.abs(np.take_along_axis(true, positions, axis=1) - similarities) <= bound).all()
    assert (np.abs(-np.sort(-true, axis=1)[:, : positions.shape[1]] - similarities) <= bound).all()
    assert (np.diff(similarities, axis=1) <= 0).all()
    assert all(len(set(found)) == len(found) for found in positions.tolist())


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 200, 1024, 1025])
@pytest.mark.parametrize("k", [1, 10, 100, 5000])
def test_exact_index_equals_float64_on_unnormalised_vectors(spec: str, path: str, count: int, k: int) -> None:
    passages, queries = vectors(count), vectors(20, seed=1)
    index = open_index(spec, 12, "cpu")
    index.add(passages)
    assert_exact(index, passages, queries, k)


def test_rows_keep_their_position_over_several_additions(spec: str, path: str) -> None:
    passages, queries = vectors(300), vectors(9, seed=1)
    index = open_index(spec, 12, "cpu")
    for part in np.split(passages, [1, 64, 65, 190]):
        index.add(part)
    assert_exact(index, passages, queries, 10)
    index.add(1000 * queries / np.linalg.norm(queries, axis=1, keepdims=True))  # long, so nearest by direction
    assert (index.search(queries, 1)[1][:, 0] == 300 + np.arange(9)).all()


def test_integer_similarities_are_exact_and_negative_ones_are_found(spec: str, path: str) -> None:
    passages = np.array([[-3, 1], [-5, 1], [-4, 1]] * 30, dtype=np.float32)
    index = open_index(spec, 2, "cpu")
    index.add(passages)
    similarities, positions = index.search(np.array([[1, 0]], dtype=np.float32), 31)
    assert similarities[0].tolist() == [-3.0] * 30 + [-4.0]
    assert sorted(positions[0, :30].tolist()) == list(range(0, 90, 3))


def test_half_precision_rows_of_a_read_only_file_are_searched_where_they_lie(
    spec: str, path: str, tmp_path: Path
) -> None:
    stored = vectors(500).astype(np.float16)
    np.save(tmp_path / "half.npy", stored)
    np.save(tmp_path / "single.npy", stored.astype(np.float32))
    for name in ("half", "single"):
        index = open_index(spec, 12, "cpu")
        index.add(np.load(tmp_path / f"{name}.npy", mmap_mode="r"))
        assert_exact(index, stored.astype(np.float32), vectors(9, seed=1), 10)


def test_other_memory_layouts_and_types_are_taken(spec: str, path: str) -> None:
    passages = vectors(300)
    for given in (np.asfortranarray(passages), passages.astype(np.float64)):
        index = open_index(spec, 12, "cpu")
        index.add(given)
        assert_exact(index, passages, vectors(9, seed=1), 10)


def test_no_query_gives_no_hits(spec: str, path: str) -> None:
    index = open_index(spec, 12, "cpu")
    index.add(vectors(100))
    similarities, positions = index.search(np.empty((0, 12), dtype=np.float32), 5)
    assert similarities.shape == positions.shape == (0, 5)


@pytest.mark.parametrize(("value", "word"), [(np.nan, "not finite"), (np.inf, "not finite"), (0.0, "all zero")])
def test_an_unusable_row_is_refused_by_its_position(spec: str, path: str, value: float, word: str) -> None:
    passages = vectors(200)
    passages[150] = value
    index = open_index(spec, 12, "cpu")
    index.add(passages[:100])
    index.add(passages[100:])
    for _ in range(2):  # a refused corpus stays refused
        with pytest.raises(InputError, match=f"passage vector of row 150 is {word}"):
            index.search(vectors(3), 2)


def test_vectors_of_another_width_are_refused(spec: str) -> None:
    index = open_index(spec, 12, "cpu")
    with pytest.raises(InputError, match=r"passage vectors have the shape \(5, 11\), not \[n, 12\]"):
        index.add(vectors(5, 11))
    index.add(vectors(5))
    with pytest.raises(InputError, match="query vectors have the shape"):
        index.search(vectors(5, 13), 2)


@pytest.mark.parametrize("dimensions", [1, 3, 64, 384, 1024])
def test_rounding_stays_within_the_stated_error(spec: str, path: str, dimensions: int) -> None:
    # Equal components of one sign are the worst case for a running sum: every rounding points the same way.
    worst = np.full((130, dimensions), 1 / np.sqrt(dimensions), dtype=np.float32)
    for passages in (worst, np.abs(vectors(130, dimensions)), vectors(130, dimensions)):
        index = open_index(spec, dimensions, "cpu")
        index.add(passages)
        assert_exact(index, passages, passages[:20], 130)


def test_stated_error_follows_the_published_bounds() -> None:
    # 16 unit roundoffs of 2^-24 and one for the float32 result; beyond 36 dimensions 6 sqrt(d) is the smaller one.
    assert rounding_error(16) == pytest.approx(1.01 * 17 * 2**-24)
    assert rounding_error(384) == pytest.approx(1.01 * (6 * 384**0.5 + 1) * 2**-24)
    assert rounding_error(384, "fp64") == pytest.approx(1.01 * 2**-24, rel=1e-5)
    assert rounding_error(384, "bf16") > rounding_error(384, "fp16") > rounding_error(384)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_narrow_arithmetic_stays_within_its_own_error(monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
    stream_narrowly(monkeypatch)
    passages = vectors(300)
    index = torch_index.TorchExact(12, [CPU], precision)  # type: ignore[arg-type]
    index.add(passages)
    assert_exact(index, passages, vectors(20, seed=1), 30)


def test_coarser_products_that_a_program_allowed_widen_the_error() -> None:
    index = open_index("torch", 2000, "cpu")
    index.add(np.ones((2000, 2000), dtype=np.float32))
    index.search(np.ones((1, 2000), dtype=np.float32), 1)
    exact = index.error
    assert not index.is_coarse
    torch.set_float32_matmul_precision("high")
    try:
        assert index.error > 10 * exact
        assert index.is_coarse
    finally:
        torch.set_float32_matmul_precision("highest")


def test_chunk_maxima_find_the_same_hits_as_a_plain_selection() -> None:
    generator = torch.Generator().manual_seed(0)
    for similarities in (
        torch.randn(5, 4096, generator=generator),
        torch.randint(0, 5, (5, 4096), generator=generator).float(),
    ):
        for k in (1, 10, 32):
            values, columns = torch_index._top(similarities, k)
            assert torch.equal(values.sort(descending=True).values, torch.topk(similarities, k).values)
            assert torch.equal(similarities.gather(1, columns), values)
            assert all(len(set(row)) == k for row in columns.tolist())


def test_several_devices_share_the_blocks_of_a_corpus(monkeypatch: pytest.MonkeyPatch) -> None:
    stream_narrowly(monkeypatch)
    for count in (2, 60, 500):  # fewer blocks than devices, too
        passages = vectors(count)
        index = torch_index.TorchExact(12, [CPU] * 3)
        index.add(passages)
        assert_exact(index, passages, vectors(20, seed=1), 10)


def test_out_of_memory_halves_the_block_and_gives_the_same_hits(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch_index, "_CPU_BLOCK", (16, 8192))
    top, sizes = torch_index._top, []

    def small_device(similarities: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        sizes.append(similarities.shape[1])
        # The second block of queries is the one that does not fit: nothing of the first may be counted twice.
        if similarities.shape[1] > 3000 and len(sizes) % 2 == 0:
            raise torch.OutOfMemoryError
        return top(similarities, k)

    monkeypatch.setattr(torch_index, "_top", small_device)
    passages = vectors(20_000)
    index = open_index("torch", 12, "cpu")
    index.add(passages)
    with caplog.at_level(logging.WARNING):
        assert_exact(index, passages, vectors(20, seed=1), 50)
    assert "out of memory with a block of 8192 passages: halving it" in caplog.text
    assert sizes.count(2048) == 18  # what is left of 20,000 rows in blocks of 8,192, in pieces, for 2 blocks of queries
    assert max(sizes[4:]) <= 2048


def test_a_device_without_any_memory_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def full_device(similarities: torch.Tensor, k: int) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(torch_index, "_top", full_device)
    index = open_index("torch", 12, "cpu")
    index.add(vectors(5000))
    with pytest.raises(EnvironmentFault, match=r"cpu is out of memory with .* passages at once"):
        index.search(vectors(3), 2)


class FakeGpus:
    """Stands for `faiss.knn_gpu`: the same limits, computed on the CPU."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, memory: int = 10**9) -> None:
        self.calls: list[tuple[int, int, int]] = []
        self.memory = memory
        monkeypatch.setattr(faiss, "StandardGpuResources", object, raising=False)
        monkeypatch.setattr(faiss, "get_num_gpus", lambda: 2, raising=False)
        monkeypatch.setattr(faiss, "knn_gpu", self.knn)
        monkeypatch.setattr(rows, "SMALL", 1)

    def knn(
        self, resources: object, queries: NDArray[np.float32], passages: NDArray[np.float32], k: int,
        similarities: NDArray[np.float32], positions: NDArray[np.int64], metric: int, device: int,
    ) -> None:  # fmt: skip
        assert metric == faiss.METRIC_INNER_PRODUCT
        assert k <= min(2048, len(passages))
        assert queries.dtype == passages.dtype
        self.calls.append((device, len(passages), k))
        if len(passages) > self.memory:
            msg = "Error in virtual void* StandardGpuResourcesImpl::allocMemory: CUDA malloc error out of memory"
            raise RuntimeError(msg)
        found = faiss.knn(queries.astype(np.float32), passages.astype(np.float32), k, metric=metric)
        similarities[:], positions[:] = found


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("k", [10, 3000])
def test_gpu_blocks_go_to_all_gpus_and_merge(monkeypatch: pytest.MonkeyPatch, precision: str, k: int) -> None:
    gpus = FakeGpus(monkeypatch)
    monkeypatch.setattr(faiss_index, "_GPU_PASSAGES", 2500)
    monkeypatch.setattr(faiss_index, "_GPU_QUERIES", 7)
    passages = vectors(5000)
    index = open_index("faiss", 12, "cuda", precision)  # type: ignore[arg-type]
    index.add(passages)
    assert_exact(index, passages, vectors(20, seed=1), k)
    assert {device for device, _, _ in gpus.calls} == {0, 1}
    assert index.name == f"faiss:gpu x2 {precision}"


def test_gpu_out_of_memory_halves_the_block(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    gpus = FakeGpus(monkeypatch, memory=3000)
    monkeypatch.setattr(faiss_index, "_GPU_PASSAGES", 8192)
    passages = vectors(20_000)
    index = open_index("faiss", 12, "cuda:1")
    index.add(passages)
    assert_exact(index, passages, vectors(20, seed=1), 10)
    assert [size for _, size, _ in gpus.calls[:3]] == [8192, 4096, 2048]
    assert {device for device, _, _ in gpus.calls} == {1}
    assert "halving" in caplog.text
    gpus.memory = 100
    monkeypatch.setattr(faiss_index, "SMALL", 1024)
    with pytest.raises(EnvironmentFault, match="GPU out of memory"):
        index.search(vectors(3), 5)


def test_another_fault_of_the_gpu_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = FakeGpus(monkeypatch)

    def broken(*_: object, **__: object) -> None:
        msg = "CUDA error 700: an illegal memory access was encountered"
        raise RuntimeError(msg)

    monkeypatch.setattr(faiss, "knn_gpu", broken)
    index = open_index("faiss", 12, "cuda")
    index.add(vectors(100))
    with pytest.raises(RuntimeError, match="illegal memory access"):
        index.search(vectors(3), 5)
    assert not gpus.calls


@pytest.mark.parametrize("factory", ["IVF16,Flat", "HNSW16", "IVF16,PQ6x4", "Flat", "IVF16,Flat:nprobe=16"])
def test_factory_index_finds_most_of_the_exact_hits(factory: str) -> None:
    passages, queries = vectors(3000, 24), vectors(50, 24, seed=1)
    index = open_index(f"faiss:{factory}", 24, "cpu")
    for part in np.split(passages.astype(np.float16), 3):
        index.add(part)
    similarities, positions = index.search(queries, 10)
    true = queries @ passages.T
    best = np.argsort(-true, axis=1)[:, :10]
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(positions.tolist(), best.tolist(), strict=True)])
    # Guessing would find 0.003; lists that are all visited miss nothing but half-precision near-ties.
    assert recall > {"IVF16,PQ6x4": 0.1, "HNSW16": 0.4, "IVF16,Flat": 0.1}.get(factory, 0.98)
    assert index.is_exact == (factory == "Flat")
    assert (np.diff(similarities, axis=1) <= 0).all()
    assert index.name == ("faiss" if factory == "Flat" else f"faiss:{factory}")


def test_a_sixteenth_of_the_lists_is_visited_unless_told() -> None:
    for factory, visited in (("IVF64,Flat", 4), ("IVF4,Flat", 1), ("IVF64,Flat:nprobe=9", 9)):
        index = open_index(f"faiss:{factory}", 24, "cpu")
        assert isinstance(index, faiss_index.FaissFactory)
        assert index._index.nprobe == visited


def test_missing_hits_of_an_approximate_index_have_no_position_and_no_similarity() -> None:
    index = open_index("faiss:IVF64,Flat:nprobe=1", 12, "cpu")
    index.add(vectors(3000))
    similarities, positions = index.search(vectors(5, seed=1), 2000)
    assert (positions[:, -1] == -1).all()
    assert (np.isnan(similarities) == (positions == -1)).all()
    assert (positions[:, 0] >= 0).all()


def test_rows_added_after_a_search_are_found_by_a_factory_index() -> None:
    index = open_index("faiss:HNSW16", 12, "cpu")
    index.add(vectors(100))
    queries = vectors(5, seed=1)
    index.search(queries, 3)
    index.add(1000 * queries / np.linalg.norm(queries, axis=1, keepdims=True))
    assert (index.search(queries, 1)[1][:, 0] == 100 + np.arange(5)).all()


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ("fais", "unknown index 'fais'; did you mean 'faiss'"),
        ("faiss:IVFx,Flat", r"index 'faiss:IVFx,Flat': 'IVFx' is not a term that is offered.*try 'faiss'"),
        ("faiss:IVF16,PQ7", "multiple of the number of subquantizers"),
        ("faiss:IVF16,Flat:nprob=3", "there is no parameter 'nprob'"),
        ("faiss:IVF16,Flat:nprobe", "is not a whole number from 1"),
        ("torch:IVF16,Flat", "takes no factory string"),
    ],
)
def test_a_spec_that_nothing_can_open_is_refused(wrong: str, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        open_index(wrong, 12, "cpu")


def test_too_few_rows_to_train_on_are_named() -> None:
    index = open_index("faiss:IVF64,Flat", 12, "cpu")
    index.add(vectors(20))
    with pytest.raises(UsageError, match=r"Number of training points \(20\) should be at least as large as .*64"):
        index.search(vectors(3), 2)


@pytest.mark.parametrize("device", ["cuda:x", "cudo"])
def test_unknown_device_is_refused(device: str) -> None:
    with pytest.raises(UsageError, match=f"unknown device '{device}'"):
        open_index("faiss" if device == "cuda:x" else "torch", 12, device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_a_device_that_is_not_there_is_named(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(EnvironmentFault, match="torch sees no CUDA device"):
        open_index("torch", 12, "cuda")
    assert open_index("faiss", 12, "cuda").name == "faiss"
    assert "FAISS sees no GPU" in caplog.text


def test_a_gpu_beyond_the_last_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeGpus(monkeypatch)
    with pytest.raises(UsageError, match="FAISS sees 2 GPUs"):
        open_index("faiss", 12, "cuda:2")


@pytest.mark.parametrize(("device", "precision"), [("cpu", "fp16"), ("cuda", "bf16")])
def test_arithmetic_that_faiss_lacks_is_refused(monkeypatch: pytest.MonkeyPatch, device: str, precision: str) -> None:
    FakeGpus(monkeypatch)
    with pytest.raises(UsageError, match="index 'torch'"):
        open_index("faiss", 12, device, precision)  # type: ignore[arg-type]


def test_auto_is_faiss_where_it_can_use_the_device_else_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_index("auto", 12, "cpu").name == "faiss"
    assert indexes._automatic("mps") == "torch"
    monkeypatch.setattr(faiss_index, "gpu_count", lambda: 0)
    assert indexes._automatic("cuda") == "torch"
    monkeypatch.setattr(faiss_index, "gpu_count", lambda: 1)
    assert indexes._automatic("cuda") == "faiss"
    monkeypatch.setattr(indexes, "find_spec", lambda name: None)
    assert open_index("auto", 12, "cpu").name == "torch"


def test_missing_package_names_the_pip_command(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, spec, None)
    monkeypatch.delitem(sys.modules, f"clear_bench.indexes.{spec}_index")
    with pytest.raises(MissingExtraError, match=rf"'{spec}', which is not installed: pip install .*\[cpu\]'"):
        open_index(spec, 12, "cpu")


@pytest.fixture(params=sorted(QUANTISED))
def coding(request: pytest.FixtureRequest) -> Coding:
    return request.param  # type: ignore[no-any-return]


def like_a_model(count: int, seed: int = 0, dimensions: int = 24) -> NDArray[np.float32]:
    """Make unit vectors with much in common, as models do: a mean cosine of 0.8."""
    drawn = np.random.default_rng(seed).standard_normal((count, dimensions)) / 2 + np.r_[5, -2, np.ones(dimensions - 2)]
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def scanned(
    passages: NDArray[np.float32], queries: NDArray[np.float32], coding: Coding, times: int, k: int
) -> list[set[int]]:
    """Search as the index should, with all in memory: code what does not lie along the mean, scan, rescore."""
    mean = passages.mean(axis=0, dtype=np.float64)
    across = np.eye(passages.shape[1]) - np.outer(mean, mean) / (mean @ mean)
    rest = passages @ across
    if coding == "int8":
        steps = np.abs(rest).max(axis=1, keepdims=True) / 127
        read = np.rint(rest / steps) * steps
    else:
        sizes = (rest**2).sum(axis=1, keepdims=True) / np.abs(rest).sum(axis=1, keepdims=True)
        read = np.where(rest >= 0, sizes, -sizes)
    read = passages - rest + read @ across
    candidates = np.argsort(-(queries.astype(np.float64) @ read.T), axis=1)[:, : times * k]
    true = queries.astype(np.float64) @ passages.T.astype(np.float64)
    return [set(found[np.argsort(-row[found])[:k]].tolist()) for found, row in zip(candidates, true, strict=True)]


@pytest.mark.parametrize("times", [1, 3])
def test_index_of_codes_finds_what_a_plain_scan_of_the_codes_finds(coding: Coding, times: int) -> None:
    passages, queries = like_a_model(3000), like_a_model(40, seed=1)
    index = open_index(f"{coding}:{times}", 24, "cpu")
    for part in np.split(passages, [1, 1024, 2500]):
        index.add(part)
    similarities, positions = index.search(queries, 20)
    assert [set(row) for row in positions.tolist()] == scanned(passages, queries, coding, times, 20)
    true = (queries.astype(np.float64) @ passages.T.astype(np.float64)).astype(np.float32)
    # The stored rows give the similarity, whatever the codes said.
    np.testing.assert_allclose(similarities, np.take_along_axis(true, positions, axis=1), rtol=1e-7)
    assert (np.diff(similarities, axis=1) <= 0).all()
    assert (index.name, index.is_exact, index.is_coarse) == (f"{coding}:{times}", False, False)


@pytest.mark.parametrize("count", [1, 2, 200, 1024, 1025, 2000])
@pytest.mark.parametrize("k", [1, 10, 5000])
def test_index_of_codes_is_exact_where_its_candidates_are_all_passages(coding: Coding, count: int, k: int) -> None:
    passages, queries = vectors(count), vectors(20, seed=1)  # of any length: the rows of a dot-product model
    index = open_index(f"{coding}:{-(-count // k)}", 12, "cpu")
    index.add(passages)
    similarities, positions = index.search(queries, k)
    true = (queries.astype(np.float64) @ passages.T.astype(np.float64)).astype(np.float32)
    np.testing.assert_array_equal(similarities, -np.sort(-true, axis=1)[:, : positions.shape[1]])
    assert positions.shape == (20, min(k, count))
    np.testing.assert_array_equal(similarities, np.take_along_axis(true, positions, axis=1))


def test_run_of_an_index_of_codes_is_that_of_exact_search_where_it_looks_at_all(coding: Coding) -> None:
    # Every passage three times, so that the ids decide a lot.
    passages = np.repeat(like_a_model(500), 3, axis=0)[np.random.default_rng(2).permutation(1500)]
    ids, queries = pa.chunked_array([[f"d{i:04d}" for i in range(1500)]]), Embeddings((like_a_model(30, seed=1),))
    pair, asked = LanguagePair("deu-Latn", "eng-Latn"), np.arange(30)
    runs = [
        Searcher([Embeddings((passages,))], ids, spec, "cpu").search(queries, asked, pair, 50)
        for spec in (f"{coding}:1500", "faiss")
    ]
    np.testing.assert_array_equal(runs[0].positions, runs[1].positions)
    np.testing.assert_allclose(runs[0].similarities, runs[1].similarities, rtol=1e-6)
    assert runs[0].ties == runs[1].ties


def test_recall_of_an_index_of_codes_grows_with_its_oversampling(coding: Coding) -> None:
    corpus, queries = Embeddings((like_a_model(4000),)), Embeddings((like_a_model(60, seed=1),))
    ids = pa.chunked_array([[f"d{i}" for i in range(4000)]])
    recalls = [
        recall_against_exact(Searcher([corpus], ids, f"{coding}:{times}", "cpu"), queries, np.arange(60), 10).recall
        for times in (1, 4, 64)
    ]
    assert recalls == sorted(recalls)
    assert recalls[0] > {"int8": 0.99, "binary": 0.3}[coding]
    assert recalls[2] > 0.99


def test_index_of_codes_holds_codes_and_leaves_the_rows_in_their_file(coding: Coding, tmp_path: Path) -> None:
    stored = like_a_model(2500).astype(np.float16)
    np.save(tmp_path / "half.npy", stored)
    mapped = np.load(tmp_path / "half.npy", mmap_mode="r")
    index = open_index(coding, 24, "cpu")
    assert isinstance(index, quantised.Quantised)
    index.add(mapped)
    similarities, positions = index.search(like_a_model(9, seed=1), 10)
    [rows_kept], [codes] = index._rows._parts, index._candidates._rows._parts  # type: ignore[attr-defined]
    assert np.shares_memory(rows_kept, mapped)
    assert isinstance(codes, CodedRows)
    assert codes.along is not None
    assert codes.raw.nbytes + codes.along.nbytes == 2500 * quantised.code_bytes(coding, 24)
    whole = open_index(coding, 24, "cpu")
    whole.add(stored.astype(np.float32))
    for found, expected in zip((similarities, positions), whole.search(like_a_model(9, seed=1), 10), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_index_of_codes_takes_rows_after_a_search_and_many_queries_in_turns(
    coding: Coding, monkeypatch: pytest.MonkeyPatch
) -> None:
    passages, queries = vectors(2500), vectors(50, seed=1)
    whole = open_index(f"{coding}:2500", 12, "cpu")
    whole.add(passages)
    expected = whole.search(queries, 7)
    monkeypatch.setattr(quantised, "_CELLS", 20_000)
    monkeypatch.setattr(quantised, "_RESCORED", 17)
    index = open_index(f"{coding}:2500", 12, "cpu")
    for part in np.split(passages, [300, 1100]):  # small, large, larger
        index.add(part)
        index.search(queries[:2], 3)
    for found, right in zip(index.search(queries, 7), expected, strict=True):
        np.testing.assert_array_equal(found, right)
    assert index.search(queries[:0], 7)[0].shape == (0, 7)


def test_candidates_of_one_query_have_a_limit_but_never_below_the_hits_asked_for(
    coding: Coding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantised, "_WIDEST", 30)
    index = open_index(f"{coding}:1000", 12, "cpu")
    index.add(vectors(2000))
    asked: list[int] = []
    search = index._candidates.search  # type: ignore[attr-defined]
    monkeypatch.setattr(index._candidates, "search", lambda q, k: (asked.append(k), search(q, k))[1])  # type: ignore[attr-defined]
    for k in (5, 100):
        index.search(vectors(3, seed=1), k)
    assert asked == [30, 100]


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_index_of_codes_refuses_an_unusable_row_by_its_position(coding: Coding, value: float) -> None:
    passages = np.repeat(vectors(200), 50, axis=0)
    passages[9000:9004] = [[value], [-value], [value], [-value]]
    index = open_index(coding, 12, "cpu")
    index.add(passages)
    for _ in range(2):
        with pytest.raises(InputError, match="passage vector of row 9000"):
            index.search(vectors(3), 2)


@pytest.mark.parametrize("common", [0.0, 5.0])
def test_rows_with_nothing_in_common_are_coded_whole(coding: Coding, common: float) -> None:
    passages = vectors(1000)
    passages = np.concatenate([passages + common, common - passages])  # their mean is zero, or the same everywhere
    index = open_index(f"{coding}:2000", 12, "cpu")
    index.add(passages)
    similarities, _ = index.search(vectors(5, seed=1), 3)
    true = vectors(5, seed=1).astype(np.float64) @ passages.T.astype(np.float64)
    np.testing.assert_allclose(similarities, -np.sort(-true, axis=1)[:, :3], rtol=1e-6)


def test_codes_are_searched_by_the_gpus_where_there_are_some(coding: Coding, monkeypatch: pytest.MonkeyPatch) -> None:
    passages, queries = like_a_model(3000), like_a_model(20, seed=1)
    expected = open_index(coding, 24, "cpu")
    expected.add(passages)
    wanted = expected.search(queries, 10)
    gpus = FakeGpus(monkeypatch)
    index = open_index(coding, 24, "cuda")
    index.add(passages)
    np.testing.assert_array_equal(index.search(queries, 10)[0], wanted[0])
    assert {k for _, _, k in gpus.calls} == {10 * QUANTISED[coding]}


def test_passages_that_are_all_equal_are_found_by_their_codes(coding: Coding) -> None:
    index = open_index(coding, 12, "cpu")
    index.add(np.tile(vectors(1), (3000, 1)))  # nothing is left without the mean
    similarities, positions = index.search(vectors(3, seed=1), 5)
    assert all(len(set(row)) == 5 for row in positions.tolist())
    assert (np.ptp(similarities, axis=1) == 0).all()


def test_coded_rows_are_searched_as_the_numbers_that_they_read_as(spec: str, path: str, coding: Coding) -> None:
    raw = code(vectors(500), coding)
    coded = CodedRows(raw, coding, 12)
    index = open_index(spec, 12, "cpu")
    for part in np.split(raw, [1, 200]):
        index.add(CodedRows(part, coding, 12))  # type: ignore[arg-type]
    assert_exact(index, coded[:], vectors(9, seed=1), 10)


def test_oversampling_is_read_from_the_name_of_the_index() -> None:
    assert [oversampling(spec) for spec in ("int8", "binary", "int8:9", "binary:1")] == [4, 16, 9, 1]
    for wrong in ("int8:", "int8:0", "binary:x", "binary:-2", "int8:4.5"):
        for refuse in (check_backend, lambda spec: open_index(spec, 12, "cpu")):
            with pytest.raises(
                UsageError, match=f"index '{wrong}': after the colon .* as in {wrong.partition(':')[0]}:8"
            ):
                refuse(wrong)
    check_backend("binary:32")
    with pytest.raises(UsageError, match="unknown index 'int'; did you mean 'int8'"):
        check_backend("int")
