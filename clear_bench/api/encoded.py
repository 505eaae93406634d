"""The first texts of a plan as a model gets them: what shows a missing or doubled prompt at a glance."""

from __future__ import annotations

from collections.abc import Mapping

from clear_bench.api.plan import Plan
from clear_bench.models import passage_prompt, query_prompt
from clear_bench.models.rows import strings
from clear_bench.types import Checkpoint, Texts

SHOWN = 500
"""Characters of each text that are kept; a passage may be a whole document, and a benchmark's texts are others'."""


def first_texts(plan: Plan, checkpoint: Checkpoint) -> dict[str, str]:
    """Give the first query and the first passage exactly as they are encoded, up to `SHOWN` characters of each.

    Empty for what encodes nothing: the lexical baseline, and runs of other systems.
    """
    if not checkpoint.prompts:
        return {}
    return {
        "query": _first(plan.query_texts, query_prompt(checkpoint, plan.task.instruction)),
        "passage": _first(plan.passage_texts, passage_prompt(checkpoint)),
    }


def _first(sets: Mapping[str, Texts], prompt: str) -> str:
    texts = next((one for one in sets.values() if len(one)), None)
    whole = prompt + strings(texts, range(1))[0] if texts else ""
    return whole if len(whole) <= SHOWN else whole[:SHOWN] + "…"
