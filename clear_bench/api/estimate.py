"""What a run will need before anything starts: tokens, disk, memory and time for a model on tasks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from clear_bench import readers
from clear_bench.api.plan import Read
from clear_bench.encode import PromptedTexts, pending, stored_dtype
from clear_bench.errors import EnvironmentFault, UsageError
from clear_bench.indexes import QUANTISED, open_index
from clear_bench.indexes.quantised import code_bytes
from clear_bench.models.rows import strings
from clear_bench.models.shape import Shape, Tokenise
from clear_bench.quantise import CODINGS, Coding, row_bytes
from clear_bench.settings import StoreDtype
from clear_bench.store.embeddings import LARGE_SHARD, EmbeddingStore
from clear_bench.tasks import Task
from clear_bench.tasks.task import Counts
from clear_bench.types import Checkpoint, LanguagePair, Side, Texts

if TYPE_CHECKING:
    from clear_bench.models import Encoder

SAMPLE = 200
"""Texts of each set that are cut into tokens."""
ASSUMED_TOKENS: dict[Side, float] = {"query": 20.0, "passage": 130.0}
"""Tokens of a text that is not on this machine: about what questions and Wikipedia passages have."""
BYTES_PER_TOKEN = 4.5
"""UTF-8 bytes of a multilingual model's token, about."""
WIDTHS = {"fp32": 4, "fp16": 2, "bf16": 2}
"""Bytes of a number in a precision."""
PROGRAM = 400 * 2**20
"""Memory of Python with torch, sentence-transformers, FAISS and Arrow before any weights, as measured."""
SEARCH_BLOCK = 1024 * 8192 * 4
"""Bytes of one block of similarities."""


@dataclass(frozen=True, slots=True)
class TextSet:
    """One language's queries or passages."""

    side: Side
    language: str
    texts: int
    missing: int
    """Texts whose vectors are not in the cache."""
    tokens: float
    """Of one text, on average."""
    text_bytes: float
    """Of one text, on average, UTF-8."""


@dataclass(frozen=True, slots=True)
class TaskSize:
    """What a task asks of a model."""

    task: str
    is_read: bool
    """False where the counts are the card's and tokens assumed, because the texts are not on this machine."""
    is_sampled: bool
    """Whether the tokens were counted in a sample of the texts, by the model's tokenizer."""
    sets: tuple[TextSet, ...]
    pairs: int
    products: int
    """Similarities to compute: queries x passages, over all pairs."""
    hits: int
    """Hits held at once: queries of one pair x ranks, at most."""
    largest: int
    """Passages of the largest passage side."""

    @property
    def texts(self) -> int:
        """Texts of both sides."""
        return sum(one.texts for one in self.sets)

    def count(self, side: Side) -> int:
        """Return the number of texts of one side."""
        return sum(one.texts for one in self.sets if one.side == side)

    @property
    def missing(self) -> int:
        """Texts that are still to be encoded."""
        return sum(one.missing for one in self.sets)

    @property
    def tokens(self) -> int:
        """Tokens of all texts."""
        return round(sum(one.texts * one.tokens for one in self.sets))

    @property
    def missing_tokens(self) -> int:
        """Tokens that are still to be encoded."""
        return round(sum(one.missing * one.tokens for one in self.sets))

    @property
    def text_bytes(self) -> int:
        """Bytes of the texts in Arrow files, with ids and offsets."""
        return round(sum(one.texts * (one.text_bytes + 24) for one in self.sets))

    def vector_bytes(self, dimensions: int, dtype: StoreDtype) -> int:
        """Bytes of all vectors; queries are never coded."""
        return sum(one.texts * _row_bytes(dimensions, stored_dtype(dtype, one.side)) for one in self.sets)


def _row_bytes(dimensions: int, dtype: StoreDtype) -> int:
    return row_bytes(dtype, dimensions) if dtype in CODINGS else dimensions * np.dtype(dtype).itemsize


@dataclass(frozen=True, slots=True)
class Inquiry:
    """The model whose vectors are needed, and where they are stored."""

    checkpoint: Checkpoint
    store: EmbeddingStore
    store_dtype: StoreDtype = "float32"
    tokenise: Tokenise | None = None


def size_task(
    task: Task, pairs: Sequence[LanguagePair], inquiry: Inquiry, depth: int = 100, read: Read = readers.read
) -> TaskSize:
    """Count what a task holds: from its texts where they are on this machine, else from its card. Nothing is fetched.

    `read` may know of tasks that `readers` does not. Raise `UsageError` where neither says how many texts there are.
    """
    is_read = True
    try:
        collection = read(task, pairs, True)
    except EnvironmentFault as error:
        is_read, sets = False, _from_card(task, pairs, error)
    else:
        every: list[tuple[Side, Texts]] = [("query", texts) for texts in collection.queries.values()]
        every += [("passage", texts) for texts in collection.corpora.values()]
        sets = [_from_texts(side, texts, task.instruction, inquiry) for side, texts in every]
    counts = {(one.side, one.language): one.texts for one in sets}
    sizes = [
        (counts["query", pair.query], sum(counts["passage", code] for code in task.corpora_of((pair.passage,))))
        for pair in pairs
    ]
    return TaskSize(
        task=task.name,
        is_read=is_read,
        is_sampled=is_read and inquiry.tokenise is not None,
        sets=tuple(sets),
        pairs=len(pairs),
        products=sum(queries * passages for queries, passages in sizes),
        hits=max(queries * min(depth, passages) for queries, passages in sizes),
        largest=max(passages for _, passages in sizes),
    )


