"""Files: whole ones or none, written under a temporary name, flushed to disk, renamed; and where the cache is."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from io import UnsupportedOperation
from pathlib import Path

from clear_bench.errors import EnvironmentFault, UserError

FULL = {errno.ENOSPC, errno.EDQUOT}
FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}
_OF_THE_PROCESS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}
SYSTEM = {*FULL, *_OF_THE_PROCESS, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO}
"""Error numbers that say nothing about a file itself: the machine does not do its part."""
_OTHER_DISK = "free some space, or point --out / --cache-dir at another disk"
_OTHER_FOLDER = "choose a folder of yours with --out / --cache-dir"
_MORE_FILES = "raise the limit (ulimit -n), or end programs that hold files open"
_PROBLEMS = {
    errno.ENOSPC: ("the disk is full", _OTHER_DISK),
    errno.EDQUOT: ("the disk quota is used up", _OTHER_DISK),
    errno.EACCES: ("this user may not read or write it", _OTHER_FOLDER),
    errno.EPERM: ("this user may not read or write it", _OTHER_FOLDER),
    errno.EROFS: ("the file system is read-only", _OTHER_FOLDER),
    errno.ENOTDIR: ("a part of that path is a file", _OTHER_FOLDER),
    errno.EEXIST: ("a part of that path is a file", _OTHER_FOLDER),
    errno.EISDIR: ("it is a folder", "name a file"),
    errno.ENOENT: ("there is no such file or folder", "make its folder, or name another one"),
    errno.ENAMETOOLONG: ("the name is too long for this file system", "choose a shorter one"),
    errno.EFBIG: ("the system lets no file be larger", "raise the limit (ulimit -f), or choose another disk"),
    errno.EMFILE: ("too many files are open", _MORE_FILES),
    errno.ENFILE: ("too many files are open on this machine", _MORE_FILES),
    errno.ENOMEM: ("out of memory", "try a smaller --batch-tokens, --limit, or --store-dtype float16"),
    errno.EIO: ("the disk reports an error", "choose another disk"),
    errno.EBADF: ("it is closed", "send it somewhere"),
}
"""Error number -> what is the matter, and the remedy."""
BLOCK, _PIECE = 64 << 20, 1 << 20
"""Bytes of a large file that one core hashes, and that it reads at a time."""
_SPELLED = re.compile(r"\b(?:os error|errno|object file: error)[: ]+(\d+)", re.IGNORECASE)


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; what was written there becomes `path` when the block ends without an error.

    A device or pipe (`/dev/stdout`) is written to, not replaced. Raises `EnvironmentFault` when the disk is full or the
    folder cannot be written.
    """
    with disk_faults(path):
        is_device = _is_device(path)
    if is_device:
        with disk_faults(path), tempfile.TemporaryDirectory() as folder:
            yield (temporary := Path(folder) / "content")
            path.write_bytes(temporary.read_bytes())
        return
    with disk_faults(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        os.close(handle)
    temporary = Path(name)
    try:
        with disk_faults(path):
            yield temporary
            os.chmod(temporary, 0o644)
            sync(temporary)
            os.replace(temporary, path)
            sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _is_device(path: Path) -> bool:
    place = path.absolute()
    is_other = path.exists() and not path.is_file() and not path.is_dir()
    return is_other or (place.exists() and (place.is_relative_to("/dev/") or place.is_relative_to("/proc/")))


PLAIN_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._+-]{0,98}[A-Za-z0-9_+-])?"
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{i}" for port in ("com", "lpt") for i in range(10))}
"""What Windows takes for a device, whatever follows after a dot."""


def is_plain_name(name: str) -> bool:
    """Whether a name can be a part of a file's name in any folder and on any system: no way out of it, no device.

    >>> [is_plain_name(name) for name in ("xquad-r", "mteb-A.de", "..", "a/b", "nul.x", "a.", "")]
    [True, True, False, False, False, False, False]
    """
    return re.fullmatch(PLAIN_NAME, name) is not None and name.partition(".")[0].lower() not in _DEVICES


