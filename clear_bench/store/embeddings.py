"""Embeddings on disk: shards of rows that are written once, checked when they are opened, and read memory-mapped.

CACHE/embeddings/<vectors>/<texts>-<prompt>-<dtype>/
    key.json          whose vectors these are, in full
    000000.npy ...    [rows, dimensions], in the order of the texts; bytes where they are coded: see `quantise`
    manifest.jsonl    one line per finished shard, written after it
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from clear_bench.disk import atomic_write, disk_faults, sha256_file, write_text
from clear_bench.errors import EnvironmentFault
from clear_bench.quantise import CODINGS, CodedRows
from clear_bench.settings import StoreDtype
from clear_bench.store.shards import MANIFEST, Shard, append_line, as_stored, read_manifest, shard_problem
from clear_bench.types import Side

log = logging.getLogger(__name__)

SCHEMA = "clear-bench/embeddings/1"
FOLDER, KEY, LOCK = "embeddings", "key.json", ".lock"
SMALL_SHARD, LARGE_SHARD, LARGE = 1024, 16384, 131_072
"""Rows of a shard, below and from `LARGE` texts: a kill loses one shard, yet 100 million rows are 6,500 files."""


@dataclass(frozen=True, slots=True)
class EmbeddingKey:
    """What makes two sets of vectors the same."""

    vectors: str
    """Digest of the checkpoint: weights, configuration, precision."""
    texts: str
    """Digest of the texts."""
    side: Side
    prompt: str
    dtype: StoreDtype = "float32"
    truncate_dim: int | None = None

    @property
    def folder(self) -> str:
        """The folder's name; `key.json` holds what the short digests cannot."""
        prompt = hashlib.sha256(f"{self.side}\0{self.prompt}".encode()).hexdigest()
        cut = "" if self.truncate_dim is None else f"-d{self.truncate_dim}"
        return f"{self.vectors[:16]}/{self.texts[:16]}-{prompt[:8]}-{self.dtype}{cut}"


@dataclass(slots=True)
class EmbeddingStore:
    """The embeddings below a cache folder. Shards are hashed once per store object, and measured at every opening."""

    cache: Path
    _checked: set[Path] = field(default_factory=set)

    def open(self, key: EmbeddingKey, rows: int, about: Mapping[str, str] | None = None) -> Shards:
        """Open the vectors of `rows` texts; damaged shards are named in a warning and count as missing."""
        shards = Shards(self.cache / FOLDER / key.folder, key, rows, dict(about or {}), self._checked)
        shards.read()
        return shards


