"""Encoding: the vectors the model gives, each text once, whatever interrupts it."""

from __future__ import annotations

import errno
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from slow_encoding import SlowToy, main, toy_texts
from toy import make_toy_checkpoint

from clear_bench import disk
from clear_bench.encode import Encoding, PromptedTexts, encode, pending
from clear_bench.errors import CheckpointError, EnvironmentFault, UsageError
from clear_bench.models import encoder as module
from clear_bench.models import open_checkpoint
from clear_bench.models.encoder import SentenceEncoder
from clear_bench.models.loading import load_encoder
from clear_bench.models.objects import from_object
from clear_bench.progress import Progress
from clear_bench.quantise import CODINGS, CodedRows, Coding, code
from clear_bench.settings import ModelSettings
from clear_bench.store.embeddings import EmbeddingStore
from clear_bench.types import Checkpoint, Texts, make_texts

CPU = ModelSettings(device="cpu")
SUPPORT = Path(__file__).parent / "support"

WORDS = [
    "the",
    "cat",
    "sat",
    "naps",
    "Katze",
    "schläft",
    "أين",
    "القطة",
    "बिल्ली",
    "कहाँ",
    "है",
    "猫在哪里",
    "кошка",
    "спит",
    "고양이는",
    "어디",
    "นอน",
]
"""Several scripts, so that characters and tokens differ in number."""
ROUNDING = 2e-6
"""float32 sums in another order, over unit vectors of 32 dimensions."""


def make_sentences(count: int, seed: int = 0) -> Texts:
    rng = np.random.default_rng(seed)
    lines = [" ".join(rng.choice(WORDS, rng.integers(1, 60))) + f" {i}" for i in range(count)]
    return make_texts("deu-Latn", pa.chunked_array([[f"d{i}" for i in range(count)]]), pa.chunked_array([lines]))


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return open_checkpoint(str(make_toy_checkpoint(tmp_path_factory.mktemp("toy"), max_seq_length=128)))


@pytest.fixture(scope="module")
def encoder(toy: Checkpoint) -> Any:
    return load_encoder(toy, CPU)


def vectors_of(found: Encoding) -> np.ndarray:
    return np.concatenate(list(found.embeddings.stream()))


def refuse() -> Any:
    raise AssertionError("the model was asked for")


