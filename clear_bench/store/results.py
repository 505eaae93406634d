"""Result folders `OUT/<model-slug>/<task>/`: scores, run, and a manifest that is written last and seals the rest."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from clear_bench.disk import disk_faults, is_plain_name, sha256_file, sync, write_text
from clear_bench.errors import InputError, TamperedError, UsageError
from clear_bench.store.manifests import (
    MANIFEST,
    MTEB,
    RUN,
    SCHEMA,
    SCORES,
    Manifest,
    manifest_digest,
    read_manifest,
    refuse_link,
)
from clear_bench.store.tables import KEYS, count_queries, read_scores
from clear_bench.types import LanguagePair, Scores

__all__ = [
    "KEYS",
    "MANIFEST",
    "MTEB",
    "RUN",
    "SCORES",
    "Manifest",
    "Result",
    "RunWriter",
    "manifest_digest",
    "read_manifest",
    "read_result",
    "read_results",
    "result_folders",
    "save_result",
    "seal",
]


class RunWriter:
    """Writes a run as it is made, in row groups of many pairs: a big matrix never stands in memory."""

    ROWS = 2**17
    """Hits in a row group: small groups cost more time than their hits."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []

    def write(self, table: pa.Table) -> None:
        """Append one pair's hits."""
        self._waiting.append(table)
        if sum(len(part) for part in self._waiting) >= self.ROWS:
            self._flush()

    def close(self) -> None:
        """Finish the file."""
        if self._waiting:
            self._flush()
        if self._writer is not None:
            self._writer.close()

    def _flush(self) -> None:
        table = pa.concat_tables(self._waiting).unify_dictionaries()
        if self._writer is None:
            self._writer = pq.ParquetWriter(
                self.path,
                table.schema,
                compression="zstd",
                # Similarities hardly repeat; ids and languages do.
                use_dictionary=[name for name in table.column_names if name != "similarity"],
                write_statistics=False,
                # Without the Arrow schema every reader sees plain strings.
                store_schema=False,
            )
        self._writer.write_table(table)
        self._waiting = []


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """A finished evaluation of one checkpoint on one task, read back and checked against its manifest."""

    path: Path
    scores: Scores
    manifest: Mapping[str, Any]  # Any: JSON

    @property
    def task(self) -> str:
        """Name of the task."""
        return str(self.manifest["task"]["name"])

    @property
    def card(self) -> str:
        """How `--tasks` finds the task again: the path of a user's own card, `mteb:NAME`, else the task's name."""
        task = self.manifest["task"]
        if own := task.get("card"):
            return os.path.normpath(self.path.resolve() / str(own))
        mteb = task["source"].get("mteb")
        return f"mteb:{mteb}" if mteb else self.task

    @property
    def model(self) -> str:
        """Name of the checkpoint, as the user typed it."""
        return str(self.manifest["model"]["name"])

    @property
    def pairs(self) -> tuple[LanguagePair, ...]:
        """The language pairs that were evaluated."""
        return tuple(LanguagePair(*pair.split(":")) for pair in self.manifest["pairs"])


def check_task_name(name: str) -> None:
    """Refuse a name that cannot name a folder, or that would lead out of the one where results go."""
    if not is_plain_name(name):
        msg = (
            f"the task name {name!r:.80} cannot name a folder: give it 1 to 100 letters, digits, '.', '_', '+' and '-'"
        )
        raise UsageError(msg)


