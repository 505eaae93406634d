"""Text files in UTF-8, plain or gzip, as blocks of whole lines; every error names file and line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from clear_bench.documents import foreign_encoding
from clear_bench.errors import CardError, DataError, EnvironmentFault

_BLOCK = 8 << 20
_GZIP, _UTF_8 = b"\x1f\x8b", b"\xef\xbb\xbf"


def resolve(path: Path, where: str) -> Path:
    """Find a file by its name with or without `.gz`; raises `CardError` where neither exists."""
    other = path.with_suffix("") if path.suffix == ".gz" else path.with_name(f"{path.name}.gz")
    for candidate in (path, other):
        if candidate.is_file():
            return candidate
    msg = f"{where}: there is no file {path}, nor {other.name} beside it"
    raise CardError(msg)


def blocks(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the number of a block's first line, and the block: about 8 MB of whole lines, without a byte order mark.

    Raises `DataError` for UTF-16 and UTF-32, a NUL byte, and a gzip file that is damaged or cut off.
    """
    first, rest = 1, bytearray()
    with open_stream(path) as stream:
        is_start = True
        while data := _read(stream, path, first):
            if is_start:
                data, is_start = _without_mark(data, path), False
            if b"\0" in data:
                number = first + data.count(b"\n", 0, data.index(b"\0"))
                msg = f"{at(path, number)}: holds a NUL byte: the file is damaged, or not text in UTF-8"
                raise DataError(msg)
            whole, newline, tail = data.rpartition(b"\n")
            if not newline:
                rest += data
                continue
            block = bytes(rest) + whole + newline
            yield first, block
            first, rest = first + block.count(b"\n"), bytearray(tail)
    if rest:
        yield first, bytes(rest)


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not blank, with their numbers; raises `DataError` for one that is not UTF-8."""
    for first, block in blocks(path):
        yield from decode(path, first, block)


def decode(path: Path, first: int, block: bytes) -> Iterator[tuple[int, str]]:
    """Yield the lines of a block that are not blank, with their numbers."""
    for number, text in _decode(path, first, block):
        if text.strip():
            yield number, text.removesuffix("\r")


def whole_lines(path: Path) -> Iterator[str]:
    """Yield every line as it stands, blank ones and line ends included: a quoted cell may go over several."""
    for first, block in blocks(path):
        for _, text in _decode(path, first, block.removesuffix(b"\n")):
            yield f"{text}\n"


def _decode(path: Path, first: int, block: bytes) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(block.split(b"\n"), first):
        try:
            yield number, line.decode()
        except UnicodeDecodeError as error:
            byte = line[error.start : error.start + 1]
            msg = f"{at(path, number)}: not UTF-8: byte {byte!r} at {error.start}; save the file as UTF-8"
            raise DataError(msg) from None


def at(path: Path, number: int) -> str:
    """Return the place of a line, as messages show it."""
    return f"{path}, line {number}"


def read_grade(text: str, place: str) -> int:
    """Read a grade, a whole number of 32 bits: one below 1 is not relevant. Tools that keep floats write `1.0`.

    >>> read_grade("-2", "f, line 1"), read_grade("1.0", "f, line 1")
    (-2, 1)
    """
    found = re.fullmatch(r"([+-]?\d{1,15})(\.0*)?", text, re.ASCII)
    if found is None or not -(2**31) <= int(found[1]) < 2**31:
        msg = f"{place}: the grade {text[:60]!r} is not a whole number of 32 bits"
        raise DataError(msg)
    return int(found[1])


def open_stream(path: Path) -> BinaryIO:
    """Open a file, and inflate it where it is gzip, whatever its name."""
    try:
        with path.open("rb") as file:
            head = file.read(4)
        stream = pa.OSFile(str(path))
        # Arrow inflates several times faster than the gzip module and checks the same sums.
        is_gzip = path.suffix == ".gz" or head.startswith(_GZIP)
        return cast("BinaryIO", pa.CompressedInputStream(stream, "gzip") if is_gzip else stream)
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror or error}"
        raise EnvironmentFault(msg) from None


def _without_mark(data: bytes, path: Path) -> bytes:
    if encoding := foreign_encoding(data):
        msg = f"{at(path, 1)}: the file is {encoding}; save it as UTF-8"
        raise DataError(msg)
    return data.removeprefix(_UTF_8)


def _read(stream: BinaryIO, path: Path, line: int) -> bytes:
    try:
        return stream.read(_BLOCK)
    except OSError as error:
        if not isinstance(stream, pa.CompressedInputStream):
            raise
        msg = f"{path}, after line {line}: the gzip file is damaged or cut off ({error})"
        raise DataError(msg) from None
