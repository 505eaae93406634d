"""Finds the files of hub data sets: the datasets library lists the files of a split, and our readers read them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from clear_bench.errors import DataError, EnvironmentFault, UsageError
from clear_bench.readers import repositories
from clear_bench.readers.cells import is_table
from clear_bench.readers.origins import hub_file
from clear_bench.train.parts import DataPart

if TYPE_CHECKING:
    from datasets import BuilderConfig, Dataset

PLACES = ("name", "version", "data_dir", "data_files", "description")
"""Settings of a data set that do not say how its files are written."""


def plain_files(data: DataPart) -> list[Path]:
    """Return the files of a split, fetched, where they are plain tables; empty where only the library can read them."""
    from datasets import load_dataset_builder

    with _worded(data):
        builder = load_dataset_builder(str(data.hub), data.subset, revision=data.revision)
    splits = builder.config.data_files or {}
    names = [str(name) for name in splits.get(data.hub_split, ())]
    if names and all(is_table(Path(name)) for name in names) and _is_plain(builder.config, names):
        return [path for name in names for path in _local(name)]
    if Path(str(data.hub)).is_dir():  # the library's cache may hold what a file was before it was changed
        msg = (
            f"data.hub {data.hub!r} is a folder without a split {data.hub_split!r} of plain .jsonl, .csv, .tsv or "
            f".parquet files; it has {', '.join(map(str, splits)) or 'none'}: name the files by data.files"
        )
        raise UsageError(msg)
    return []


def load(data: DataPart) -> Dataset:
    """Load a split with the datasets library."""
    from datasets import load_dataset

    with _worded(data):
        return load_dataset(data.hub, data.subset, split=data.hub_split, revision=data.revision)


def _local(name: str) -> list[Path]:
    origin = hub_file(name)
    return [Path(name)] if origin is None else repositories.fetch(origin, offline=False)


def _is_plain(config: BuilderConfig, names: list[str]) -> bool:
    """Return whether a data set has the library's default settings, so that its files are ordinary tables."""
    separator = "\t" if all(".tsv" in name for name in names) else ","
    usual = {field.name: field.default for field in fields(config)} | {"sep": separator}
    return all(getattr(config, name, value) == value for name, value in usual.items() if name not in PLACES)


@contextmanager
def _worded(data: DataPart) -> Iterator[None]:
    """Raise the errors of the library as ours, in one sentence with the data set's name."""
    from datasets.exceptions import DatasetBuildError

    where = f"data.hub {data.hub!r}"
    try:
        yield
    except DatasetBuildError as error:
        msg = f"{where} cannot be read: {_first_line(error.__cause__ or error)}"
        raise DataError(msg) from error
    except ValueError as error:
        msg = f"{where}: {_first_line(error)}; see data.subset and data.hub_split"
        raise UsageError(msg) from error
    except OSError as error:
        msg = f"{where} cannot be had: {_first_line(error)}"
        raise EnvironmentFault(msg) from error


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
