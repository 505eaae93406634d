"""The shards of stored embeddings as files: what a shard's file holds, and the manifest with one line for each."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clear_bench.disk import disk_faults, refuse_system_faults, sha256_file
from clear_bench.json_schema import violation
from clear_bench.quantise import CODINGS, CodedRows, code, cosines, row_bytes
from clear_bench.settings import StoreDtype
from clear_bench.store.npy import open_npy

MANIFEST = "manifest.jsonl"


@dataclass(frozen=True, slots=True)
class Shard:
    """One line of the manifest: a finished shard."""

    shard: int
    rows: tuple[int, int]
    sha256: str
    dim: int
    tokens: int | None
    """Tokens encoded, specials included; None where the encoder does not count them."""
    truncated: int | None
    """Texts that were longer than the model reads."""
    cosines: tuple[float, float] | None = None
    """Mean and least cosine of the rows as they are stored with what they were, where they are coded."""


_COUNT = {"type": "integer", "minimum": 0}
_LINE = {
    "type": "object",
    "required": ["shard", "rows", "sha256", "dim", "tokens", "truncated"],
    "properties": {
        "shard": _COUNT,
        "rows": {"type": "array", "items": _COUNT, "minItems": 2, "maxItems": 2},
        "sha256": {"type": "string"},
        "dim": _COUNT,
        "tokens": {"type": ["integer", "null"], "minimum": 0},
        "truncated": {"type": ["integer", "null"], "minimum": 0},
        "cosines": {"type": "array", "items": {"type": "number", "minimum": -2}, "minItems": 2, "maxItems": 2},
    },
    "additionalProperties": False,
}
"""JSON Schema of a manifest's line."""


def read_manifest(folder: Path) -> list[Shard]:
    """Read the finished shards: a later line replaces an earlier one, a torn or damaged one is passed over."""
    path = folder / MANIFEST
    if not path.is_file():
        return []
    lines: dict[int, Shard] = {}
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            raw = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if violation(raw, _LINE) is None:
            pairs: dict[str, Any] = {key: tuple(raw[key]) for key in ("rows", "cosines") if key in raw}
            lines[raw["shard"]] = Shard(**{**raw, **pairs})
    return list(lines.values())


def append_line(path: Path, shard: Shard) -> None:
    """Add a finished shard to the manifest and flush it to disk; after a torn line, on a line of its own."""
    line = json.dumps({name: value for name, value in asdict(shard).items() if name != "cosines" or value})
    with disk_faults(path), path.open("a+b") as file:
        file.seek(0, os.SEEK_END)
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                line = "\n" + line
        file.write(line.encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def as_stored(vectors: NDArray[Any], dtype: StoreDtype) -> tuple[NDArray[Any], tuple[float, float] | None]:
    """Return rows as a file holds them and, where they are coded, their mean and least cosine with the originals."""
    if dtype not in CODINGS:
        return np.ascontiguousarray(vectors, dtype=dtype), None
    plain = np.asarray(vectors, dtype=np.float32)
    raw = code(plain, dtype)
    kept = cosines(plain, CodedRows(raw, dtype, plain.shape[1]))
    return raw, (float(kept.mean()), float(kept.min()))


def shard_problem(path: Path, shape: tuple[int, int], dtype: str, sha256: str | None) -> str | None:
    """Return what is wrong with a shard's file: missing, cut, of another shape, or (with a digest) changed."""
    if dtype in CODINGS:
        shape, dtype = (shape[0], row_bytes(dtype, shape[1])), "uint8"
    try:
        block = open_npy(path)
    except FileNotFoundError:
        return "is missing"
    except (ValueError, OSError) as error:
        refuse_system_faults(error, path)
        return f"cannot be read ({error})"
    if block.shape != shape or block.dtype != dtype:
        return f"holds {block.dtype} {list(block.shape)} instead of {dtype} {list(shape)}"
    if sha256 is not None and sha256_file(path) != sha256:
        return "does not match its checksum"
    return None
