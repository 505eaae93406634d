"""Find, check and fingerprint checkpoints. What loads one, and needs torch, stands in `models.loading`."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from clear_bench.models.checkpoint import open_checkpoint
from clear_bench.models.prompts import passage_prompt, query_prompt

if TYPE_CHECKING:
    from clear_bench.models.encoder import SentenceEncoder
    from clear_bench.models.objects import ObjectEncoder
    from clear_bench.models.vectors import VectorReader

    Encoder: TypeAlias = SentenceEncoder | ObjectEncoder | VectorReader

__all__ = ["open_checkpoint", "passage_prompt", "query_prompt"]
