"""Large corpora as memory-mapped Arrow files: converted once, in little memory, with their digests beside them.

DATASETS/arrow/<identity>/
    texts.arrow   ids, texts, and characters before each body
    about.json    where they come from, their digests, and the hash of the file; sealed by a hash of its own
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from clear_bench.disk import atomic_write, refuse_system_faults, sha256_blocks
from clear_bench.documents import digest_of
from clear_bench.errors import DataError
from clear_bench.readers.cache import datasets_folder, short_name
from clear_bench.readers.rows import join_titles
from clear_bench.types import Texts, make_texts

VERSION = 1
"""Version of the layout; a file of another version is made anew."""
FOLDER, TEXTS, ABOUT = "arrow", "texts.arrow", "about.json"
_FACTS = {"identity": str, "from": str, "merged": int, "digest": str, "text_digest": str, "sha256": str}
"""The keys and types that about.json must have."""
_SCHEMA = pa.schema([("id", pa.string()), ("text", pa.string()), ("body", pa.int32())])

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """The passages of a language, memory-mapped or in memory, and how they were made."""

    texts: Texts
    body: pa.ChunkedArray
    """Number of characters of each text that come before its body: the title and the separator."""
    merged: int
    """Rows dropped because id and text were both seen before."""
    where: str
    """The entry of the card that it comes from, for messages."""

    @property
    def rows(self) -> int:
        """Rows of the original files."""
        return len(self.texts) + self.merged


def convert(
    language: str, identity: str, where: str, batches: Callable[[], Iterable[pa.RecordBatch]], root: Path | None = None
) -> Corpus:
    """Open the corpus that `identity` names; where it was never converted, write `batches` (see `passages`) first.

    What is damaged is converted again: a file is hashed when it is opened first in a process. Raises `DataError` for a
    corpus without rows and for an id that comes back with another text.
    """
    folder = (root or datasets_folder()) / FOLDER / short_name(f"{VERSION} {identity}")
    file, about = folder / TEXTS, folder / ABOUT
    if problem := corpus_problem(folder, identity):
        if file.exists() or about.exists():
            log.warning("%s %s; it is converted again", file, problem)
        log.info("%s: converting to Arrow, once, in %s", where, folder)
        _write(file, about, language, identity, where, batches)
    facts, table = json.loads(about.read_bytes()), _open(file)
    texts = Texts(language, table["id"], table["text"], facts["digest"], facts["text_digest"])
    return Corpus(texts, table["body"], facts["merged"], where)


def in_memory(language: str, where: str, ids: pa.ChunkedArray, text: pa.ChunkedArray, merged: int = 0) -> Corpus:
    """Return a corpus of texts in memory, whose bodies are the whole texts."""
    body = pa.chunked_array([pa.repeat(pa.scalar(0, pa.int32()), len(ids))])
    return Corpus(make_texts(language, ids, text), body, merged, where)


def corpus_problem(folder: Path, identity: str | None = None) -> str | None:
    """Return what is wrong with a converted corpus: missing, cut, edited, another one, or invalid Arrow; else None."""
    file = folder / TEXTS
    facts = _read_about(folder / ABOUT)
    if facts is None:
        return f"has no {ABOUT} beside it that is whole"
    if identity not in (None, facts["identity"]):
        return f"was converted from something else, {facts['from']}"
    if not file.is_file():
        return "is missing"
    stat = file.stat()
    return _file_problem(file, facts["sha256"], (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino))


@cache
def _file_problem(file: Path, sha256: str, stat: tuple[int, ...]) -> str | None:
    """Hash a file and check every offset; the answer is cached while `stat`, the state of the file, stays the same."""
    if sha256_blocks(file) != sha256:
        return "does not match its checksum"
    try:
        # Read batch by batch and not mapped: the pages of a mapped file would count as memory of this process.
        with pa.OSFile(str(file)) as source, pa.ipc.open_file(source) as reader:
            for i in range(reader.num_record_batches):
                batch = reader.get_batch(i)
                batch.validate(full=True)
                if batch.schema != _SCHEMA or any(column.null_count for column in batch.columns):
                    return "has other columns than a corpus has"
    except (pa.ArrowException, OSError) as error:
        refuse_system_faults(error, file)
        return f"is not a valid Arrow file ({error})"
    return None


def _read_about(path: Path) -> dict[str, Any] | None:  # Any: JSON
    """Read about.json of a corpus; None where it is not what `_write` wrote."""
    try:
        facts = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
        return None
    is_whole = isinstance(facts, dict) and all(isinstance(facts.get(name), kind) for name, kind in _FACTS.items())
    return facts if is_whole and facts.get("seal") == _seal(facts) else None


def _seal(facts: Mapping[str, Any]) -> str:  # Any: JSON
    content = {name: value for name, value in facts.items() if name != "seal"}
    return digest_of(content, ascii=True)


def passages(ids: pa.Array, title: pa.Array, text: pa.Array, join: str) -> pa.RecordBatch:
    """Lay out passages for `convert`: the title, where there is one, is put before the text, and blanks are trimmed."""
    text = text.fill_null("")
    joined = join_titles(title, text, join)
    whole = pc.utf8_ltrim_whitespace(joined)
    cut = pc.subtract(pc.utf8_length(joined), pc.utf8_length(whole))
    before = pc.subtract(pc.utf8_length(joined), pc.utf8_length(text))
    body = pc.max_element_wise(pc.subtract(before, cut), 0)
    columns = [ids, pc.utf8_rtrim_whitespace(whole), body.cast(pa.int32())]
    return pa.record_batch(columns, schema=_SCHEMA)


def _write(
    file: Path, about: Path, language: str, identity: str, where: str, batches: Callable[[], Iterable[pa.RecordBatch]]
) -> None:
    with atomic_write(file) as temporary:
        rows, hashes = _stream(temporary, batches(), where)
        merged = 0
        if again := _repeated(temporary, hashes, where):
            merged = len(again)
            _drop(temporary, again)
        table = _open(temporary)
        texts = make_texts(language, table["id"], table["text"])
        sha256 = sha256_blocks(temporary)
    facts: dict[str, Any] = {  # Any: JSON
        "identity": identity,
        "from": where,
        "language": language,
        "rows": rows,
        "merged": merged,
        "sha256": sha256,
        "digest": texts.digest,
        "text_digest": texts.text_digest,
    }
    with atomic_write(about) as temporary:
        temporary.write_text(json.dumps(facts | {"seal": _seal(facts)}, indent=1))


def _stream(file: Path, batches: Iterable[pa.RecordBatch], where: str) -> tuple[int, NDArray[np.uint64]]:
    """Write batches as they come. Return the number of rows and a hash of every id."""
    hashes: list[NDArray[np.uint64]] = []
    rows = 0
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, _SCHEMA) as writer:
        for batch in batches:
            _refuse_blank(batch, rows, where)
            writer.write_batch(batch)
            hashes.append(_hash(batch.column("id")))
            rows += len(batch)
    if not rows:
        msg = f"{where}: the corpus has no rows"
        raise DataError(msg)
    return rows, np.concatenate(hashes)


def _refuse_blank(batch: pa.RecordBatch, before: int, where: str) -> None:
    for name in ("id", "text"):
        blank = pc.equal(pc.binary_length(pc.utf8_trim_whitespace(batch.column(name))), 0)
        if (at := pc.index(blank, True).as_py()) >= 0:
            msg = f"{where}, row {before + at + 1}: the {name} of {batch.column('id')[at].as_py()!r} is blank"
            raise DataError(msg)


def _open(file: Path) -> pa.Table:
    with pa.memory_map(str(file)) as source:
        return pa.ipc.open_file(source).read_all()


def _hash(ids: pa.Array) -> NDArray[np.uint64]:
    """Hash strings to 64 bits each, from their buffers: equal ids have equal hashes, others almost never."""
    offsets = np.frombuffer(ids.buffers()[1], dtype=np.int32)[ids.offset : ids.offset + len(ids) + 1].astype(np.int64)
    content = np.frombuffer(ids.buffers()[2], dtype=np.uint8)[offsets[0] : offsets[-1]].astype(np.uint64) + np.uint64(1)
    lengths = np.diff(offsets)
    place = np.arange(len(content)) - np.repeat(offsets[:-1] - offsets[0], lengths)
    powers = np.cumprod(np.full(int(lengths.max()) + 1, 0x9E3779B97F4A7C15, dtype=np.uint64), dtype=np.uint64)
    return np.add.reduceat(content * powers[place], offsets[:-1] - offsets[0])


def _repeated(file: Path, hashes: NDArray[np.uint64], where: str) -> list[int]:
    """Return the rows that repeat an earlier one. Raises `DataError` where an id comes back with another text.

    Sorted hashes take 8 bytes a row; ids are looked at only where two hashes are equal.
    """
    ordered = np.sort(hashes)
    suspects = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if not len(suspects):
        return []
    rows = np.flatnonzero(np.isin(hashes, suspects))
    first: dict[str, tuple[int, str]] = {}
    again = []
    for row, key, text in _take(_open(file), rows):
        earlier, known = first.setdefault(key, (row, text))
        if earlier == row:
            continue
        if text != known:
            msg = f"{where}, row {row + 1}: the id {key!r} was in row {earlier + 1} with another text"
            raise DataError(msg)
        again.append(row)
    return again


def _take(table: pa.Table, rows: NDArray[np.int64]) -> Iterator[tuple[int, str, str]]:
    start = 0
    for batch in table.to_batches():
        inside = rows[(rows >= start) & (rows < start + len(batch))]
        part = batch.take(pa.array(inside - start))
        yield from zip(inside.tolist(), part["id"].to_pylist(), part["text"].to_pylist(), strict=True)
        start += len(batch)


def _drop(file: Path, rows: list[int]) -> None:
    """Write the file again without some rows."""
    table = _open(file)
    gone = np.array(rows)
    start = 0
    target = file.with_name(f"{file.name}.kept")
    with pa.OSFile(str(target), "wb") as sink, pa.ipc.new_file(sink, _SCHEMA) as writer:
        for batch in table.to_batches():
            keep = ~np.isin(np.arange(start, start + len(batch)), gone)
            writer.write_batch(batch.filter(pa.array(keep)))
            start += len(batch)
    target.replace(file)
