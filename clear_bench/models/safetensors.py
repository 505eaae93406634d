"""Check, read and write safetensors files; torch is not needed for it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clear_bench.errors import CheckpointError

Tensor = tuple[str, tuple[int, ...], Callable[[], NDArray[np.float32]]]
"""Name, shape, and how to get the values: a big model never stands in memory as a whole."""
BYTES_OF = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2}
"""Bytes of one value; of other types, the length is not checked."""
HEADER_LIMIT = 100_000_000
"""The safetensors format's own bound on its header."""


def check_safetensors(path: Path) -> None:
    """Check that the file holds all the bytes that its header promises; reads only the header."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = int.from_bytes(start, "little")
        if start == b"version ":
            msg = f"{path} is a Git LFS pointer, not the weights: run `git lfs pull` in its repository"
            raise CheckpointError(msg)
        if len(start) < 8 or length > HEADER_LIMIT or 8 + length > size:
            msg = f"{path} is not a whole safetensors file ({size:,} bytes): its header is missing or cut"
            raise CheckpointError(msg)
        promised = 8 + length + _data_bytes(file.read(length), path)
    if promised != size:
        what = "is truncated" if size < promised else "has bytes that belong to no tensor"
        msg = f"{path} {what}: its header promises {promised:,} bytes, the file has {size:,}; copy it again"
        raise CheckpointError(msg)


def _data_bytes(header: bytes, path: Path) -> int:
    """Sum up a safetensors header: where the last tensor ends, every tensor as long as its shape says."""
    try:
        tensors = json.loads(header)
        tensors.pop("__metadata__", None)
        end = 0
        for name, tensor in tensors.items():
            first, last = tensor["data_offsets"]
            if not 0 <= first <= last < 2**63:
                msg = f"{path}: tensor {name!r} has the offsets {first!r:.30} and {last!r:.30}"
                raise CheckpointError(msg)
            if last - first != prod(tensor["shape"]) * BYTES_OF.get(tensor["dtype"], last - first):
                msg = f"{path}: tensor {name!r} has {last - first:,} bytes; its shape is {tensor['shape']}"
                raise CheckpointError(msg)
            end = max(end, last)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        msg = f"{path} is not a safetensors file: its header is not valid ({error})"
        raise CheckpointError(msg) from error
    return end


def tensor_shapes(path: Path) -> list[list[int]]:
    """Return the shapes of all tensors in a file that `check_safetensors` has passed."""
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return [tensor["shape"] for name, tensor in header.items() if name != "__metadata__"]


def write_safetensors(path: Path, tensors: Sequence[Tensor]) -> None:
    """Write float32 tensors one by one; the bytes depend on names and values alone, so everybody's digest agrees."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape, _ in tensors:
        start, end = end, end + 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape, values in tensors:
            content = values()
            if content.size != np.prod(shape):
                msg = f"tensor {name!r} has {content.size} values, its shape is {shape}"
                raise CheckpointError(msg)
            file.write(content.astype("<f4").data)
        file.flush()
        os.fsync(file.fileno())
