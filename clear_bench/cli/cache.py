"""`clear-bench cache`: what lies in the cache folder, whether it is whole, and what may go."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from clear_bench.cli.options import StrictGroup, cache_option, json_option
from clear_bench.console import note, say, say_json
from clear_bench.errors import TamperedError, UsageError

if TYPE_CHECKING:
    from clear_bench.store.cache import CacheEntry

SIZES = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
LARGEST = 10**18
OLDEST = timedelta(days=36_525)
AGES = {"h": "hours", "d": "days", "w": "weeks"}


@click.group(cls=StrictGroup)
def cache() -> None:
    """List, verify or prune cached embeddings and built models."""


@cache.command("ls")
@cache_option
@json_option
def list_entries(as_json: bool) -> None:
    """List what is cached, the least recently used first."""
    from clear_bench.disk import cache_root
    from clear_bench.store.cache import list_cache

    root = cache_root()
    entries = list_cache(root)
    if as_json:
        _print_json(root, entries)
        return
    for entry in entries:
        say(_line(entry))
    note(f"{_size(sum(entry.size for entry in entries))} in {len(entries)} entries of {root}")


@cache.command()
@cache_option
@json_option
def verify(as_json: bool) -> None:
    """Hash every shard and data set; exit 3 names the damaged ones. The next run makes those again."""
    from clear_bench.disk import cache_root
    from clear_bench.readers.damage import damaged as damaged_data
    from clear_bench.store.cache import verify_cache

    root = cache_root()
    damaged = [*verify_cache(root), *damaged_data()]
    if as_json:
        rows = [{"path": str(path), "problem": problem} for path, problem in damaged]
        say_json({"schema": "clear-bench/cache/1", "cache": str(root), "damaged": rows})
    else:
        for path, problem in damaged:
            say(f"{path} {problem}")
    if damaged:
        what = "1 damaged file" if len(damaged) == 1 else f"{len(damaged)} damaged files"
        msg = f"{what} in {root}; the next run makes again what it needs of them"
        raise TamperedError(msg)
    note(f"every shard and data set in {root} is whole")


@cache.command()
@click.option("--older-than", metavar="AGE", help="Remove what was not used for so long: 12h, 30d, 8w.")
@click.option("--max-size", metavar="SIZE", help="Remove the least recently used until so much is left: 500M, 20G.")
@click.option("--all", "everything", is_flag=True, help="Remove everything, built models too.")
@cache_option
@json_option
def prune(older_than: str | None, max_size: str | None, everything: bool, as_json: bool) -> None:
    """Remove embeddings; they are made again when a run needs them."""
    from clear_bench.disk import cache_root
    from clear_bench.store.cache import prune_cache

    if older_than is None and max_size is None and not everything:
        msg = "cache prune needs to know what may go: give --older-than AGE, --max-size SIZE, or --all"
        raise UsageError(msg)
    root = cache_root()
    age = parse_age(older_than) if older_than else None
    limit = parse_size(max_size) if max_size else None
    removed = prune_cache(root, older_than=age, max_size=limit, everything=everything)
    if as_json:
        _print_json(root, removed)
        return
    for entry in removed:
        say(_line(entry))
    note(f"removed {_size(sum(entry.size for entry in removed))} in {len(removed)} entries from {root}")


def parse_size(text: str) -> int:
    """Read a size in bytes.

    >>> parse_size("20G"), parse_size("1.5 MB")
    (20000000000, 1500000)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B?", text.strip(), re.IGNORECASE)
    if not match:
        msg = f"{text!r} is not a size; write it as 500M or 20G"
        raise UsageError(msg)
    size = float(match[1]) * SIZES[match[2].upper()]
    if size > LARGEST:
        msg = f"{text!r} is more than any disk holds; write it as 500M or 20G"
        raise UsageError(msg)
    return int(size)


def parse_age(text: str) -> timedelta:
    """Read a duration.

    >>> parse_age("30d")
    datetime.timedelta(days=30)
    """
    match = re.fullmatch(r"(\d+)\s*([hdw])", text.strip())
    if not match:
        msg = f"{text!r} is not a duration; write it as 12h, 30d or 8w"
        raise UsageError(msg)
    if len(match[1]) > 6 or (age := timedelta(**{AGES[match[2]]: int(match[1])})) > OLDEST:
        msg = f"{text!r} is more than a century; write it as 12h, 30d or 8w"
        raise UsageError(msg)
    return age


def _print_json(root: Path, entries: list[CacheEntry]) -> None:
    rows = [
        {
            "kind": entry.kind,
            "path": str(entry.path),
            "model": entry.model,
            "language": entry.language or None,
            "side": entry.side or None,
            "dtype": entry.dtype or None,
            "rows": entry.rows,
            "encoded": entry.encoded,
            "bytes": entry.size,
            "used": entry.used.isoformat(timespec="seconds"),
        }
        for entry in entries
    ]
    say_json({"schema": "clear-bench/cache/1", "cache": str(root), "entries": rows})


def _line(entry: CacheEntry) -> str:
    from clear_bench.render import escape

    used = entry.used.strftime("%Y-%m-%d")
    if entry.kind == "model":
        return f"{used}  {_size(entry.size):>9}  built model {entry.path.name}"
    texts = f"{entry.encoded:,}" if entry.encoded == entry.rows else f"{entry.encoded:,} of {entry.rows:,}"
    what = f"{entry.model}  {entry.language} {entry.side}, {texts} texts, {entry.dtype}"
    return f"{used}  {_size(entry.size):>9}  {escape.plain(what)}"


def _size(count: int) -> str:
    """Return a number of bytes in words.

    >>> _size(470_045_904)
    '470.0 MB'
    """
    unit = next(unit for unit in ("T", "G", "M", "K", "") if count >= SIZES[unit] or not unit)
    return f"{count / SIZES[unit]:.1f} {unit}B" if unit else f"{count} B"