class TestVectors:
    def test_equal_sentence_transformers_own(self, toy: Checkpoint, encoder: Any, tmp_path: Path) -> None:
        texts = make_sentences(200)
        found = encode(PromptedTexts(toy, texts, "passage", "passage: "), EmbeddingStore(tmp_path), lambda: encoder)
        expected = encoder.model.encode(texts.text.to_pylist(), prompt="passage: ", normalize_embeddings=True)
        assert encoder.is_plain
        np.testing.assert_allclose(vectors_of(found), expected, atol=ROUNDING)

    @pytest.mark.parametrize("batch_tokens", [1, 300, 100_000])
    def test_do_not_depend_on_how_texts_are_batched(self, toy: Checkpoint, encoder: Any, batch_tokens: int) -> None:
        texts, rows = make_sentences(60), range(60)
        other = type(encoder)(encoder.model, batch_tokens)
        one, two = (e.encode(texts, rows, "query", "", lambda _: None) for e in (encoder, other))
        np.testing.assert_allclose(one.vectors, two.vectors, atol=10 * ROUNDING)  # not normalised
        assert (one.tokens, one.truncated) == (two.tokens, two.truncated)

    @pytest.mark.parametrize("ahead", [1, 7, 50])
    def test_do_not_depend_on_how_many_texts_are_tokenised_at_once(
        self, toy: Checkpoint, encoder: Any, ahead: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        texts, told = make_sentences(120), list[int]()
        expected = encoder.encode(texts, range(120), "passage", "passage: ", lambda _: None)
        monkeypatch.setattr(module, "AHEAD", ahead)
        found = encoder.encode(texts, range(120), "passage", "passage: ", told.append)
        np.testing.assert_allclose(found.vectors, expected.vectors, atol=ROUNDING)
        assert (found.tokens, found.truncated, sum(told)) == (expected.tokens, expected.truncated, 120)
        assert expected.truncated

    def test_a_fault_of_the_tokenizer_is_raised(self, encoder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(_: list[str]) -> None:
            raise MemoryError

        monkeypatch.setattr(encoder, "_tokenise", fail)
        with pytest.raises(MemoryError):
            encoder.encode(make_sentences(5), range(5), "passage", "", lambda _: None)

    def test_counts_are_those_of_the_tokenizer(self, toy: Checkpoint, encoder: Any, tmp_path: Path) -> None:
        texts = make_sentences(50)
        found = encode(PromptedTexts(toy, texts, "query", "q: "), EmbeddingStore(tmp_path), lambda: encoder)
        whole = encoder.model.tokenizer(["q: " + text for text in texts.text.to_pylist()], verbose=False)["input_ids"]
        lengths = np.array([len(ids) for ids in whole])
        assert found.tokens == np.minimum(lengths, 128).sum()
        assert found.truncated == (lengths > 128).sum() > 0
        assert found.truncated_share == found.truncated / 50

    def test_have_unit_length_for_cosine_and_their_own_for_dot(
        self, toy: Checkpoint, encoder: Any, tmp_path: Path
    ) -> None:
        texts, store = make_sentences(30), EmbeddingStore(tmp_path)
        cosine = vectors_of(encode(PromptedTexts(toy, texts, "query", ""), store, lambda: encoder))
        np.testing.assert_allclose(np.linalg.norm(cosine, axis=1), 1, atol=1e-6)
        dot = open_checkpoint(str(toy.path), ModelSettings(similarity="dot"))
        own = vectors_of(encode(PromptedTexts(dot, texts, "query", ""), store, lambda: encoder))
        np.testing.assert_allclose(own, encoder.model.encode(texts.text.to_pylist()), atol=10 * ROUNDING)
        assert np.abs(np.linalg.norm(own, axis=1) - 1).min() > 0.1

    def test_of_a_model_with_rules_of_its_own_come_from_its_own_encode(self, tmp_path: Path) -> None:
        folder = make_toy_checkpoint(tmp_path / "toy")
        pooling = folder / "1_Pooling" / "config.json"
        pooling.write_text(pooling.read_text().replace("true", "false"))  # leaves the prompt out of the mean
        checkpoint = open_checkpoint(str(folder))
        encoder = load_encoder(checkpoint, CPU)
        assert not encoder.is_plain
        texts = make_sentences(20)
        found = encode(PromptedTexts(checkpoint, texts, "query", "query: "), EmbeddingStore(tmp_path), lambda: encoder)
        expected = encoder.model.encode(texts.text.to_pylist(), prompt="query: ", normalize_embeddings=True)
        np.testing.assert_allclose(vectors_of(found), expected, atol=ROUNDING)
        assert found.tokens is found.truncated is found.truncated_share is None

    def test_survive_a_device_that_holds_four_texts(
        self, toy: Checkpoint, encoder: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        texts = make_sentences(40)
        expected = encoder.encode(texts, range(40), "query", "", lambda _: None).vectors
        forward = type(encoder.model).forward

        def small(self: Any, features: dict[str, Any], **kwargs: Any) -> Any:
            if len(features["input_ids"]) > 4:
                raise torch.OutOfMemoryError
            return forward(self, features, **kwargs)

        monkeypatch.setattr(type(encoder.model), "forward", small)
        found = encoder.encode(texts, range(40), "query", "", lambda _: None).vectors
        np.testing.assert_allclose(found, expected, atol=10 * ROUNDING)

    def test_one_text_too_large_for_the_device_says_so(self, encoder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: Any, **__: Any) -> Any:
            raise torch.OutOfMemoryError

        monkeypatch.setattr(type(encoder.model), "forward", full)
        with pytest.raises(EnvironmentFault, match="does not fit"):
            encoder.encode(make_sentences(3), range(3), "query", "", lambda _: None)

    @pytest.mark.parametrize("precision", ["bf16", "fp16"])
    def test_of_lower_precision_are_close(self, toy: Checkpoint, precision: Any, encoder: Any, tmp_path: Path) -> None:
        texts, store = make_sentences(20), EmbeddingStore(tmp_path)
        low = open_checkpoint(str(toy.path), ModelSettings(precision=precision))
        found = vectors_of(encode(PromptedTexts(low, texts, "query", ""), store, lambda: load_encoder(low, CPU)))
        expected = vectors_of(encode(PromptedTexts(toy, texts, "query", ""), store, lambda: encoder))
        assert low.fingerprint != toy.fingerprint
        assert 1e-6 < np.abs(found - expected).max() < 0.05  # bfloat16 keeps 8 bits

    @pytest.mark.gpu
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    @pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("bf16", 0.05), ("fp16", 0.01)])
    def test_of_a_gpu_are_those_of_the_cpu(
        self, toy: Checkpoint, encoder: Any, precision: Any, tolerance: float, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "AHEAD", 300)
        monkeypatch.setattr(module, "MEASURED_AFTER", 0.0)
        texts, told = make_sentences(2000), list[int]()
        expected = encoder.encode(texts, range(2000), "passage", "passage: ", lambda _: None)
        onto = load_encoder(
            open_checkpoint(str(toy.path), ModelSettings(precision=precision)), ModelSettings(device="cuda")
        )
        found = onto.encode(texts, range(2000), "passage", "passage: ", told.append)
        lengths = np.linalg.norm(expected.vectors, axis=1, keepdims=True)
        np.testing.assert_allclose(found.vectors / lengths, expected.vectors / lengths, atol=tolerance)
        assert (found.tokens, found.truncated, sum(told)) == (expected.tokens, expected.truncated, 2000)
        assert found.share is not None
        assert 0 < found.share < 1


@given(
    lengths=st.lists(st.integers(1, 600), min_size=1).map(lambda values: np.array(sorted(values, reverse=True))),
    budget=st.integers(1, 5000),
)
def test_batches_take_each_text_once_and_stay_within_their_tokens(lengths: np.ndarray, budget: int) -> None:
    from clear_bench.models.encoder import batches

    cut = list(batches(lengths, budget))
    assert [row for batch in cut for row in batch] == list(range(len(lengths)))
    assert all(len(batch) == 1 or len(batch) * lengths[batch.start] <= budget for batch in cut)


class TestOnce:
    def test_a_complete_cache_loads_no_model_and_reports_the_same(
        self, toy: Checkpoint, encoder: Any, tmp_path: Path
    ) -> None:
        texts = make_sentences(40)
        assert pending(PromptedTexts(toy, texts, "query", "q: "), EmbeddingStore(tmp_path)) == 40
        first = encode(PromptedTexts(toy, texts, "query", "q: "), EmbeddingStore(tmp_path), lambda: encoder)
        again = encode(PromptedTexts(toy, texts, "query", "q: "), EmbeddingStore(tmp_path), refuse)
        assert pending(PromptedTexts(toy, texts, "query", "q: "), EmbeddingStore(tmp_path)) == 0
        assert (first.fresh, again.fresh) == (40, 0)
        assert (first.tokens, first.truncated) == (again.tokens, again.truncated)
        np.testing.assert_array_equal(vectors_of(first), vectors_of(again))

    def test_a_complete_cache_does_not_even_import_torch(self, tmp_path: Path) -> None:
        main(tmp_path, 10, 0)
        code = (
            "import sys; from pathlib import Path; from slow_encoding import main;"
            f"assert main(Path({str(tmp_path)!r}), 10, 0) == 0;"
            "assert not {'torch', 'sentence_transformers', 'transformers'} & set(sys.modules)"
        )
        subprocess.run([sys.executable, "-c", code], cwd=SUPPORT, check=True, env=_environment())

    def test_the_same_texts_under_other_ids_are_not_encoded_again(self, tmp_path: Path) -> None:
        checkpoint, encoder = from_object(SlowToy(0), name="toy")
        texts = toy_texts(20)
        renamed = make_texts("deu-Latn", pa.chunked_array([[f"other{i}" for i in range(20)]]), texts.text)
        store = EmbeddingStore(tmp_path)
        encode(PromptedTexts(checkpoint, texts, "passage", ""), store, lambda: encoder)
        assert encode(PromptedTexts(checkpoint, renamed, "passage", ""), store, refuse).fresh == 0

    @pytest.mark.parametrize("change", ["prompt", "side", "dtype", "model"])
    def test_what_changes_a_vector_is_encoded_again(self, change: str, tmp_path: Path) -> None:
        checkpoint, encoder = from_object(SlowToy(0), name="toy")
        texts, store = toy_texts(20), EmbeddingStore(tmp_path)
        encode(PromptedTexts(checkpoint, texts, "passage", ""), store, lambda: encoder)
        changed = PromptedTexts(
            replace(checkpoint, cache_digest="f" * 64) if change == "model" else checkpoint,
            texts,
            "query" if change == "side" else "passage",
            "p: " if change == "prompt" else "",
        )
        again = encode(
            changed,
            store,
            lambda: encoder,
            store_dtype="float16" if change == "dtype" else "float32",
        )
        assert again.fresh == 20


class TestTruncateDim:
    def test_keeps_the_first_dimensions_normalised_anew_and_encodes_nothing_more(
        self, toy: Checkpoint, encoder: Any, tmp_path: Path
    ) -> None:
        texts, store = make_sentences(30), EmbeddingStore(tmp_path)
        full = vectors_of(encode(PromptedTexts(toy, texts, "query", ""), store, lambda: encoder))
        short = open_checkpoint(str(toy.path), ModelSettings(truncate_dim=8))
        found = encode(PromptedTexts(short, texts, "query", ""), store, refuse)
        expected = full[:, :8] / np.linalg.norm(full[:, :8], axis=1, keepdims=True)
        np.testing.assert_allclose(vectors_of(found), expected, atol=ROUNDING)
        assert short.fingerprint != toy.fingerprint
        assert short.cache_digest == toy.cache_digest
        assert found.tokens is not None

    def test_keeps_lengths_for_dot(self, toy: Checkpoint, encoder: Any, tmp_path: Path) -> None:
        texts, store = make_sentences(10), EmbeddingStore(tmp_path)
        dot = open_checkpoint(str(toy.path), ModelSettings(similarity="dot", truncate_dim=8))
        found = vectors_of(encode(PromptedTexts(dot, texts, "query", ""), store, lambda: encoder))
        np.testing.assert_allclose(found, encoder.model.encode(texts.text.to_pylist())[:, :8], atol=10 * ROUNDING)

    def test_beyond_the_models_width_is_refused(self, toy: Checkpoint, encoder: Any, tmp_path: Path) -> None:
        wide = open_checkpoint(str(toy.path), ModelSettings(truncate_dim=64))
        with pytest.raises(UsageError, match="64 is more than the 32"):
            encode(PromptedTexts(wide, make_sentences(5), "query", ""), EmbeddingStore(tmp_path), lambda: encoder)


class Spoilt:
    """Good vectors, but for what `spoil` makes of that of text 1030, in the second shard."""

    def __init__(self, spoil: Callable[[np.ndarray], np.ndarray]) -> None:
        self.spoil = spoil

    def encode(self, texts: list[str]) -> np.ndarray:
        vectors = SlowToy(0).encode(texts)
        for row in [row for row, text in enumerate(texts) if text == "Text 1030"]:
            vectors[row] = self.spoil(vectors[row])
        return vectors


class Narrowing:
    """Vectors of 32 dimensions in the first shard, of 16 from then on."""

    def encode(self, texts: list[str]) -> np.ndarray:
        late = texts[0].startswith("Text") and int(texts[0].split()[1]) >= 1024
        return SlowToy(0).encode(texts)[:, : 16 if late else 32]


@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        (Spoilt(lambda v: v * np.nan), r"not finite.*'d1030' in deu-Latn"),
        (Spoilt(lambda v: np.where(v == v[3], np.inf, v)), r"not finite.*'d1030' in deu-Latn"),
        (Spoilt(lambda v: v * 0), r"zero.*'d1030' in deu-Latn"),
        (Narrowing(), r"\[1024, 16\].*deu-Latn.*'d1024'.*\[1024, 32\]"),
    ],
    ids=["nan", "infinite", "zero", "narrow"],
)
def test_a_bad_vector_stops_the_run_and_names_the_text(model: Any, complaint: str, tmp_path: Path) -> None:
    checkpoint, encoder = from_object(model, name="spoilt")
    store, texts = EmbeddingStore(tmp_path), toy_texts(2100)
    with pytest.raises(CheckpointError, match=complaint):
        encode(PromptedTexts(checkpoint, texts, "passage", ""), store, lambda: encoder)
    left = pending(PromptedTexts(checkpoint, texts, "passage", ""), store)
    assert left == 2100 - 1024  # the first shard is good and kept