@dataclass(slots=True)
class Shards:
    """The shards of one text set under one checkpoint and prompt."""

    folder: Path
    key: EmbeddingKey
    rows: int
    about: Mapping[str, str]
    """Names for people: model, language."""
    _checked: set[Path]
    _done: dict[int, Shard] = field(default_factory=dict)

    @property
    def step(self) -> int:
        """Rows of every shard but the last, fixed by the number of texts alone."""
        return SMALL_SHARD if self.rows < LARGE else LARGE_SHARD

    def rows_of(self, shard: int) -> range:
        """Return the rows of a shard."""
        return range(shard * self.step, min(self.rows, (shard + 1) * self.step))

    def missing(self) -> list[int]:
        """List the shards that are still to be made."""
        return [shard for shard in range(-(-self.rows // self.step)) if shard not in self._done]

    @property
    def missing_rows(self) -> int:
        """How many texts are still to be encoded."""
        return sum(len(self.rows_of(shard)) for shard in self.missing())

    @property
    def dimensions(self) -> int | None:
        """Width of the finished shards; None while there is none."""
        return next((line.dim for line in self._done.values()), None)

    def total(self, count: Literal["tokens", "truncated"]) -> int | None:
        """Sum a count over the finished shards; None where one of them does not know."""
        counts = [getattr(line, count) for line in self._done.values()]
        return None if None in counts else sum(counts)

    def blocks(self) -> tuple[NDArray[Any], ...]:  # Any: float32 or float16
        """Return the finished shards in order, memory-mapped, [n_i, d]."""
        return tuple(self.block(shard) for shard in sorted(self._done))

    def block(self, shard: int) -> NDArray[Any]:  # Any: float32 or float16
        """Return a finished shard, memory-mapped; coded rows read as float32 wherever some of them are taken."""
        block: NDArray[Any] = np.load(self.path(shard), mmap_mode="r")
        if self.key.dtype in CODINGS:
            return cast("NDArray[Any]", CodedRows(np.asarray(block), self.key.dtype, self._done[shard].dim))
        return block

    @property
    def cosines(self) -> tuple[float, float] | None:
        """Mean and least cosine of the finished rows with what they were, where they are coded."""
        known = [(len(self.rows_of(line.shard)), *line.cosines) for line in self._done.values() if line.cosines]
        if not known:
            return None
        rows, means, least = zip(*known, strict=True)
        return float(np.average(means, weights=rows)), min(least)

    def line(self, shard: int) -> Shard:
        """Return what is known of a finished shard."""
        return self._done[shard]

    def path(self, shard: int) -> Path:
        """Return the file of a shard."""
        return self.folder / f"{shard:06d}.npy"

    def read(self) -> None:
        """Read the manifest and keep what is whole."""
        self._done = {}
        if not _same_key(self.folder, self._key_file()):
            return
        for line in read_manifest(self.folder):
            if line.rows == (self.rows_of(line.shard).start, self.rows_of(line.shard).stop):
                self._done[line.shard] = line
        for line in list(self._done.values()):
            problem = self._problem(line)
            if problem:
                log.warning("%s %s; it is encoded again", self.path(line.shard), problem)
                del self._done[line.shard]
        with suppress(OSError):  # a cache that may only be read is of use, too
            os.utime(self.folder / KEY)  # `cache prune` goes by when it was last of use

    def write(self, shard: int, vectors: NDArray[Any], tokens: int | None, truncated: int | None) -> None:
        """Store one shard: the file first, then its line. Call it under `lock`."""
        path, rows = self.path(shard), self.rows_of(shard)
        block, kept = as_stored(vectors, self.key.dtype)
        with atomic_write(path) as temporary:
            with temporary.open("wb") as file:
                # As np.save does, but for its error on a full disk, which says neither that nor where.
                np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(block))
                file.write(block.data)
            digest = sha256_file(temporary)
        line = Shard(shard, (rows.start, rows.stop), digest, int(vectors.shape[1]), tokens, truncated, kept)
        append_line(self.folder / MANIFEST, line)
        self._done[shard] = line
        self._checked.add(path)

    @contextmanager
    def lock(self, is_over: Callable[[], bool] = lambda: False) -> Iterator[None]:
        """Keep other processes from encoding the same texts; what they finished meanwhile is read first.

        The wait for one of them ends with `Timeout` when `is_over` says that this run has ended.
        """
        from filelock import FileLock, Timeout

        with disk_faults(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / LOCK)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                log.warning("another process encodes %s; waiting for it", " ".join(self.about.values()) or self.folder)
                while not lock.is_locked:
                    try:
                        lock.acquire(timeout=1.0, poll_interval=0.1)
                    except Timeout:
                        if is_over():
                            raise
        try:
            if not _same_key(self.folder, self._key_file()):
                _empty(self.folder)
                write_text(self.folder / KEY, json.dumps(self._key_file(), ensure_ascii=False, indent=1) + "\n")
            self.read()
            yield
        finally:
            lock.release()

    def _key_file(self) -> dict[str, Any]:  # Any: JSON
        return {"schema": SCHEMA, **asdict(self.key), "rows": self.rows, "shard_rows": self.step, **self.about}

    def _problem(self, line: Shard) -> str | None:
        """Return what is wrong with a shard. The whole file is hashed only once per store object."""
        path = self.path(line.shard)
        shape = (line.rows[1] - line.rows[0], line.dim)
        problem = shard_problem(path, shape, self.key.dtype, None if path in self._checked else line.sha256)
        if problem is None:
            self._checked.add(path)
        return problem


def _same_key(folder: Path, expected: Mapping[str, Any]) -> bool:  # Any: JSON
    """Whether the folder holds these very vectors: short digests could agree by chance, shard sizes could change."""
    try:
        found = json.loads((folder / KEY).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
        return False
    except OSError as error:
        msg = f"{folder} cannot be read: {error}; choose another --cache-dir"
        raise EnvironmentFault(msg) from error
    names = ("schema", "vectors", "texts", "side", "prompt", "dtype", "truncate_dim", "rows", "shard_rows")
    return isinstance(found, dict) and all(found.get(name) == expected[name] for name in names)


def _empty(folder: Path) -> None:
    for path in [*folder.glob("*.npy"), *folder.glob(".*.tmp"), folder / MANIFEST, folder / KEY]:
        path.unlink(missing_ok=True)
