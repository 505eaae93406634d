"""How a model is opened and how its vectors are searched: one value each, built once and passed whole.

The command line has a flag for every field of these two values, and `clear_bench.evaluate` a keyword.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

from clear_bench.types import Similarity

Precision = Literal["fp32", "bf16", "fp16"]
StoreDtype = Literal["float32", "float16", "int8", "binary"]
Transform = Literal["center", "center+whiten", "shift", "lir"]
Engine = Literal["local", "ray"]
Devices = str | int | Sequence[str]
"""`cuda:0,cuda:1`, `cuda` (all there are), `cpu,cpu`, or a number of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """How a checkpoint is opened and loaded; what is None comes from the checkpoint itself."""

    query_prompt: str | None = None
    """Text put before each query; may hold `{instruction}`."""
    passage_prompt: str | None = None
    """Text put before each passage."""
    similarity: Similarity | None = None
    """What vectors are compared by."""
    max_seq_length: int | None = None
    """Tokens after which a text is cut, specials included."""
    truncate_dim: int | None = None
    """Dimensions kept of each vector, for Matryoshka models."""
    precision: Precision = "fp32"
    """Of the weights."""
    device: str | None = None
    """`cpu`, `cuda`, `cuda:1`, `mps`; None: the best there is."""
    batch_tokens: int | None = None
    """Tokens in one encoding batch; None: what suits the device. No vector depends on it."""
    allow_pickle: bool = False
    """Load pickled weights, which can run any code."""
    trust_remote_code: bool = False
    """Run code that comes with a checkpoint."""
    offline: bool = False
    """Never touch the network; use what is cached."""

    def given(self, *names: str) -> list[str]:
        """List which of these fields differ from their default."""
        return [one.name for one in fields(self) if one.name in names and getattr(self, one.name) != one.default]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """How vectors are kept and searched, and by whom."""

    index: str = "auto"
    """`auto`, `faiss`, `torch`, `int8[:N]`, `binary[:N]` or `faiss:FACTORY`."""
    store_dtype: StoreDtype = "float32"
    """Of the stored vectors; `int8` and `binary` code passages and report what that loses."""
    transform: Transform | None = None
    """A linear map of the stored vectors that takes language out of them."""
    transform_from: str | None = None
    """Task whose texts the map is estimated on; None: those that are evaluated."""
    devices: Devices | None = None
    """Several devices of this machine, with an encoding process on each."""
    engine: Engine = "local"
    """Who encodes and searches: this machine or a Ray cluster."""
    ray_address: str | None = None
    """Of a running Ray cluster; None starts one on this machine."""
    ray_workers: int | None = None
    """Default: one a GPU, else one a node."""
