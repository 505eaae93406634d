"""Which files in a folder of boards are ours, and whether they are what the results render to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from clear_bench.errors import UsageError

MARK = (
    "<!-- Written by `clear-bench leaderboard` from results whose digests match: do not edit, add a result and render "
    "again. -->"
)
"""First line of every file that is ours: others are left alone."""
_OURS = b"<!-- Written by `clear-bench leaderboard`"


def outdated(files: Mapping[str, str], folder: Path) -> list[str]:
    """List, with the reason, the files in `folder` that are not what the results render to."""
    found = [f"{name}: missing" for name in files if not (folder / name).exists()]
    found += [
        f"{name}: differs from what the results render to" for name in files if _is_other(folder / name, files[name])
    ]
    return sorted([*found, *(f"{name}: no result is left for it" for name in leftovers(files, folder))])


def leftovers(files: Mapping[str, str], folder: Path) -> list[str]:
    """List the boards of ours in `folder` that no result renders to any more."""
    present = sorted(path.name for path in folder.glob("*.md") if path.name not in files)
    return [name for name in present if _is_ours(folder / name)]


def refuse_foreign(files: Iterable[str], folder: Path) -> None:
    """Raise `UsageError` where a file that is not ours stands in the place of a board."""
    for name in files:
        if (folder / name).exists() and not _is_ours(folder / name):
            msg = f"{folder / name} was not written by clear-bench leaderboard; move it away or choose another --out"
            raise UsageError(msg)


def _is_ours(path: Path) -> bool:
    return path.is_file() and path.read_bytes().startswith(_OURS)


def _is_other(path: Path, text: str) -> bool:
    return path.exists() and (not path.is_file() or path.read_bytes() != text.encode())
