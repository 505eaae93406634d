"""Where data sets are kept between runs, and how their files are known again."""

from __future__ import annotations

import hashlib
from pathlib import Path

from clear_bench.disk import cache_root


def datasets_folder() -> Path:
    """Give the folder of data sets in the cache."""
    return cache_root() / "datasets"


def short_name(identity: str) -> str:
    """Name a folder after what it holds."""
    return hashlib.sha256(identity.encode()).hexdigest()[:32]


def digest(path: Path, algorithm: str = "sha256") -> str:
    """Hash a file, hex; `git` is the hash by which git and the hub name small files."""
    with path.open("rb") as file:
        if algorithm != "git":
            return hashlib.file_digest(file, algorithm).hexdigest()
        state = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
        while block := file.read(1 << 20):
            state.update(block)
        return state.hexdigest()
