"""Use files that a user already has instead of a download."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clear_bench.disk import atomic_write, disk_faults, sha256_file
from clear_bench.errors import CardError
from clear_bench.readers import archives
from clear_bench.readers.fetch import ORIGIN, check_hash, copies, given_folder, given_hashes, place_of
from clear_bench.readers.origins import Origin, entry, origin
from clear_bench.registry import unknown

if TYPE_CHECKING:
    from clear_bench.tasks import Task
    from clear_bench.types import LanguagePair

_COPY_BELOW = 100 << 20
"""Bytes up to which a file is copied; a larger one is linked to."""


def place(task: Task, pairs: Sequence[LanguagePair], given: Path, key: str | None = None) -> list[str]:
    """Use a local file or folder instead of a download. Return the card entries it replaces.

    A folder holds the files under the paths of the card's entries, or copies of repositories (OWNER/NAME/...). A file
    serves the one entry that ends with its name, or that `key` names; an archive serves all its members. Hashes that
    the card states are checked. Raises `CardError` where nothing of the card fits, or several entries do.
    """
    if key is not None and key not in task.files:
        raise CardError(f"card {task.name}: {unknown('[files] entry', key, task.files)}")
    if not given.exists():
        msg = f"{given}: there is no such file or folder"
        raise CardError(msg)
    origins = {one.entry: one for name in task.files if key in (None, name) for one in _origins(task, name, pairs)}
    serves = {one: _found(one, given, key is not None) for one in origins.values()}
    serves = {one: files for one, files in serves.items() if files}
    _check_one_meaning(task, given, list(origins.values()), list(serves))
    for folder, files in {_target(one, files): files for one, files in serves.items()}.items():
        _keep(task, folder, files)
    return [one.entry for one in serves]


def brought(task: Task, pairs: Sequence[LanguagePair]) -> dict[str, list[str]]:
    """Return the entries of a card that files of the user replace: entry -> their SHA-256."""
    if "path" in task.source:
        return {}
    origins = {one.entry: one for name in task.files for one in _origins(task, name, pairs)}
    folders = {name: given_folder(one) for name, one in sorted(origins.items())}
    return {name: given_hashes(folder) for name, folder in folders.items() if folder is not None}


def _origins(task: Task, key: str, pairs: Sequence[LanguagePair]) -> Iterator[Origin]:
    """Yield the places of an entry: of a corpus for the pairs, of anything else for all pairs of the card."""
    for pair in pairs if key == "corpus" else [*task.pairs, *pairs]:
        for passage in task.corpora_of((pair.passage,)):
            query = {"corpus": None, "data": passage}.get(key, pair.query)
            yield origin(task, entry(task, key, query, passage))
            if key == "data":
                yield origin(task, entry(task, key, pair.query, passage))


def _found(wanted: Origin, given: Path, is_named: bool) -> list[Path]:
    if given.is_dir():
        return copies(wanted, given)
    names = {wanted.file_name, Path(wanted.path).name}
    fits = given.name.removesuffix(".gz") in {name.removesuffix(".gz") for name in names}
    return [given] if fits or is_named else []


def _check_one_meaning(task: Task, given: Path, origins: list[Origin], serves: list[Origin]) -> None:
    msg = ""
    if not serves:
        names = sorted({one.file_name or one.entry for one in origins})
        more = ", ..." if len(names) > 8 else ""
        msg = (
            f"{given} fits no entry of card {task.name}, which reads {', '.join(names[:8])}{more}; "
            f"--source KEY={given} says which entry it is: {', '.join(task.files)}"
        )
    elif len(serves) > 1 and given.is_file() and not archives.is_archive(given):
        msg = (
            f"{given} could be any of {len(serves)} entries of card {task.name}, such as {serves[0].entry} and "
            f"{serves[1].entry}; put it in a folder under its own path and give the folder, or narrow --pairs"
        )
    if msg:
        raise CardError(msg)


def _target(wanted: Origin, files: list[Path]) -> Path:
    return place_of(wanted, whole=wanted.is_member and archives.is_archive(files[0]))


def _keep(task: Task, folder: Path, files: list[Path]) -> None:
    """Copy files, link to large ones, and note their hashes."""
    for path in files:
        check_hash(task, path)
    shutil.rmtree(folder, ignore_errors=True)
    for i, path in enumerate(files):
        target = folder / "files" / f"{i:05}" / path.name
        with disk_faults(target):
            target.parent.mkdir(parents=True)
            if path.stat().st_size < _COPY_BELOW:
                shutil.copyfile(path, target)
            else:
                target.symlink_to(path.resolve())
    with atomic_write(folder / ORIGIN) as temporary:
        temporary.write_text(json.dumps({"sha256": [sha256_file(path) for path in files]}))