def _from_texts(side: Side, texts: Texts, instruction: str | None, inquiry: Inquiry) -> TextSet:
    prompted = PromptedTexts.of(inquiry.checkpoint, texts, side, instruction)
    sample = sample_texts(texts, SAMPLE)
    mean_bytes = float(np.mean([len(text.encode()) for text in sample]))
    if inquiry.tokenise:
        tokens = float(np.mean(inquiry.tokenise([prompted.prompt + text for text in sample])))
    else:
        tokens = mean_bytes / BYTES_PER_TOKEN
    missing = pending(prompted, inquiry.store, inquiry.store_dtype)
    return TextSet(side, texts.language, len(texts), missing, tokens, mean_bytes)


def sample_texts(texts: Texts, count: int) -> list[str]:
    """Return texts at even distances. Each is looked up in its own chunk, so a mapped corpus stays on disk."""
    rows = np.unique(np.linspace(0, len(texts) - 1, min(count, len(texts))).astype(np.int64))
    return [str(texts.text[int(row)].as_py()) for row in rows]


def _from_card(task: Task, pairs: Sequence[LanguagePair], error: EnvironmentFault) -> list[TextSet]:
    asked: list[tuple[Side, str]] = [("query", code) for code in dict.fromkeys(pair.query for pair in pairs)]
    sides = tuple(dict.fromkeys(pair.passage for pair in pairs))
    asked += [("passage", code) for code in task.corpora_of(sides)]
    sets = []
    for side, language in asked:
        counts = task.expected.get(language, Counts())
        count = counts.queries if side == "query" else counts.passages
        if count is None:
            msg = f"the card of {task.name!r} does not say how many texts there are in {language}, and {error}"
            raise UsageError(msg) from error
        tokens = ASSUMED_TOKENS[side]
        sets.append(TextSet(side, language, count, count, tokens, tokens * BYTES_PER_TOKEN))
    return sets


def memory(
    shape: Shape, sizes: Sequence[TaskSize], precision: str, batch_tokens: int, workers: int = 0
) -> dict[str, int]:
    """Estimate resident memory in bytes, by what needs it. Texts and vectors are mapped files, and count as none.

    Of `workers` of `--devices` each holds a model and a shard; the process of the run then loads no model.
    """
    sets = [one for size in sizes for one in size.sets]
    shard = min(LARGE_SHARD, max(one.texts for one in sets))
    queries = max(one.texts for one in sets if one.side == "query")
    models = max(1, workers)
    return {
        "program": (1 + workers) * PROGRAM,
        "weights": models * shape.parameters * WIDTHS[precision],
        # What one layer holds at a time: its input, queries, keys, values, output, and the feed-forward's two sides.
        "batch": models * batch_tokens * (6 * shape.hidden + 2 * shape.inner) * WIDTHS[precision],
        # As the model gives them, sorted back, and normalised.
        "shard": models * 3 * shard * shape.dimensions * 4,
        "search": SEARCH_BLOCK + 2 * queries * shape.dimensions * 4 + 3 * 12 * max(size.hits for size in sizes),
    }


def code_memory(dimensions: int, sizes: Sequence[TaskSize]) -> dict[Coding, int]:
    """Return the bytes of memory that `--index int8` and `--index binary` add: one passage side at a time."""
    largest = max(size.largest for size in sizes)
    return {coding: largest * code_bytes(coding, dimensions) for coding in QUANTISED}


def measure_search(dimensions: int, device: str | None) -> float:
    """Measure how many similarities a second exact search computes here, selection included; under a second's work."""
    queries, passages = np.random.default_rng(0), np.random.default_rng(1)
    index = open_index("auto", dimensions, device)
    index.add(passages.standard_normal((32_768, dimensions), dtype=np.float32))
    asked = queries.standard_normal((512, dimensions), dtype=np.float32)
    index.search(asked[:64], 100)  # the first call loads and allocates
    start = time.perf_counter()
    index.search(asked, 100)
    return 512 * 32_768 / (time.perf_counter() - start)


def measure_encoding(encoder: Encoder, sets: Sequence[Texts], tokenise: Tokenise | None, seconds: float = 3.0) -> float:
    """Measure how many tokens a second the model encodes here, on a few texts of each set in turn."""
    rows = range(min(32, *map(len, sets)))
    encoder.encode(sets[0], rows, "passage", "", lambda _: None)  # the first call loads and allocates
    tokens, spent, turn = 0, 0.0, cycle(sets)
    while spent < seconds:
        texts = next(turn)
        start = time.perf_counter()
        encoder.encode(texts, rows, "passage", "", lambda _: None)
        spent += time.perf_counter() - start
        tokens += _count(strings(texts, rows), tokenise)
    return tokens / spent


def _count(texts: Sequence[str], tokenise: Tokenise | None) -> int:
    return sum(tokenise(texts)) if tokenise else round(sum(len(text.encode()) for text in texts) / BYTES_PER_TOKEN)
