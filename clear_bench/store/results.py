"""Result folders `OUT/<model-slug>/<task>/`: scores, run, and a manifest that is written last and seals the rest."""

from __future__ import annotations

import errno
import hashlib
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
import pyarrow.compute as pc
import pyarrow.parquet as pq

from clear_bench.disk import disk_faults, sha256_file, sync, write_text
from clear_bench.errors import InputError, TamperedError, UsageError
from clear_bench.types import LanguagePair, Scores

SCHEMA = "clear-bench/result/1"
KEYS = ("query_language", "passage_language", "query_id", "cluster_id")
"""The columns of scores.parquet that are no metric."""
SCORES, RUN, MTEB, MANIFEST = "scores.parquet", "run.parquet", "mteb.json", "manifest.json"

Manifest = dict[str, Any]  # Any: JSON


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


def save_result(folder: Path, write: Callable[[Path], Manifest], *, force: bool = False) -> Path:
    """Write a result as a whole: `write` fills a temporary folder and gives the manifest, a rename shows both.

    Raises `UsageError` when another result stands at `folder` and `force` is not set.
    """
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
    """Write manifest.json with the digests of the files beside it and of itself."""
    files = sorted(path for path in folder.iterdir() if path.name != MANIFEST)
    for path in files:
        sync(path)
    content = {"schema": SCHEMA, **manifest, "files": {path.name: sha256_file(path) for path in files}}
    content["manifest_digest"] = manifest_digest(content)
    write_text(folder / MANIFEST, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def manifest_digest(manifest: Mapping[str, Any]) -> str:
    """Hash a manifest without its own digest, in canonical JSON."""
    content = {key: value for key, value in manifest.items() if key != "manifest_digest"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def read_manifest(folder: Path) -> Manifest:
    """Read and check a manifest; raises `InputError` where there is none and `TamperedError` where it was edited."""
    path = folder / MANIFEST
    if not path.is_file():
        msg = f"{folder}: no {MANIFEST}; give a result folder OUT/<model>/<task> or OUT/<model>"
        raise InputError(msg)
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        schema = manifest["schema"]
    except (ValueError, KeyError, TypeError) as error:
        raise TamperedError(f"{path} is no manifest ({error}); run the evaluation again") from error
    if schema != SCHEMA:
        msg = f"{path}: schema {schema!r}, but this version reads {SCHEMA!r}; run the evaluation again"
        raise InputError(msg)
    if manifest.get("manifest_digest") != manifest_digest(manifest):
        raise TamperedError(f"{path} was edited after the run: its digest does not match; run the evaluation again")
    return dict(manifest)


def read_result(folder: Path) -> Result:
    """Read one result and check every file beside its manifest.

    A missing run.parquet is accepted (boards are committed without their runs), a changed one is not.
    Raises `TamperedError` for a file that differs and for scores that are NaN or infinite.
    """
    manifest = read_manifest(folder)
    for name, digest in manifest["files"].items():
        path = folder / name
        if name == RUN and not path.exists():
            continue
        if not path.is_file():
            raise TamperedError(f"{path} is missing, but the manifest lists it; run the evaluation again")
        if sha256_file(path) != digest:
            raise TamperedError(f"{path} was changed after the run: its digest does not match the manifest")
    # `read_table` would import pyarrow.dataset and pandas with it: a fifth of a second for every gate.
    table = pq.ParquetFile(folder / SCORES).read()
    metrics = tuple(name for name in table.column_names if name not in KEYS)
    for name in metrics:
        # A null is a query that a metric does not count, such as one whose answers are all yes or no.
        if not pc.all(pc.is_finite(table[name]), min_count=0).as_py():
            raise TamperedError(f"{folder / SCORES}: column {name!r} holds values that are no finite number")
    return Result(folder, Scores(table, metrics, manifest), manifest)


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
