"""Find damaged files among the data sets in the cache."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from clear_bench.errors import DataError
from clear_bench.readers.arrow import FOLDER, TEXTS, corpus_problem
from clear_bench.readers.cache import datasets_folder, is_changed, kept_files
from clear_bench.readers.fetch import GIVEN, MEMBERS, WEB, given_problems


def damaged() -> Iterator[tuple[Path, str]]:
    """Hash every converted corpus, download, archive member and given file; yield the damaged ones and what is wrong.

    The next run that needs them makes or fetches them again, except for files that a user gave.
    """
    root = datasets_folder()
    for folder in sorted((root / FOLDER).glob("[!.]*/")):
        if any(folder.glob("[!.]*")) and (problem := corpus_problem(folder)):  # not one that is being converted
            yield folder / TEXTS, problem
    for kept in (WEB, MEMBERS):
        yield from ((path, "does not match its checksum") for path in kept_files(root / kept) if is_changed(path))
    for given in sorted((root / GIVEN).glob("[!.]*/")):
        try:
            yield from given_problems(given)
        except DataError as error:
            yield given, str(error)
