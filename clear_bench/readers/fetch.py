"""Find the files of a card's entries: given by the user, fetched before or fetched now, and always checked."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from clear_bench import hub
from clear_bench.disk import sha256_file
from clear_bench.errors import CardError, DataError, EnvironmentFault
from clear_bench.readers import archives, repositories, web
from clear_bench.readers.cache import datasets_folder, digest, is_changed, note_digest, short_name
from clear_bench.readers.origins import Origin, entry, origin

if TYPE_CHECKING:
    from clear_bench.tasks import Task

WEB, MEMBERS, GIVEN, ORIGIN = "web", "members", "given", "origin.json"
"""Folders of what was downloaded, taken out of archives and given by users, and the note of what was given."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """An entry of a card, ready to be opened."""

    task: Task
    origin: Origin
    offline: bool

    @property
    def entry(self) -> str:
        """The entry, as it stands in the card."""
        return self.origin.entry

    def identity(self) -> str:
        """Return a name for the content of the entry, without hashing, and without network where the card pins it."""
        given = given_folder(self.origin)
        if given is not None:
            return f"{self.entry} {given_hashes(given)}"
        if "path" in self.task.source:
            stats = [(path.as_posix(), path.stat()) for path in self._files()]
            return json.dumps([(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats])
        stated = hashes(self.task).get(self.origin.file_name, "")
        if self.origin.is_pinned or stated:
            return f"{self.entry} {self.origin.place} {self.origin.revision} {stated}"
        return json.dumps([path.as_posix() for path in self._files()])  # the hub's cache has the commit in its paths

    def paths(self) -> list[Path]:
        """Return the files in a fixed order, checked, and fetched where they are missing.

        Raises `CardError` for what does not exist, `DataError` for a file with another hash than the card or the hub
        says, `EnvironmentFault` where nothing can be fetched.
        """
        found = self._files()
        for path in found:
            if self.origin.kind == "hub":
                repositories.check_content(path)
            check_hash(self.task, path)
        return [self._member(path) for path in found]

    def _files(self) -> list[Path]:
        given = given_folder(self.origin)
        if given is not None:
            return _still_there(given)
        if "path" in self.task.source:
            found = copies(self.origin, self.task.folder / self.task.source["path"])
            if not found:
                msg = f"card {self.task.name}: {self.task.source['path']} has no copy of {self.entry}"
                raise CardError(msg)
            return found
        return repositories.fetch(self.origin, self.offline) if self.origin.kind == "hub" else [self._downloaded()]

    def _downloaded(self) -> Path:
        path = datasets_folder() / WEB / short_name(self.origin.place) / self.origin.file_name
        is_damaged = is_changed(path)
        if is_damaged:
            log.warning("%s does not match its checksum; it is fetched again", path)
        if is_damaged or not path.is_file():
            if self.offline or hub.is_offline():
                msg = (
                    f"{self.origin.place} was not fetched yet, and this run is offline; to go on, run "
                    f"`clear-bench fetch {self.task.name}` where the network is reachable and bring CLEAR_BENCH_CACHE "
                    f"along, or give the file with `clear-bench fetch {self.task.name} --source FILE`"
                )
                raise EnvironmentFault(msg)
            web.download(self.origin.place, path)
            try:
                check_hash(self.task, path)
            except DataError:
                path.unlink()
                raise
            note_digest(path)
        return path

    def _member(self, path: Path) -> Path:
        """Return the entry's member of an archive; any other file as it is."""
        if not self.origin.is_member or not archives.is_archive(path):
            return path
        facts = path.stat()
        name = short_name(f"{self.origin.place} {facts.st_size} {facts.st_mtime_ns}")
        return archives.extract(path, self.origin.path, datasets_folder() / MEMBERS / name)


def source(task: Task, key: str, query: str | None = None, passage: str | None = None, offline: bool = False) -> Source:
    """Resolve an entry of `[files]` for a language or pair."""
    return Source(task, origin(task, entry(task, key, query, passage)), offline)