def test_float16_that_cannot_hold_a_value_is_refused(tmp_path: Path) -> None:
    class Large:
        def encode(self, texts: list[str]) -> np.ndarray:
            return np.full((len(texts), 4), 70_000, np.float32)

    checkpoint, encoder = from_object(Large(), ModelSettings(similarity="dot"), name="large")
    with pytest.raises(UsageError, match="--store-dtype float32"):
        encode(
            PromptedTexts(checkpoint, toy_texts(5), "query", ""),
            EmbeddingStore(tmp_path),
            lambda: encoder,
            store_dtype="float16",
        )


@pytest.mark.parametrize("dtype", CODINGS)
class TestCodedStores:
    def test_passages_are_coded_and_queries_stay_as_they_are(self, dtype: Coding, tmp_path: Path) -> None:
        checkpoint, encoder = from_object(SlowToy(0), name="toy")
        texts, store = toy_texts(1500), EmbeddingStore(tmp_path)
        plain = encode(PromptedTexts(checkpoint, texts, "passage", ""), store, lambda: encoder)
        found = encode(PromptedTexts(checkpoint, texts, "passage", ""), store, lambda: encoder, store_dtype=dtype)
        expected = CodedRows(code(vectors_of(plain), dtype), dtype, 32)
        np.testing.assert_array_equal(vectors_of(found), expected[:])
        assert (found.fresh, plain.cosines) == (1500, None)
        assert found.cosines is not None
        assert {"int8": 0.999, "binary": 0.7}[dtype] < found.cosines[1] <= found.cosines[0] < 1
        asked = encode(PromptedTexts(checkpoint, texts, "query", ""), store, lambda: encoder)
        again = encode(PromptedTexts(checkpoint, texts, "query", ""), store, refuse, store_dtype=dtype)
        assert pending(PromptedTexts(checkpoint, texts, "query", ""), store, dtype) == 0
        np.testing.assert_array_equal(vectors_of(again), vectors_of(asked))
        assert again.cosines is None

    def test_what_is_there_is_neither_encoded_nor_coded_again(self, dtype: Coding, tmp_path: Path) -> None:
        checkpoint, encoder = from_object(SlowToy(0), name="toy")
        texts, store = toy_texts(2100), EmbeddingStore(tmp_path)
        first = encode(PromptedTexts(checkpoint, texts, "passage", ""), store, lambda: encoder, store_dtype=dtype)
        before = content(tmp_path)
        again = encode(
            PromptedTexts(checkpoint, texts, "passage", ""), EmbeddingStore(tmp_path), refuse, store_dtype=dtype
        )
        assert (again.fresh, again.cosines) == (0, first.cosines)
        path = next(tmp_path.glob("embeddings/*/*/000001.npy"))
        path.write_bytes(path.read_bytes()[:-5])
        store = EmbeddingStore(tmp_path)
        assert pending(PromptedTexts(checkpoint, texts, "passage", ""), store, dtype) == 1024
        encode(PromptedTexts(checkpoint, texts, "passage", ""), store, lambda: encoder, store_dtype=dtype)
        assert content(tmp_path) == before

    def test_shorter_vectors_are_cut_from_the_coded_ones(
        self, dtype: Coding, toy: Checkpoint, encoder: Any, tmp_path: Path
    ) -> None:
        texts, store = make_sentences(30), EmbeddingStore(tmp_path)
        full = vectors_of(encode(PromptedTexts(toy, texts, "passage", ""), store, lambda: encoder, store_dtype=dtype))
        short = open_checkpoint(str(toy.path), ModelSettings(truncate_dim=8))
        found = encode(PromptedTexts(short, texts, "passage", ""), store, refuse, store_dtype=dtype)
        cut = full[:, :8] / np.linalg.norm(full[:, :8], axis=1, keepdims=True)
        np.testing.assert_allclose(vectors_of(found), CodedRows(code(cut, dtype), dtype, 8)[:], atol=ROUNDING)


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}


