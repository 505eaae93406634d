"""The folder that keeps data sets between runs, and the hashes that show whether its files are still whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from clear_bench.disk import cache_root, sha256_file, write_text

_SUFFIX = ".sha256"


def datasets_folder() -> Path:
    """Return the folder of data sets in the cache."""
    return cache_root() / "datasets"


def short_name(identity: str) -> str:
    """Return the folder name for something that an identity describes."""
    return hashlib.sha256(identity.encode()).hexdigest()[:32]


def digest(path: Path, algorithm: str) -> str:
    """Return the hash of a file, hex; `git` is the hash by which git and the hub name small files."""
    if algorithm == "sha256":
        return sha256_file(path)
    with path.open("rb") as file:
        if algorithm != "git":
            return hashlib.file_digest(file, algorithm).hexdigest()
        state = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
        while block := file.read(1 << 20):
            state.update(block)
        return state.hexdigest()


def note_digest(path: Path) -> None:
    """Write the hash of a file beside it."""
    write_text(_note(path), sha256_file(path))


def is_noted(path: Path) -> bool:
    """Whether a file is kept with its hash."""
    return path.is_file() and _note(path).is_file()


def is_changed(path: Path) -> bool:
    """Whether a file differs from the hash beside it; a file without a hash counts as unchanged."""
    return is_noted(path) and _note(path).read_bytes() != sha256_file(path).encode()


def kept_files(folder: Path) -> Iterator[Path]:
    """Find the files below a folder that are kept with their hashes."""
    yield from (path.with_name(path.name[1 : -len(_SUFFIX)]) for path in sorted(folder.rglob(f".*{_SUFFIX}")))


def _note(path: Path) -> Path:
    return path.with_name(f".{path.name}{_SUFFIX}")
