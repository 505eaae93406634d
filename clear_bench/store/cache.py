"""List, check and prune the cache folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from clear_bench.disk import disk_faults
from clear_bench.errors import MissingExtraError
from clear_bench.store.embeddings import FOLDER, KEY, LOCK
from clear_bench.store.shards import read_manifest, shard_problem

MODELS = "models"


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """One folder of the cache: the vectors of a text set, or a built model."""

    kind: Literal["embeddings", "model"]
    path: Path
    model: str
    language: str
    side: str
    dtype: str
    rows: int
    """Texts in the set; 0 for a model."""
    encoded: int
    """Texts whose vectors are there."""
    size: int
    """Bytes."""
    used: datetime
    """When it was last of use, UTC."""


def list_cache(cache: Path) -> list[CacheEntry]:
    """List embeddings and built models, the least recently used first."""
    entries = [_embeddings(folder) for folder in _key_folders(cache)]
    for folder in sorted((cache / MODELS).glob("[!.]*")):
        size, used = _size(folder), datetime.fromtimestamp(folder.stat().st_mtime, UTC)
        entries.append(CacheEntry("model", folder, folder.name, "", "", "", 0, 0, size, used))
    return sorted(entries, key=lambda entry: entry.used)


def verify_cache(cache: Path) -> list[tuple[Path, str]]:
    """Hash every shard; gives the damaged ones and what is wrong with them. The next run encodes those again."""
    damaged = []
    for folder in _key_folders(cache):
        dtype = str(_key(folder).get("dtype"))
        for line in read_manifest(folder):
            path = folder / f"{line.shard:06d}.npy"
            problem = shard_problem(path, (line.rows[1] - line.rows[0], line.dim), dtype, line.sha256)
            if problem:
                damaged.append((path, problem))
    return damaged


def prune_cache(
    cache: Path, *, older_than: timedelta | None = None, max_size: int | None = None, everything: bool = False
) -> list[CacheEntry]:
    """Remove embeddings and give what was removed; built models stay unless `everything` goes.

    `older_than`: those not used for so long. `max_size`: the least recently used, until the rest has so many bytes.
    A text set that another process is encoding is passed over.
    """
    entries = list_cache(cache)
    now, left = datetime.now(UTC), sum(entry.size for entry in entries if entry.kind == "embeddings")
    removed = []
    for entry in entries:
        old = older_than is not None and now - entry.used > older_than
        large = max_size is not None and left > max_size
        if (everything or (entry.kind == "embeddings" and (old or large))) and _remove(entry):
            removed.append(entry)
            left -= entry.size
    return removed


def _key_folders(cache: Path) -> Iterator[Path]:
    return (path.parent for path in sorted((cache / FOLDER).glob(f"*/*/{KEY}")))


def _key(folder: Path) -> dict[str, object]:
    try:
        key = json.loads((folder / KEY).read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return {}
    return key if isinstance(key, dict) else {}


def _embeddings(folder: Path) -> CacheEntry:
    key = _key(folder)
    model, language, side, dtype = (str(key.get(name, "")) for name in ("model", "language", "side", "dtype"))
    rows = key.get("rows")
    used = datetime.fromtimestamp((folder / KEY).stat().st_mtime, UTC)
    encoded = sum(line.rows[1] - line.rows[0] for line in read_manifest(folder))
    total = rows if isinstance(rows, int) else 0
    return CacheEntry("embeddings", folder, model, language, side, dtype, total, encoded, _size(folder), used)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _remove(entry: CacheEntry) -> bool:
    """Remove one folder, and its parent when that is empty then; False where another process holds it."""
    try:
        from filelock import FileLock, Timeout
    except ImportError:
        raise MissingExtraError("filelock", "cpu") from None
    with disk_faults(entry.path):
        if entry.kind == "embeddings":
            try:
                with FileLock(entry.path / LOCK, timeout=0):
                    shutil.rmtree(entry.path, ignore_errors=True)
            except Timeout:
                return False
            if not any(entry.path.parent.iterdir()):
                entry.path.parent.rmdir()
        else:
            shutil.rmtree(entry.path)
    return True
