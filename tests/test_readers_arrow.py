"""Large corpora become memory-mapped files once, in little memory, and nothing repeated slips through."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from struct import pack

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clear_bench import disk
from clear_bench.disk import sha256_blocks
from clear_bench.errors import DataError
from clear_bench.readers import arrow
from clear_bench.readers.arrow import Corpus, convert, passages
from clear_bench.types import make_texts


def batch(rows: list[tuple[str, str | None, str | None]], join: str = " ") -> pa.RecordBatch:
    columns = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
    return passages(columns[0], columns[1], columns[2], join)


def corpus(tmp_path: Path, *batches: pa.RecordBatch, identity: str = "one") -> Corpus:
    return convert("eng-Latn", identity, "made up", lambda: batches, tmp_path)


def test_titles_are_joined_and_bodies_are_found_again(tmp_path: Path) -> None:
    rows = [("a", "Title", "body"), ("b", None, " body "), ("c", "", "body"), ("d", "  Ti", " body"), ("e", "T", None)]
    one = corpus(tmp_path, batch(rows, join=": "))
    assert one.texts.text.to_pylist() == ["Title: body", "body", "body", "Ti:  body", "T:"]
    bodies = [t[at:] for t, at in zip(one.texts.text.to_pylist(), one.body.to_pylist(), strict=True)]
    assert bodies == ["body", "body", "body", " body", ""]


word = st.text(st.characters(codec="utf-8"), max_size=6)


@given(st.lists(st.tuples(word, word), min_size=1, max_size=8), st.sampled_from([" ", ". ", ""]))
def test_the_joined_text_is_what_python_joins(rows: list[tuple[str, str]], join: str) -> None:
    found = batch([(str(i), title, text) for i, (title, text) in enumerate(rows)], join)
    for (title, text), joined in zip(rows, found["text"].to_pylist(), strict=True):
        assert joined == (f"{title}{join}{text}" if title else text).strip()


def test_digests_are_those_of_the_texts_and_survive_the_process(tmp_path: Path) -> None:
    rows = [(f"id{i}", f"T{i}", f"text {i}") for i in range(100)]
    first = corpus(tmp_path, batch(rows[:7]), batch(rows[7:]))
    ids, text = ([r[0] for r in rows], [f"{r[1]} {r[2]}" for r in rows])
    plain = make_texts("eng-Latn", pa.chunked_array([ids], pa.string()), pa.chunked_array([text], pa.string()))
    assert (first.texts.digest, first.texts.text_digest) == (plain.digest, plain.text_digest)
    again = convert("eng-Latn", "one", "made up", lambda: pytest.fail("converted again"), tmp_path)
    assert (again.texts.digest, again.texts.text.to_pylist()) == (plain.digest, text)


def test_a_file_that_lost_bytes_is_made_anew(tmp_path: Path) -> None:
    rows = batch([("a", None, "x"), ("b", None, "y")])
    corpus(tmp_path, rows)
    file = next(tmp_path.rglob("texts.arrow"))
    file.write_bytes(file.read_bytes()[:-10])
    assert corpus(tmp_path, rows).texts.ids.to_pylist() == ["a", "b"]


DAMAGES: dict[str, Callable[[Path, Path], object]] = {
    "another word": lambda file, _: edit(file, b"needle", b"noodle"),
    "another id": lambda file, _: edit(file, b"id-one", b"id-eno"),
    "a body that starts elsewhere": lambda file, _: edit(file, pack("<i", 7), pack("<i", 2)),
    "an offset beyond the end": lambda file, _: edit(file, pack("<iii", 0, 6, 12), pack("<iii", 0, 2**31 - 8, 12)),
    "a cut file": lambda file, _: file.write_bytes(file.read_bytes()[:-10]),
    "no file": lambda file, _: file.unlink(),
    "no description": lambda _, about: about.unlink(),
    "an empty description": lambda _, about: about.write_bytes(b""),
    "a cut description": lambda _, about: about.write_bytes(about.read_bytes()[:60]),
    "a description that is a list": lambda _, about: about.write_text("[]"),
    "a description in brackets": lambda _, about: about.write_text("[" * 100_000),
    "a description in bytes": lambda _, about: about.write_bytes(b"\xff\x00"),
    "another digest": lambda _, about: describe(about, seal=False, digest="0" * 64),
    "a digest that is no text": lambda _, about: describe(about, digest=None),
    "another source": lambda _, about: describe(about, identity="two"),
    "a description without its seal": lambda _, about: describe(about, seal=None),
}


def edit(file: Path, old: bytes, new: bytes) -> None:
    content = file.read_bytes()
    assert old in content
    file.write_bytes(content.replace(old, new))


def describe(about: Path, seal: bool | None = True, **values: object) -> None:
    """Change what about.json says; it is sealed anew, with the old seal, or has none."""
    facts = json.loads(about.read_text()) | values
    if seal:
        facts["seal"] = arrow._seal(facts)
    if seal is None:
        del facts["seal"]
    about.write_text(json.dumps(facts))


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_converted_again_with_a_warning(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = batch([("id-one", "A title", "in a haystack a needle"), ("id-two", None, "straw")], join="")
    first = corpus(tmp_path, rows)
    whole = first.texts.ids.to_pylist(), first.texts.text.to_pylist(), first.body.to_pylist(), first.texts.digest
    file = next(tmp_path.rglob("texts.arrow"))
    DAMAGES[damage](file, file.with_name("about.json"))
    assert arrow.corpus_problem(file.parent, "one") is not None
    again = corpus(tmp_path, rows)
    assert "it is converted again" in caplog.text
    assert (
        again.texts.ids.to_pylist(),
        again.texts.text.to_pylist(),
        again.body.to_pylist(),
        again.texts.digest,
    ) == whole
    assert arrow.corpus_problem(file.parent, "one") is None


def test_a_bad_offset_under_a_forged_seal_ends_in_no_signal(tmp_path: Path) -> None:
    rows = batch([("id-one", None, "a needle"), ("id-two", None, "straw")])
    corpus(tmp_path, rows)
    file = next(tmp_path.rglob("texts.arrow"))
    edit(file, pack("<iii", 0, 6, 12), pack("<iii", 0, 2**31 - 8, 12))
    describe(file.with_name("about.json"), sha256=sha256_blocks(file))
    assert "is not a valid Arrow file" in (arrow.corpus_problem(file.parent) or "")
    assert corpus(tmp_path, rows).texts.ids.to_pylist() == ["id-one", "id-two"]


def test_damage_whose_source_is_gone_is_an_error(tmp_path: Path) -> None:
    def gone() -> Iterator[pa.RecordBatch]:
        msg = "the file is gone"
        raise DataError(msg)
        yield

    corpus(tmp_path, batch([("a", None, "x")]))
    next(tmp_path.rglob("about.json")).write_text("{")
    with pytest.raises(DataError, match="is gone"):
        convert("eng-Latn", "one", "made up", gone, tmp_path)


def test_a_file_is_hashed_once_a_process_and_again_when_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = batch([("a", None, "x"), ("b", None, "y")])
    corpus(tmp_path, rows)
    hashed: list[Path] = []
    monkeypatch.setattr(arrow, "sha256_blocks", lambda path: hashed.append(path) or sha256_blocks(path))
    for _ in range(3):
        corpus(tmp_path, rows)
    assert len(hashed) == 1
    file = next(tmp_path.rglob("texts.arrow"))
    stat = file.stat()
    file.write_bytes(file.read_bytes())
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # who edits a file can set its time back
    corpus(tmp_path, rows)
    assert len(hashed) == 2


def test_a_large_file_is_hashed_by_its_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "BLOCK", 4)
    monkeypatch.setattr(disk, "_PIECE", 2)
    (tmp_path / "file").write_bytes(b"0123456789")
    blocks = b"".join(hashlib.sha256(part).digest() for part in (b"0123", b"4567", b"89"))
    assert sha256_blocks(tmp_path / "file") == hashlib.sha256(blocks).hexdigest()


def test_a_conversion_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield batch([("a", None, "x")])
        msg = "the file ends here"
        raise DataError(msg)

    with pytest.raises(DataError):
        convert("eng-Latn", "one", "made up", broken, tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_repeated_rows_are_merged_across_batches(tmp_path: Path) -> None:
    one = corpus(tmp_path, batch([("a", None, "x"), ("b", None, "y")]), batch([("b", None, "y"), ("c", None, "y")]))
    assert one.texts.ids.to_pylist() == ["a", "b", "c"]
    assert (one.merged, one.rows) == (1, 4)


def test_an_id_with_two_texts_is_refused_with_both_rows(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 4: the id 'a' was in row 1 with another text"):
        corpus(tmp_path, batch([("a", None, "x"), ("b", None, "y")]), batch([("c", None, "z"), ("a", None, "z")]))


@pytest.mark.parametrize(
    ("rows", "message"), [([("a", None, " ")], "row 1: the text of 'a'"), ([(" ", None, "x")], "id")]
)
def test_blank_ids_and_texts_are_refused(tmp_path: Path, rows: list[tuple[str, None, str]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        corpus(tmp_path, batch(rows))  # type: ignore[arg-type]


def test_no_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no rows"):
        corpus(tmp_path)


@given(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=40), st.integers(0, 5))
def test_equal_ids_have_equal_hashes_whatever_stands_around_them(ids: list[str], start: int) -> None:
    sliced = pa.array(["padding"] * start + ids, pa.string()).slice(start)
    hashes = arrow._hash(sliced)
    assert hashes.tolist() == [int(arrow._hash(pa.array([one], pa.string()))[0]) for one in ids]
    assert len(set(hashes.tolist())) == len(set(ids))


def test_a_collision_of_hashes_is_no_repetition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow, "_hash", lambda ids: np.zeros(len(ids), dtype=np.uint64))
    assert corpus(tmp_path, batch([("a", None, "x"), ("b", None, "y"), ("a", None, "x")])).merged == 1


SCALE = """
import gzip, sys
from pathlib import Path
import numpy as np
from clear_bench.readers.arrow import convert, passages
from clear_bench.readers.columns import read_columns