def start(cache: Path, rows: int, pause: float) -> subprocess.Popen[str]:
    """Start the slow program and wait until it encodes."""
    command = [sys.executable, str(SUPPORT / "slow_encoding.py"), str(cache), str(rows), str(pause)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=_environment())
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def wait_for(cache: Path, pattern: str) -> None:
    for _ in range(1000):
        if list(cache.glob(pattern)):
            return
        time.sleep(0.01)
    raise AssertionError(pattern)


def content(cache: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in cache.glob("embeddings/*/*/*.npy")}


class TestFaults:
    ROWS = 3000

    @pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
    def test_a_kill_costs_at_most_one_shard_and_no_byte(self, how: signal.Signals, tmp_path: Path) -> None:
        process = start(tmp_path / "cut", self.ROWS, 0.1)
        wait_for(tmp_path / "cut", "embeddings/*/*/000000.npy")
        time.sleep(0.15)  # into the second shard
        process.send_signal(how)
        process.communicate(timeout=30)
        assert process.returncode != 0
        finished = sum(
            len(path.read_text().splitlines()) for path in tmp_path.glob("cut/embeddings/*/*/manifest.jsonl")
        )
        assert 1 <= finished < 3
        assert main(tmp_path / "cut", self.ROWS, 0) == self.ROWS - finished * 1024
        main(tmp_path / "whole", self.ROWS, 0)
        assert content(tmp_path / "cut") == content(tmp_path / "whole")
        assert len(content(tmp_path / "cut")) == 3

    def test_two_processes_on_one_cache_share_the_work(self, tmp_path: Path) -> None:
        processes = [start(tmp_path, self.ROWS, 0.02) for _ in range(2)]
        encoded = [int(process.communicate(timeout=60)[0]) for process in processes]
        assert [process.returncode for process in processes] == [0, 0]
        assert sum(encoded) == self.ROWS

    def test_a_full_disk_ends_with_the_finished_shards_kept(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        checkpoint, encoder = from_object(SlowToy(0), name="toy")
        store, texts, sync = EmbeddingStore(tmp_path), toy_texts(self.ROWS), disk.sync

        def fill_up(path: Path) -> None:
            if "000002.npy" in path.name:
                raise OSError(errno.ENOSPC, "No space left on device")
            sync(path)

        monkeypatch.setattr(disk, "sync", fill_up)
        with pytest.raises(EnvironmentFault, match="disk is full"):
            encode(PromptedTexts(checkpoint, texts, "passage", ""), store, lambda: encoder)
        monkeypatch.undo()
        assert pending(PromptedTexts(checkpoint, texts, "passage", ""), store) == self.ROWS - 2048


class TestProgress:
    def test_counts_every_text_that_is_encoded(self, toy: Checkpoint, encoder: Any, tmp_path: Path) -> None:
        shown = Progress(50, 0.0)
        texts = make_sentences(50)
        encode(PromptedTexts(toy, texts, "query", ""), EmbeddingStore(tmp_path), lambda: encoder, shown=shown)
        assert shown.done == 50
        encode(PromptedTexts(toy, texts, "query", ""), EmbeddingStore(tmp_path), refuse, shown=shown)
        assert shown.done == 50

    def test_tells_the_share_of_the_devices_peak_once_it_is_worth_measuring(
        self, toy: Checkpoint, encoder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "MEASURED_AFTER", 0.0)
        told: list[float] = []
        shown, fresh = Progress(1500, 0.0), SentenceEncoder(encoder.model)
        monkeypatch.setattr(Progress, "tell", lambda _, share: told.append(share))
        encode(
            PromptedTexts(toy, make_sentences(1500), "query", ""), EmbeddingStore(tmp_path), lambda: fresh, shown=shown
        )
        assert len(told) == 2  # shards
        assert all(0 < share < 1 for share in told)

    def test_says_nothing_of_the_peak_after_a_moment(self, toy: Checkpoint, encoder: Any, tmp_path: Path) -> None:
        fresh, shown = SentenceEncoder(encoder.model), Progress(20, 0.0)
        encode(
            PromptedTexts(toy, make_sentences(20), "query", ""), EmbeddingStore(tmp_path), lambda: fresh, shown=shown
        )
        assert shown.share is None

    def test_says_nothing_of_the_peak_where_the_device_has_no_room_to_measure_it(
        self, encoder: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> float:
            raise torch.OutOfMemoryError

        monkeypatch.setattr(module, "MEASURED_AFTER", 0.0)
        monkeypatch.setattr(module, "matmul_rate", fail)
        fresh, texts = SentenceEncoder(encoder.model), make_sentences(20)
        assert fresh.encode(texts, range(20), "query", "", lambda _: None).share is None


def test_a_damaged_shard_is_encoded_again_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    main(tmp_path, 1500, 0)
    before = content(tmp_path)
    path = next(tmp_path.glob("embeddings/*/*/000001.npy"))
    path.write_bytes(path.read_bytes()[:-5])
    with caplog.at_level(logging.WARNING):
        assert main(tmp_path, 1500, 0) == 1500 - 1024
    assert "000001.npy" in caplog.text
    assert content(tmp_path) == before
