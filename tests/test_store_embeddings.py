"""Embedding shards: whole or not there, checked when opened, and looked after."""

from __future__ import annotations

import errno
import json
import logging
import os
import threading
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from clear_bench import disk
from clear_bench.errors import EnvironmentFault
from clear_bench.quantise import CODINGS, CodedRows, Coding, code
from clear_bench.store.cache import list_cache, prune_cache, verify_cache
from clear_bench.store.embeddings import EmbeddingKey, EmbeddingStore, Shards, StoreDtype
from clear_bench.types import Embeddings

ROWS = 2500
"""Two whole shards of 1024 and one of 452."""
KEY = EmbeddingKey("a" * 64, "b" * 64, "passage", "passage: ")


def vectors(rows: range, dim: int = 8) -> np.ndarray:
    return np.arange(rows.start * dim, rows.stop * dim, dtype=np.float32).reshape(len(rows), dim)


def fill(shards: Shards, which: list[int] | None = None) -> None:
    with shards.lock():
        for shard in shards.missing() if which is None else which:
            rows = shards.rows_of(shard)
            shards.write(shard, vectors(rows), tokens=10 * len(rows), truncated=1)


def open_again(cache: Path, key: EmbeddingKey = KEY) -> Shards:
    return EmbeddingStore(cache).open(key, ROWS, {"model": "toy", "language": "deu-Latn"})


def test_vectors_come_back_in_order_and_mapped_whatever_order_they_were_written_in(tmp_path: Path) -> None:
    fill(open_again(tmp_path), [2, 0, 1])
    shards = open_again(tmp_path)
    assert shards.missing() == []
    assert all(isinstance(block, np.memmap) for block in shards.blocks())
    np.testing.assert_array_equal(np.concatenate(shards.blocks()), vectors(range(ROWS)))
    assert (shards.total("tokens"), shards.total("truncated"), shards.dimensions) == (25000, 3, 8)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_store_keeps_its_own_precision(tmp_path: Path, dtype: StoreDtype) -> None:
    shards = open_again(tmp_path, EmbeddingKey("a" * 64, "b" * 64, "query", "", dtype))
    fill(shards)
    assert {block.dtype.name for block in shards.blocks()} == {dtype}


def coded_key(dtype: StoreDtype) -> EmbeddingKey:
    return EmbeddingKey("a" * 64, "b" * 64, "passage", "passage: ", dtype)


@pytest.mark.parametrize("dtype", CODINGS)
def test_coded_shards_stay_mapped_take_few_bytes_and_read_as_float32(tmp_path: Path, dtype: Coding) -> None:
    key = coded_key(dtype)
    fill(open_again(tmp_path, key), [2, 0, 1])
    shards = open_again(tmp_path, key)
    assert (shards.missing(), shards.dimensions) == ([], 8)
    read = CodedRows(code(vectors(range(ROWS)), dtype), dtype, 8)
    np.testing.assert_array_equal(np.concatenate(shards.blocks()), read[:])
    for block in shards.blocks():
        assert isinstance(block, CodedRows)
        assert isinstance(block.raw.base, np.memmap)
    assert (
        sum(np.load(shards.path(shard)).nbytes for shard in range(3)) == ROWS * {"int8": 4 + 8, "binary": 4 + 1}[dtype]
    )
    taken = Embeddings(shards.blocks()).take(np.array([2400, 3, 1024, 3]))
    np.testing.assert_array_equal(taken, read[np.array([2400, 3, 1024, 3])])


@pytest.mark.parametrize("dtype", CODINGS)
def test_what_coding_loses_is_kept_with_each_shard_and_summed_up(tmp_path: Path, dtype: Coding) -> None:
    key = coded_key(dtype)
    fill(open_again(tmp_path, key))
    found = open_again(tmp_path, key).cosines
    whole = vectors(range(ROWS)).astype(np.float64)
    read = CodedRows(code(vectors(range(ROWS)), dtype), dtype, 8)[:].astype(np.float64)
    true = (whole * read).sum(axis=1) / np.linalg.norm(whole, axis=1) / np.linalg.norm(read, axis=1)
    assert found == pytest.approx((true.mean(), true.min()))
    fill(open_again(tmp_path))
    assert open_again(tmp_path).cosines is None
    assert "cosines" not in (open_again(tmp_path).folder / "manifest.jsonl").read_text()


@pytest.mark.parametrize("dtype", CODINGS)
@pytest.mark.parametrize("how", ["flipped", "cut", "empty", "gone"])
def test_a_damaged_coded_shard_is_made_again_to_the_byte(tmp_path: Path, dtype: Coding, how: str) -> None:
    key = coded_key(dtype)
    first = open_again(tmp_path, key)
    fill(first)
    before = [first.path(shard).read_bytes() for shard in range(3)]
    damage_nothing_else(first.path(1), how)
    shards = open_again(tmp_path, key)
    assert shards.missing() == [1]
    if how != "gone":
        assert [path for path, _ in verify_cache(tmp_path)] == [first.path(1)]
    fill(shards)
    assert [first.path(shard).read_bytes() for shard in range(3)] == before
    assert verify_cache(tmp_path) == []