def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("RssAnon"))

folder, rows = Path(sys.argv[1]), int(sys.argv[2])
peak = 0

def batches():
    global peak
    for path in sorted(folder.glob("*.jsonl.gz")):
        for ids, text, title in read_columns(path, ["docid", "text"], ["title"]):
            yield passages(ids, title, text, " ")
            peak = max(peak, anonymous())

import pyarrow, pyarrow.json, pyarrow.parquet, pyarrow.csv, pyarrow.compute
base = anonymous()
corpus = convert("eng-Latn", "scale", "synthetic", batches, folder)
peak = max(peak, anonymous())
assert len(corpus.texts) == rows
again = convert("eng-Latn", "scale", "synthetic", None, folder)
taken = anonymous()
print(base, peak, taken, (folder / "arrow").stat().st_mode and corpus.texts.digest == again.texts.digest)
"""


@pytest.mark.slow
def test_two_million_passages_need_little_memory(tmp_path: Path) -> None:
    shards, rows = 4, 500_000
    body = " ".join(["passage of a made-up encyclopaedia"] * 12)
    import gzip

    for shard in range(shards):
        with gzip.open(tmp_path / f"docs-{shard}.jsonl.gz", "wt", compresslevel=1) as file:
            for i in range(rows):
                file.write(f'{{"docid": "{shard}#{i}", "title": "Page {i // 7}", "text": "{i} {body}"}}\n')
    arguments = [sys.executable, "-c", SCALE, str(tmp_path), str(shards * rows)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    base, peak, after, same = done.stdout.split()
    size = sum(path.stat().st_size for path in tmp_path.rglob("texts.arrow")) >> 20
    assert size > 800  # the texts are far larger than what may be held
    assert int(peak) - int(base) < 300, f"{peak} MB, {base} MB before"
    assert int(after) - int(base) < 300
    assert same == "True"