def save_result(folder: Path, write: Callable[[Path], Manifest], *, force: bool = False) -> Path:
    """Write a result as a whole: `write` fills a temporary folder and gives the manifest, a rename shows both.

    Raises `UsageError` when another result stands at `folder` and `force` is not set.
    """
    check_task_name(folder.name)
    if folder.exists() and not force:
        raise UsageError(_in_the_way(folder))
    with disk_faults(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(folder)
        temporary, handle = _temporary(folder)
    try:
        with disk_faults(folder):
            manifest = write(temporary)
            seal(temporary, manifest)
            _publish(temporary, folder, manifest.get("identity"), force)
    finally:
        os.close(handle)
        shutil.rmtree(temporary, ignore_errors=True)
        with suppress(OSError):
            folder.parent.rmdir()  # empty only where nothing was saved
    return folder


def seal(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json with the rows of every pair, the digests of the files beside it and of itself."""
    beside = sorted(path for path in folder.iterdir() if path.name != MANIFEST)
    for path in beside:
        sync(path)
    counts = manifest.get("counts", {}) | {"queries": count_queries(folder / SCORES)}
    digests = {path.name: sha256_file(path) for path in beside}
    content = {"schema": SCHEMA, **manifest, "counts": counts, "files": digests}
    content["manifest_digest"] = manifest_digest(content)
    write_text(folder / MANIFEST, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_result(folder: Path) -> Result:
    """Read one result and check every file beside its manifest.

    A missing run.parquet is accepted (boards are committed without their runs), a changed one is not.
    Raises `TamperedError` for a file that differs, and for what cannot be a result, whoever sealed it.
    """
    manifest = read_manifest(folder)
    for name, digest in manifest["files"].items():
        path = folder / name
        refuse_link(path)
        if name == RUN and not path.exists():
            continue
        if not path.is_file():
            raise TamperedError(f"{path} is missing, but the manifest lists it; run the evaluation again")
        if sha256_file(path) != digest:
            raise TamperedError(f"{path} was changed after the run: its digest does not match the manifest")
    table = read_scores(folder / SCORES, manifest)
    return Result(folder, Scores(table, tuple(manifest["task"]["metrics"]), manifest), manifest)


def read_results(path: Path) -> list[Result]:
    """Read a result folder, or every task of a model's folder, sorted by task name."""
    return [read_result(folder) for folder in result_folders(path)]


def result_folders(path: Path) -> list[Path]:
    """List the result folders at `OUT/<slug>/<task>` or below `OUT/<slug>`; raises `InputError` when there is none."""
    if not path.is_dir():
        raise InputError(f"{path}: no such folder; give OUT/<model> or OUT/<model>/<task> of a finished run")
    if (path / MANIFEST).is_file():
        return [path]
    folders = sorted(manifest.parent for manifest in path.glob(f"[!.]*/{MANIFEST}"))
    if not folders:
        raise InputError(f"{path}: no finished result in it (no {MANIFEST}); give OUT/<model> or OUT/<model>/<task>")
    return folders


def _in_the_way(folder: Path) -> str:
    return f"{folder} already holds another result; give --force to replace it, or another --out"


def _temporary(folder: Path) -> tuple[Path, int]:
    """Make a folder beside the target, locked for as long as this process lives; gives it and what holds the lock."""
    made = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
    made.chmod(0o755)
    handle = os.open(made, os.O_RDONLY)
    _lock(handle)
    # The name by which others find abandoned folders comes only with the lock.
    named = made.with_name(f".{folder.name}.{made.name.removeprefix('.new-')}")
    os.rename(made, named)
    return named, handle


def _remove_abandoned(folder: Path) -> None:
    """Remove what a killed process left beside the target; what nobody holds a lock on is abandoned."""
    for path in folder.parent.glob(f".{folder.name}.*/"):
        with suppress(OSError):
            handle = os.open(path, os.O_RDONLY)
            try:
                if _lock(handle):
                    shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(handle)


def _lock(handle: int) -> bool:
    """Lock an open folder if nobody else does; False also where the file system has no locks."""
    import fcntl  # not on Windows, where results can be read all the same

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _publish(temporary: Path, folder: Path, identity: str | None, force: bool) -> None:
    """Put a finished folder in place; an old one stays whole until the new one is complete.

    Where another process put the same result there meanwhile, that one stays.
    """
    aside = []
    while not _rename(temporary, folder):
        if not force:
            if identity is not None and read_manifest(folder).get("identity") == identity:
                return
            raise UsageError(_in_the_way(folder))
        aside.append(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        with suppress(FileNotFoundError):
            os.rename(folder, aside[-1])
    for old in aside:
        shutil.rmtree(old, ignore_errors=True)
    sync(folder.parent)


def _rename(source: Path, target: Path) -> bool:
    """Rename a folder; False where another one stands there."""
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True
