"""Result folders `OUT/<model-slug>/<task>/`: scores, run, and a manifest that is written last and seals the rest."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from clear_bench.disk import disk_faults, is_plain_name, sha256_file
from clear_bench.errors import InputError, OccupiedError, TamperedError, UsageError
from clear_bench.store.folders import filling, publish, recover
from clear_bench.store.manifest import MANIFEST, MTEB, RUN, SCORES, read_manifest, refuse_link, seal
from clear_bench.store.tables import KEYS, read_scores
from clear_bench.types import LanguagePair, Manifest, Scores

__all__ = [
    "KEYS",
    "MANIFEST",
    "MTEB",
    "RUN",
    "SCORES",
    "Result",
    "RunWriter",
    "read_manifest",
    "read_result",
    "read_results",
    "recover_result",
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
    manifest: Manifest

    @property
    def task(self) -> str:
        """Name of the task."""
        return self.manifest.task.name

    @property
    def card(self) -> str:
        """How `--tasks` finds the task again: the path of a user's own card, `mteb:NAME`, else the task's name."""
        task = self.manifest.task
        if task.card:
            return os.path.normpath(self.path.resolve() / task.card)
        mteb = task.source.get("mteb")
        return f"mteb:{mteb}" if mteb else self.task

    @property
    def model(self) -> str:
        """Name of the checkpoint, as the user typed it."""
        return self.manifest.model.name

    @property
    def pairs(self) -> tuple[LanguagePair, ...]:
        """The language pairs that were evaluated."""
        return self.manifest.language_pairs


def check_task_name(name: str) -> None:
    """Refuse a name that cannot name a folder, or that would lead out of the one where results go."""
    if not is_plain_name(name):
        msg = (
            f"the task name {name!r:.80} cannot name a folder: give it 1 to 100 letters, digits, '.', '_', '+' and '-'"
        )
        raise UsageError(msg)


def save_result(
    folder: Path, write: Callable[[Path], Manifest], *, force: bool = False, over: str | None = None
) -> Path:
    """Write a result as a whole: `write` fills a hidden folder and gives the manifest, one rename shows both.

    `over` is the manifest digest of the result that this one replaces; `force` replaces whatever is there. Raises
    `OccupiedError` when something else stands at `folder`, also where another process has put it there meanwhile.
    """
    check_task_name(folder.name)

    def is_due() -> bool:
        if force or not folder.exists():
            return force or over is None
        return (folder / MANIFEST).is_file() and read_manifest(folder).manifest_digest == over

    with disk_faults(folder):
        recover_result(folder)
        if not is_due():
            raise OccupiedError(_in_the_way(folder))
        with filling(folder) as temporary:
            seal(temporary, write(temporary))
            if not publish(temporary, folder, is_due):
                raise OccupiedError(_in_the_way(folder))
    return folder


def recover_result(folder: Path) -> None:
    """Clear up what killed processes left beside a result folder."""
    recover(folder, lambda path: (path / MANIFEST).is_file())


def read_result(folder: Path) -> Result:
    """Read one result and check every file beside its manifest.

    A missing run.parquet is accepted (boards are committed without their runs), a changed one is not.
    Raises `TamperedError` for a file that differs, and for what cannot be a result, whoever sealed it.
    """
    manifest = read_manifest(folder)
    for name, digest in manifest.files.items():
        path = folder / name
        refuse_link(path)
        if name == RUN and not path.exists():
            continue
        if not path.is_file():
            raise TamperedError(f"{path} is missing, but the manifest lists it; run the evaluation again")
        if sha256_file(path) != digest:
            raise TamperedError(f"{path} was changed after the run: its digest does not match the manifest")
    table = read_scores(folder / SCORES, manifest)
    return Result(folder, Scores(table, manifest.task.metrics, manifest), manifest)


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