@pytest.mark.parametrize(("own", "strange"), [("float32", "float16"), ("int8", "float32"), ("binary", "int8")])
def test_a_shard_of_another_precision_is_named_and_made_again(
    tmp_path: Path, own: StoreDtype, strange: StoreDtype, caplog: pytest.LogCaptureFixture
) -> None:
    stores = {dtype: open_again(tmp_path, coded_key(dtype)) for dtype in (own, strange)}
    for shards in stores.values():
        fill(shards)
    stores[own].path(1).write_bytes(stores[strange].path(1).read_bytes())
    with caplog.at_level(logging.WARNING):
        assert open_again(tmp_path, coded_key(own)).missing() == [1]
    assert "000001.npy holds " in caplog.text
    assert f"instead of {'uint8' if own in CODINGS else own}" in caplog.text


@given(rows=st.integers(1, 400_000))
def test_shards_cover_every_row_once(rows: int) -> None:
    shards = Shards(Path("nowhere"), KEY, rows, {}, set())
    covered = [shards.rows_of(shard) for shard in shards.missing()]
    assert covered[0].start == 0
    assert covered[-1].stop == rows
    assert all(a.stop == b.start for a, b in pairwise(covered))
    assert all(len(part) == (1024 if rows < 131_072 else 16384) for part in covered[:-1])


@pytest.mark.parametrize(
    "other",
    [
        EmbeddingKey("c" * 64, "b" * 64, "passage", "passage: "),
        EmbeddingKey("a" * 64, "c" * 64, "passage", "passage: "),
        EmbeddingKey("a" * 64, "b" * 64, "query", "passage: "),
        EmbeddingKey("a" * 64, "b" * 64, "passage", "query: "),
        EmbeddingKey("a" * 64, "b" * 64, "passage", "passage: ", "float16"),
        EmbeddingKey("a" * 64, "b" * 64, "passage", "passage: ", "int8"),
        EmbeddingKey("a" * 64, "b" * 64, "passage", "passage: ", "float32", 4),
    ],
)
def test_another_model_text_side_prompt_dtype_or_width_has_its_own_vectors(tmp_path: Path, other: EmbeddingKey) -> None:
    fill(open_again(tmp_path))
    assert open_again(tmp_path, other).missing() == [0, 1, 2]


def test_digests_that_agree_by_chance_in_their_first_digits_share_no_vectors(tmp_path: Path) -> None:
    twin = EmbeddingKey("a" * 16 + "f" * 48, KEY.texts, KEY.side, KEY.prompt)
    assert twin.folder == KEY.folder
    fill(open_again(tmp_path))
    assert open_again(tmp_path, twin).missing() == [0, 1, 2]
    fill(open_again(tmp_path, twin))
    assert open_again(tmp_path).missing() == [0, 1, 2]


def test_a_line_torn_by_a_kill_loses_that_shard_and_the_next_line_is_whole(tmp_path: Path) -> None:
    shards = open_again(tmp_path)
    fill(shards)
    manifest = shards.folder / "manifest.jsonl"
    manifest.write_bytes(manifest.read_bytes()[:-20])
    assert open_again(tmp_path).missing() == [2]
    fill(open_again(tmp_path))
    assert open_again(tmp_path).missing() == []
    assert json.loads(manifest.read_text().splitlines()[-1])["shard"] == 2


