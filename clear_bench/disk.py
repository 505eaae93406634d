"""Files: whole ones or none, written under a temporary name, flushed to disk, renamed; and where the cache is."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from clear_bench.errors import EnvironmentFault

FULL = {errno.ENOSPC, errno.EDQUOT}
FORBIDDEN = {
    errno.EACCES: "it cannot be written",
    errno.EROFS: "the file system is read-only",
    errno.ENOTDIR: "a part of that path is a file",
    errno.EEXIST: "a part of that path is a file",
}
"""What is the matter, by error number."""


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; what was written there becomes `path` when the block ends without an error.

    Raises `EnvironmentFault` when the disk is full or the folder cannot be written.
    """
    with disk_faults(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        os.close(handle)
    temporary = Path(name)
    try:
        with disk_faults(path):
            yield temporary
            os.chmod(temporary, 0o644)
            sync(temporary)
            os.replace(temporary, path)
            sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file as a whole, UTF-8."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sync(path: Path) -> None:
    """Flush a file or a folder entry to disk, so that a rename never outlives what it names."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256_file(path: Path) -> str:
    """Hash a file, hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def disk_faults(path: Path) -> Iterator[None]:
    """Turn a full or forbidden disk into a sentence with the path and the remedy."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            problem = "the disk is full" if error.errno == errno.ENOSPC else "the disk quota is used up"
            msg = f"{path}: {problem}: free some space, or point --out / --cache-dir at another disk"
        elif error.errno in FORBIDDEN:
            msg = f"{path}: {FORBIDDEN[error.errno]}: choose a folder of yours with --out / --cache-dir"
        else:
            raise
        raise EnvironmentFault(msg) from error


_CACHE: ContextVar[Path | None] = ContextVar("cache", default=None)


@contextmanager
def cache_at(folder: Path | str | None) -> Iterator[None]:
    """Keep data sets, built models and embeddings in `folder` while the block runs; None leaves the place as it is.

    `--cache-dir` of the command line and `cache_dir` of `evaluate` both mean this.
    """
    token = _CACHE.set(Path(folder) if folder is not None else _CACHE.get())
    try:
        yield
    finally:
        _CACHE.reset(token)


def cache_root(given: Path | None = None) -> Path:
    """Return the cache folder: the argument, that of `cache_at`, `CLEAR_BENCH_CACHE`, else the user's cache."""
    from platformdirs import user_cache_path

    if chosen := given or _CACHE.get():
        return chosen
    variable = os.environ.get("CLEAR_BENCH_CACHE")
    return Path(variable) if variable else user_cache_path("clear-bench")