def write_text(path: Path, text: str) -> None:
    """Write a text file as a whole, UTF-8."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sync(path: Path) -> None:
    """Flush a file or a folder entry to disk, so that a rename never outlives what it names."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256_file(path: Path) -> str:
    """Hash a file, hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_blocks(path: Path) -> str:
    """Hash a large file on all cores, hex: SHA-256 over the SHA-256 of its blocks."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        blocks = pool.map(lambda start: _hash_block(path, start), range(0, path.stat().st_size, BLOCK))
        return hashlib.sha256(b"".join(blocks)).hexdigest()


def _hash_block(path: Path, start: int) -> bytes:
    state, end = hashlib.sha256(), start + BLOCK
    with open(path, "rb") as file:
        file.seek(start)
        while file.tell() < end and (data := file.read(_PIECE)):
            state.update(data)
    return state.digest()


@contextmanager
def disk_faults(path: Path) -> Iterator[None]:
    """Turn a full or forbidden disk, and what else the system refuses, into a sentence with the path and the remedy."""
    try:
        yield
    except Exception as error:
        if fault := system_fault(error, path):
            raise fault from error
        raise


def refuse_system_faults(error: BaseException, path: Path | None = None) -> None:
    """Raise `EnvironmentFault` where the system could not read a file, which may be a good one."""
    if _hidden_number(error) is not None and (fault := system_fault(error, path or "")):
        raise fault from error


def system_fault(error: BaseException, place: object = "") -> EnvironmentFault | None:
    """Word an error of the system, or one that only reports it: what it concerns and the remedy.

    A file that could not be read for want of memory or rights was perhaps refused as a bad one: that is told here, too.
    Gives None where nothing says that the system is at fault, for what says so already, and for a pipe that was closed.
    """
    if isinstance(error, EnvironmentFault | BrokenPipeError | UnsupportedOperation):
        return None
    own = error if isinstance(error, OSError) and error.errno in _PROBLEMS else None
    number = own.errno if own else _hidden_number(error)
    if number is None:
        return None
    where = place or (own.filename if own and own.filename is not None else "")
    where = "" if number in _OF_THE_PROCESS else where
    problem, remedy = _PROBLEMS[number]
    return EnvironmentFault(f"{where}: {problem}: {remedy}" if str(where) else f"{problem}: {remedy}")


def _hidden_number(error: BaseException | None) -> int | None:
    """Find the system's error number in an error, in those that led to it, and in what libraries say of them.

    Only `SYSTEM` counts: a file that was not there may have been looked for in vain, and found elsewhere.
    """
    while error is not None:
        if isinstance(error, MemoryError):
            return errno.ENOMEM
        text = "" if isinstance(error, UserError) else str(error)
        found = {int(number) for number in _SPELLED.findall(text)}
        found |= {number for number in SYSTEM if os.strerror(number) in text}
        if isinstance(error, OSError) and error.errno:
            found = {error.errno}
        if known := found & SYSTEM:
            return min(known)
        error = error.__cause__ or error.__context__
    return None


_CACHE: ContextVar[Path | None] = ContextVar("cache", default=None)


@contextmanager
def cache_at(folder: Path | str | None) -> Iterator[None]:
    """Keep data sets, built models and embeddings in `folder` while the block runs; None leaves the place as it is.

    `--cache-dir` of the command line and `cache_dir` of `evaluate` both mean this.
    """
    token = _CACHE.set(Path(folder) if folder is not None else _CACHE.get())
    try:
        yield
    finally:
        _CACHE.reset(token)


def cache_root(given: Path | None = None) -> Path:
    """Return the cache folder: the argument, that of `cache_at`, `CLEAR_BENCH_CACHE`, else the user's cache."""
    from platformdirs import user_cache_path

    if chosen := given or _CACHE.get():
        return chosen
    variable = os.environ.get("CLEAR_BENCH_CACHE")
    return Path(variable) if variable else user_cache_path("clear-bench")
