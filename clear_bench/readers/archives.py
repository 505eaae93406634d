"""Extract single members of zip and tar archives; nothing is ever written outside the target folder."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

from clear_bench.disk import atomic_write
from clear_bench.errors import DataError
from clear_bench.readers.cache import is_changed, is_noted, note_digest

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")


def is_archive(path: Path) -> bool:
    """Whether a file is an archive, by its name."""
    return path.name.endswith(SUFFIXES)


def extract(archive: Path, member: str, folder: Path) -> Path:
    """Extract one member of an archive unless an undamaged copy is there. Return its path below `folder`.

    Raises `DataError` for an archive that is damaged, that has no such member, or any of whose members points outside
    its folder: such an archive is not trusted at all.
    """
    names = _names(archive)
    for name in names:
        parts = PurePosixPath(name.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts or ":" in name:
            msg = f"{archive}: the member {name!r} points outside the archive's folder; the archive is refused"
            raise DataError(msg)
    found = next((name for name in names if name == member or name.removeprefix("./") == member), None)
    if found is None:
        files = [name for name in names if not name.endswith("/")]
        msg = f"{archive}: has no member {member!r}, but {', '.join(files[:8])}{', ...' if len(files) > 8 else ''}"
        raise DataError(msg)
    target = folder / member
    if not is_noted(target) or is_changed(target):
        with atomic_write(target) as temporary:
            _copy(archive, found, temporary)
        note_digest(target)
    return target


def _names(archive: Path) -> list[str]:
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                return opened.namelist()
        with tarfile.open(archive) as tar:
            return tar.getnames()
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        msg = f"{archive}: not a zip or tar archive, or a damaged one ({error})"
        raise DataError(msg) from None


def _copy(archive: Path, name: str, target: Path) -> None:
    try:
        with target.open("wb") as out:
            if zipfile.is_zipfile(archive):
                with zipfile.ZipFile(archive) as opened, opened.open(name) as member:
                    shutil.copyfileobj(member, out)
                return
            with tarfile.open(archive) as tar:
                # A link could point at anything, so only plain files are taken.
                content = tar.extractfile(name) if tar.getmember(name).isfile() else None
                if content is None:
                    msg = f"{archive}: the member {name!r} is not a plain file"
                    raise DataError(msg)
                shutil.copyfileobj(content, out)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        msg = f"{archive}: the member {name!r} is damaged ({error})"
        raise DataError(msg) from None
