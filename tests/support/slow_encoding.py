"""A program for tests that kill it: encodes a text set with a slow toy object and prints how many texts it encoded.

python slow_encoding.py CACHE ROWS SECONDS_PER_CHUNK
"""

from __future__ import annotations

import hashlib
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from clear_bench.encode import PromptedTexts, encode
from clear_bench.models.objects import from_object
from clear_bench.store.embeddings import EmbeddingStore
from clear_bench.types import Texts, make_texts


class SlowToy:
    """Vectors that the text alone decides, after a pause."""

    def __init__(self, pause: float) -> None:
        self.pause, self.encoded = pause, 0

    def encode(self, texts: list[str]) -> np.ndarray:
        if len(texts) > 3:  # not the probes of the fingerprint
            time.sleep(self.pause)
            self.encoded += len(texts)
        digests = [hashlib.sha256(text.encode()).digest() for text in texts]
        return np.array([list(digest) for digest in digests], dtype=np.float32) - 127.3


def toy_texts(rows: int) -> Texts:
    ids = [f"d{i}" for i in range(rows)]
    return make_texts("deu-Latn", pa.chunked_array([ids]), pa.chunked_array([[f"Text {i}" for i in range(rows)]]))


def main(cache: Path, rows: int, pause: float) -> int:
    toy = SlowToy(pause)
    checkpoint, encoder = from_object(toy, name="slow toy")
    print("ready", flush=True)
    encode(PromptedTexts(checkpoint, toy_texts(rows), "passage", ""), EmbeddingStore(cache), lambda: encoder)
    print(toy.encoded, flush=True)
    return toy.encoded


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
