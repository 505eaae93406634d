"""Choose the text put before queries and passages: from flags, the checkpoint, or mteb's model metadata."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from clear_bench.errors import CheckpointError
from clear_bench.models.known import RETRIEVAL, known_prompts
from clear_bench.types import Checkpoint

log = logging.getLogger(__name__)

DEFAULT_INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"
"""Default of the authors of e5-instruct, Qwen3-Embedding and gte-Qwen2-instruct for tasks without an instruction."""
INSTRUCT = "Instruct: {instruction}\nQuery: "
OWN_INSTRUCTION = re.compile(r"Instruct: (?P<instruction>[^{}]+?)(?P<rest>\s*\nQuery: ?)")


class Family(NamedTuple):
    """A family of models that were trained with prompts."""

    name: str
    pattern: str
    """Regular expression, searched case-insensitively in the names of a checkpoint."""
    query: str
    passage: str = ""


FAMILIES = (
    Family("e5-instruct", r"\be5-(\w+-)*instruct|\be5-mistral", INSTRUCT),
    Family("Qwen3-Embedding", r"qwen3-embedding", INSTRUCT),
    Family("gte-Qwen", r"gte-qwen", INSTRUCT),
    Family("SFR, Linq, NV-Embed", r"sfr-embedding|linq-embed|nv-embed", INSTRUCT),
    Family("E5", r"\be5-(small|base|large)", "query: ", "passage: "),
    Family("me5-small-q4", r"\bme5-small", "query: ", "passage: "),
    Family("BGE (English)", r"\bbge-\w+-en", "Represent this sentence for searching relevant passages: "),
    Family("BGE (Chinese)", r"\bbge-\w+-zh", "为这个句子生成表示以用于检索相关文章："),
    Family("Arctic Embed 2", r"arctic-embed-\w+-v2", "query: "),
    Family("Arctic Embed", r"arctic-embed", "Represent this sentence for searching relevant passages: "),
    Family("mxbai-embed", r"mxbai-embed", "Represent this sentence for searching relevant passages: "),
    Family("nomic-embed", r"nomic-embed|modernbert-embed", "search_query: ", "search_document: "),
    Family("EmbeddingGemma", r"embeddinggemma", "task: search result | query: ", "title: none | text: "),
)
"""The first match counts. Only instruction templates are applied unasked; for the others a warning is given."""


def query_prompt(checkpoint: Checkpoint, instruction: str | None = None) -> str:
    """Return the text put before each query. A task's instruction fills the template of a model that takes one."""
    template = checkpoint.prompts.get("query", "")
    default = checkpoint.prompts.get("instruction", DEFAULT_INSTRUCTION)
    return template.replace("{instruction}", instruction or default)


def passage_prompt(checkpoint: Checkpoint) -> str:
    """Return the text put before each passage."""
    return checkpoint.prompts.get("passage", "")


def settle(
    name: str,
    also_named: Iterable[str],
    saved: Mapping[str, str],
    query: str | None,
    passage: str | None,
    *,
    is_hub_id: bool = False,
) -> dict[str, str]:
    """Choose the prompts of a checkpoint: flags first, then those it carries, then those that mteb knows by hub id.

    Logs a warning when none of the prompts that it carries is used, and when a family that was trained with prompts
    runs without them.
    """
    found, is_open = saved_prompts(saved), True
    if not any(found.values()) and is_hub_id and (query is None or passage is None):
        found = known_prompts(name, saved)
        is_open = query is not None  # what mteb says of an instruction is meant so
    family = find_family([name, *also_named])
    if not any(found.values()) and family and family.query == INSTRUCT:
        found = {"query": INSTRUCT, "passage": family.passage}
    prompts = {
        "query": found.get("query", "") if query is None else query,
        "passage": found.get("passage", "") if passage is None else passage,
    }
    if query is None and passage is None and not any(prompts.values()):
        _warn_of_none(name, saved, family)
    return _open_instruction(prompts) if is_open else prompts


def _warn_of_none(name: str, saved: Mapping[str, str], family: Family | None) -> None:
    """Warn that a model runs without prompts although it carries some, or although its family was trained with some."""
    if unused := {key: text for key, text in saved.items() if text}:
        shown = ", ".join(f"{key} {text!r}" for key, text in sorted(unused.items())[:8])
        log.warning(
            "%s runs without prompts: it carries %s, none under a name that sentence-transformers or mteb use for "
            "retrieval (query, document, passage, corpus, Retrieval-query, Retrieval-document). If it was trained with "
            "one of them, give its text by --query-prompt and --passage-prompt",
            name,
            shown,
        )
    elif family:
        log.warning(
            "%s looks like a model of the %s family, which was trained with prompts, but runs without: scores will be "
            "too low. Give --query-prompt %r --passage-prompt %r if that is so",
            name,
            family.name,
            family.query,
            family.passage,
        )


def saved_prompts(saved: Mapping[str, str]) -> dict[str, str]:
    """Choose among the prompts that a checkpoint carries, as mteb does and then sentence-transformers.

    Its default prompt is for `encode`; `encode_query` and `encode_document`, which retrieval uses, do not look at it.
    """
    query, passage = (next((saved[name] for name in RETRIEVAL[side][:2] if name in saved), None) for side in RETRIEVAL)
    if query is None:
        query = saved.get("query", "")
    if passage is None:
        passage = next((saved[name] for name in ("document", "passage", "corpus") if saved.get(name)), "")
    return {"query": query, "passage": passage}


def carried(prompts: object, where: str) -> dict[str, str]:
    """Read the prompts of a checkpoint by name. Null counts as empty, as in sentence-transformers."""
    texts = {} if prompts is None else prompts
    if not isinstance(texts, dict) or not all(isinstance(text, str | None) for text in texts.values()):
        msg = f"{where}: prompts are {prompts!r:.200}; expected an object of texts by name"
        raise CheckpointError(msg)
    return {str(name): text or "" for name, text in texts.items()}


def find_family(names: Iterable[str]) -> Family | None:
    """Find the family that a checkpoint's names point to."""
    text = " ".join(names)
    return next((family for family in FAMILIES if re.search(family.pattern, text, re.IGNORECASE)), None)


def _open_instruction(prompts: dict[str, str]) -> dict[str, str]:
    """Turn a query prompt with a fixed instruction into a template, and keep that instruction as the default."""
    match = OWN_INSTRUCTION.fullmatch(prompts["query"])
    if not match:
        return prompts
    return prompts | {
        "query": f"Instruct: {{instruction}}{match['rest']}",
        "instruction": match["instruction"],
    }
