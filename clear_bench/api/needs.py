"""What a model needs for tasks, as one value: it is measured here, shown by `estimate`, and written as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from clear_bench.api.estimate import Inquiry, TaskSize, code_memory, measure_encoding, measure_search, memory
from clear_bench.models.shape import Shape, default_batch_tokens, read_shape
from clear_bench.quantise import Coding
from clear_bench.settings import ModelSettings, StoreDtype

DTYPES: tuple[StoreDtype, ...] = get_args(StoreDtype)


@dataclass(frozen=True, slots=True, eq=False)
class Needs:
    """The disk, memory and time that a model needs for tasks."""

    model: str
    shape: Shape
    store_dtype: StoreDtype
    sizes: Sequence[TaskSize]
    devices: Sequence[str]
    memory_bytes: Mapping[str, int]
    """What needs memory -> bytes."""
    code_bytes: Mapping[Coding, int]
    """Index that keeps codes -> bytes of memory beside that."""
    tokens_per_second: float
    """Of one device."""
    tokens_per_second_from: Literal["given", "measured"]
    similarities_per_second: float

    @property
    def encode_seconds(self) -> float:
        """Time to encode what the cache lacks; GPUs share the work, workers on one CPU do not speed it up."""
        gpus = len([name for name in self.devices if name != "cpu"])
        return sum(size.missing_tokens for size in self.sizes) / (self.tokens_per_second * max(1, gpus))

    @property
    def search_seconds(self) -> float:
        """Time of an exact search over all pairs."""
        return sum(size.products for size in self.sizes) / self.similarities_per_second

    def disk_bytes(self, size: TaskSize) -> dict[str, int]:
        """Return the bytes of a task's texts, and of its vectors in every precision that can be stored."""
        vectors: dict[str, int] = {dtype: size.vector_bytes(self.shape.dimensions, dtype) for dtype in DTYPES}
        return {"texts": size.text_bytes, **vectors}

    def to_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return the document of `estimate --json`."""
        return {
            "schema": "clear-bench/estimate/1",
            "model": self.model,
            "dimensions": self.shape.dimensions,
            "parameters": self.shape.parameters,
            "store_dtype": self.store_dtype,
            "tasks": [self._task(size) for size in self.sizes],
            "devices": list(self.devices),
            "memory_bytes": dict(self.memory_bytes),
            "code_bytes": dict(self.code_bytes),
            "rates": {
                "tokens_per_second": self.tokens_per_second,
                "similarities_per_second": self.similarities_per_second,
                "tokens_per_second_from": self.tokens_per_second_from,
            },
            "seconds": {"encode": self.encode_seconds, "search": self.search_seconds},
        }

    def _task(self, size: TaskSize) -> dict[str, Any]:  # Any: JSON
        return {
            "task": size.task,
            "counts_from": "texts" if size.is_read else "card",
            "tokens_from": "sample" if size.is_sampled else "assumed",
            "pairs": size.pairs,
            "queries": size.count("query"),
            "passages": size.count("passage"),
            "cached": size.texts - size.missing,
            "tokens": size.tokens,
            "tokens_to_encode": size.missing_tokens,
            "similarities": size.products,
            "disk_bytes": self.disk_bytes(size),
        }


def find_needs(
    inquiry: Inquiry,
    sizes: Sequence[TaskSize],
    settings: ModelSettings,
    devices: Sequence[str] = (),
    tokens_per_second: float | None = None,
) -> Needs:
    """Measure the rates of this machine, and return what a model needs for tasks of these sizes.

    The model is loaded and measured for a few seconds unless `tokens_per_second` is given.
    """
    checkpoint, shape = inquiry.checkpoint, read_shape(inquiry.checkpoint)
    batch_tokens = settings.batch_tokens or default_batch_tokens(settings.device)
    return Needs(
        model=checkpoint.name,
        shape=shape,
        store_dtype=inquiry.store_dtype,
        sizes=sizes,
        devices=devices,
        memory_bytes=memory(shape, sizes, str(checkpoint.precision), batch_tokens, len(devices)),
        code_bytes=code_memory(shape.dimensions, sizes),
        tokens_per_second=tokens_per_second or _measured_rate(inquiry, settings),
        tokens_per_second_from="given" if tokens_per_second else "measured",
        similarities_per_second=measure_search(shape.dimensions, settings.device),
    )


def _measured_rate(inquiry: Inquiry, settings: ModelSettings) -> float:
    """Load the model and encode passages of the shipped task for a few seconds."""
    from clear_bench.api import load_task
    from clear_bench.models.loading import load_encoder

    encoder = load_encoder(inquiry.checkpoint, settings)
    return measure_encoding(encoder, list(load_task("mini").corpora.values()), inquiry.tokenise)
