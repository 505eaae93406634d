"""Folders: whole ones or none, filled under a hidden name and shown by one rename; a kill leaves the old or the new."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from clear_bench.disk import sync

AT_FDCWD, EXCHANGE = -100, 2
"""Of Linux's renameat2: paths are as they are; the two change places."""
UNKNOWN = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP}
"""What a kernel or file system says that cannot do it."""


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `folder` to fill; it takes its place when the block ends without an error."""
    with filling(folder) as temporary:
        yield temporary
        publish(temporary, folder, lambda: True)


@contextmanager
def filling(folder: Path) -> Iterator[Path]:
    """Yield an empty hidden folder beside `folder` to fill; it is gone afterwards, unless `publish` has used it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary, handle = _temporary(folder)
    try:
        yield temporary
    finally:
        os.close(handle)
        shutil.rmtree(temporary, ignore_errors=True)
        with suppress(OSError):
            folder.parent.rmdir()  # empty only where nothing was saved


def publish(temporary: Path, folder: Path, is_due: Callable[[], bool]) -> bool:
    """Put a filled folder in place of what stands there, or of nothing, where `is_due` still says so.

    No other process changes the place between the question and the answer. Returns False where it was not due.
    """
    with _one_at_a_time(folder.parent):
        if not is_due():
            return False
        if folder.exists():
            _exchange(temporary, folder)
        else:
            os.rename(temporary, folder)
        sync(folder.parent)
    return True


def recover(folder: Path, is_whole: Callable[[Path], bool]) -> None:
    """Clear up what killed processes left beside a folder; a whole one takes its place if nothing stands there."""
    if not folder.parent.is_dir():
        return
    with _one_at_a_time(folder.parent):
        for path in sorted(folder.parent.glob(".*/")):
            if path.name.rpartition(".")[0] != f".{folder.name}":
                continue  # what another folder's left, whose name may start like this one's: `a.b` beside `a`
            with suppress(OSError):
                handle = os.open(path, os.O_RDONLY)
                try:
                    if not _lock(handle):
                        continue
                    if not folder.exists() and is_whole(path):
                        os.rename(path, folder)
                    else:
                        shutil.rmtree(path, ignore_errors=True)
                finally:
                    os.close(handle)


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


@contextmanager
def _one_at_a_time(parent: Path) -> Iterator[None]:
    """Hold the folder's lock; where the file system has no locks, go on without."""
    handle = os.open(parent, os.O_RDONLY)
    try:
        _lock(handle, wait=True)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, *, wait: bool = False) -> bool:
    """Lock an open folder; False where somebody else has locked it, or where the file system has no locks."""
    import fcntl  # not on Windows, where results can be read all the same

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def _exchange(one: Path, other: Path) -> None:
    """Let two folders change places: in one step where the system can, else in steps that `recover` can go on from."""
    if sys.platform == "linux":
        rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
        if rename is not None and rename(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), EXCHANGE) == 0:
            return
        if rename is not None and ctypes.get_errno() not in UNKNOWN:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(other))
    aside = tempfile.mkdtemp(prefix=f".{other.name}.", dir=other.parent)
    os.rename(other, aside)
    os.rename(one, other)
    os.rename(aside, one)