def damage_nothing_else(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "flipped":
        content[-3] ^= 1
    elif how == "cut":
        del content[-3:]
    elif how == "empty":
        content.clear()
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(content)


@pytest.mark.parametrize("how", ["flipped", "cut", "empty", "gone"])
def test_a_damaged_shard_is_named_and_made_again_while_the_rest_is_kept(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = open_again(tmp_path)
    fill(first)
    kept = first.path(0).stat().st_ino
    damage_nothing_else(first.path(1), how)
    with caplog.at_level(logging.WARNING):
        shards = open_again(tmp_path)
    assert shards.missing() == [1]
    assert "000001.npy" in caplog.text
    fill(shards)
    np.testing.assert_array_equal(np.concatenate(open_again(tmp_path).blocks()), vectors(range(ROWS)))
    assert shards.path(0).stat().st_ino == kept


def test_a_store_hashes_a_shard_once_and_measures_it_always(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(open_again(tmp_path))
    hashed: list[Path] = []
    real = disk.sha256_file
    monkeypatch.setattr("clear_bench.store.shards.sha256_file", lambda path: (hashed.append(path), real(path))[1])
    store = EmbeddingStore(tmp_path)
    for _ in range(3):
        shards = store.open(KEY, ROWS)
    assert len(hashed) == 3
    damage_nothing_else(shards.path(0), "cut")
    assert store.open(KEY, ROWS).missing() == [0]


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_a_full_disk_says_so_and_leaves_no_half_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: StoreDtype
) -> None:
    key = coded_key(dtype)
    shards = open_again(tmp_path, key)
    fill(shards, [0])

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(disk, "sync", full)
    with pytest.raises(EnvironmentFault, match="disk is full"):
        fill(shards, [1])
    monkeypatch.undo()
    assert open_again(tmp_path, key).missing() == [1, 2]
    assert not list(shards.folder.glob(".*.tmp"))


def test_a_cache_that_may_only_be_read_still_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(open_again(tmp_path))

    def refused(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "utime", refused)
    assert open_again(tmp_path).missing() == []


def test_who_waits_for_the_lock_finds_the_work_done(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    late = open_again(tmp_path)
    found: list[list[int]] = []

    def second() -> None:
        with late.lock():
            found.append(late.missing())

    early = open_again(tmp_path)
    with caplog.at_level(logging.WARNING), early.lock():
        thread = threading.Thread(target=second)
        thread.start()
        for shard in early.missing():
            early.write(shard, vectors(early.rows_of(shard)), None, None)
        for _ in range(100):
            if "waiting" in caplog.text:
                break
            thread.join(0.05)
    thread.join()
    assert found == [[]]
    assert "toy deu-Latn" in caplog.text


def test_one_shard_without_a_count_makes_the_total_unknown(tmp_path: Path) -> None:
    shards = open_again(tmp_path)
    fill(shards, [0, 1])
    with shards.lock():
        shards.write(2, vectors(shards.rows_of(2)), None, None)
    assert open_again(tmp_path).total("tokens") is None


class TestCache:
    @pytest.fixture
    def cache(self, tmp_path: Path) -> Path:
        """Two text sets, the first not used for ten days, and a built model."""
        for i, name in enumerate("bc"):
            shards = EmbeddingStore(tmp_path).open(
                EmbeddingKey("a" * 64, name * 64, "passage", ""), ROWS, {"model": "toy", "language": "deu-Latn"}
            )
            fill(shards, None if i else [0, 1])
        old = next((tmp_path / "embeddings").glob("*/bbbb*/key.json"))
        then = old.stat().st_mtime - 10 * 86400
        os.utime(old, (then, then))
        (tmp_path / "models" / "toy-1").mkdir(parents=True)
        (tmp_path / "models" / "toy-1" / "model.safetensors").write_bytes(b"0" * 1000)
        return tmp_path

    def test_listing_tells_what_is_there_and_how_much_of_it(self, cache: Path) -> None:
        first, *others = list_cache(cache)
        assert (first.kind, first.model, first.language, first.side) == ("embeddings", "toy", "deu-Latn", "passage")
        assert (first.encoded, first.rows) == (2048, 2500)
        assert first.size > 2048 * 8 * 4
        assert {entry.kind for entry in others} == {"embeddings", "model"}

    def test_an_empty_or_absent_cache_lists_nothing(self, tmp_path: Path) -> None:
        assert list_cache(tmp_path / "none") == verify_cache(tmp_path / "none") == prune_cache(tmp_path / "none") == []

    def test_verify_names_the_damaged_shard(self, cache: Path) -> None:
        assert verify_cache(cache) == []
        path = next((cache / "embeddings").glob("*/cccc*/000001.npy"))
        damage_nothing_else(path, "flipped")
        assert verify_cache(cache) == [(path, "does not match its checksum")]

    def test_prune_by_age_takes_only_what_was_not_used(self, cache: Path) -> None:
        removed = prune_cache(cache, older_than=timedelta(days=9))
        assert [entry.path.name[:4] for entry in removed] == ["bbbb"]
        assert [entry.kind for entry in list_cache(cache)] == ["embeddings", "model"]

    def test_prune_by_size_takes_the_least_recently_used_first(self, cache: Path) -> None:
        removed = prune_cache(cache, max_size=100_000)
        assert [entry.path.name[:4] for entry in removed] == ["bbbb"]
        assert [entry.path.name[:4] for entry in prune_cache(cache, max_size=0)] == ["cccc"]
        assert not list((cache / "embeddings").iterdir())

    def test_prune_without_a_rule_removes_nothing(self, cache: Path) -> None:
        assert prune_cache(cache) == []

    def test_prune_of_everything_takes_models_too(self, cache: Path) -> None:
        assert len(prune_cache(cache, everything=True)) == 3
        assert list_cache(cache) == []

    def test_prune_passes_over_what_another_process_encodes(self, cache: Path) -> None:
        busy = next((cache / "embeddings").glob("*/bbbb*"))
        with FileLock(busy / ".lock"):
            assert [entry.path.name[:4] for entry in prune_cache(cache, max_size=0)] == ["cccc"]
        assert busy.is_dir()