def warn_unpinned(task: Task) -> None:
    """Warn once about the repositories that a card reads at a revision that can move."""
    if "path" in task.source:
        return
    moving = {}
    for text in task.files.values():
        one = origin(task, text)
        pattern = re.sub(r"\{.*?\}", "*", one.file_name)
        if not one.is_pinned and not any(fnmatch(name, pattern) for name in hashes(task)):
            moving[one.place] = one.revision
    for place, revision in moving.items():
        log.warning(
            "%s: the card reads %s at %s, which is not a fixed commit: scores compare only while it stays the same",
            task.name,
            place,
            revision,
        )


def copies(wanted: Origin, folder: Path) -> list[Path]:
    """Return the files of an entry in a folder of copies: OWNER/NAME/..., or the files themselves."""
    if wanted.kind == "web":
        names = [wanted.path, Path(wanted.path).name] if wanted.is_member else []
        names += [wanted.file_name, f"{wanted.file_name}.gz"]
        return next(([folder / name] for name in names if (folder / name).is_file()), [])
    for root in dict.fromkeys((folder / wanted.place, folder)):
        readme = root / "README.md"
        if wanted.config and not readme.is_file():
            continue
        found = repositories.matching(root, repositories.declared(readme, wanted) if wanted.config else [wanted.path])
        if found:
            return found
    return []


def given_folder(wanted: Origin) -> Path | None:
    """Return the folder of what a user gave for an entry, or for the archive that it is a member of; else None."""
    folders = [place_of(wanted), place_of(wanted, whole=True)] if wanted.is_member else [place_of(wanted)]
    return next((folder for folder in folders if (folder / ORIGIN).is_file()), None)


def given_hashes(given: Path) -> list[str]:
    """Read the SHA-256 of the files that a user gave; raises `DataError` where the note of them is damaged."""
    try:
        found = json.loads((given / ORIGIN).read_bytes())["sha256"]
    except (ValueError, RecursionError, KeyError, TypeError):
        found = None
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        msg = f"{given / ORIGIN} is damaged; delete {given} and give the files again with `clear-bench fetch --source`"
        raise DataError(msg)
    return found


def given_problems(given: Path) -> list[tuple[Path, str]]:
    """Return the given files that are missing or were changed, each with what is wrong."""
    found, stated = _given_files(given), given_hashes(given)
    if len(found) != len(stated):
        return [(given, f"holds {len(found)} files instead of {len(stated)}")]
    gone = [(path, "is gone") for path in found if not path.exists()]
    pairs = zip(found, stated, strict=True)
    return gone + [(path, "was changed since") for path, hash_ in pairs if path.exists() and sha256_file(path) != hash_]


def place_of(wanted: Origin, whole: bool = False) -> Path:
    """Return the folder for the files that a user gives for an entry, or for the whole archive that it is in."""
    name = wanted.place if whole else f"{wanted.entry} {wanted.place} {wanted.revision}"
    return datasets_folder() / GIVEN / short_name(name)


def hashes(task: Task) -> Mapping[str, str]:
    """Return the hashes that a card states, `md5:...` or `sha256:...`, by file name."""
    return dict(task.options.get("hashes", {}))


def check_hash(task: Task, path: Path) -> None:
    """Compare a file with the hash that the card states for its name; raises `DataError` where they differ."""
    stated = hashes(task).get(path.name)
    if stated is None:
        return
    algorithm, _, value = stated.partition(":")
    found = digest(path, algorithm)
    if found != value:
        msg = f"{path}: {algorithm} is {found}, but the card {task.name} states {value}: another file, or a damaged one"
        raise DataError(msg)


def _given_files(given: Path) -> list[Path]:
    return sorted(path for path in (given / "files").rglob("*") if path.is_symlink() or path.is_file())


def _still_there(given: Path) -> list[Path]:
    for path, problem in given_problems(given):
        what = path.readlink() if path.is_symlink() else path
        msg = f"{what} was given with --source and {problem}; give it again"
        raise DataError(msg) if path.exists() else EnvironmentFault(msg)
    return _given_files(given)
