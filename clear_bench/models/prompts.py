"""The text put before queries and passages: from the checkpoint, else from mteb's model metadata, else from flags."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from clear_bench.types import Checkpoint

log = logging.getLogger(__name__)

DEFAULT_INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"
"""What the authors of e5-instruct, Qwen3-Embedding and gte-Qwen2-instruct put where a task says nothing."""
INSTRUCT = "Instruct: {instruction}\nQuery: "
OWN_INSTRUCTION = re.compile(r"Instruct: (?P<instruction>[^{}]+?)(?P<rest>\s*\nQuery: ?)")


class Family(NamedTuple):
    """Models that were trained with prompts, and which."""

    name: str
    pattern: str
    """Regular expression, searched without regard to case in the names a checkpoint goes by."""
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
"""The first that fits counts. Only instruction templates are applied unasked; for the others a warning is given."""


def query_prompt(checkpoint: Checkpoint, instruction: str | None = None) -> str:
    """Give the text put before each query; a task's instruction fills the template of a model that takes one."""
    template = checkpoint.prompts.get("query", "")
    default = checkpoint.prompts.get("instruction", DEFAULT_INSTRUCTION)
    return template.replace("{instruction}", instruction or default)


def passage_prompt(checkpoint: Checkpoint) -> str:
    """Give the text put before each passage."""
    return checkpoint.prompts.get("passage", "")


def settle(
    name: str,
    also_named: Iterable[str],
    saved: Mapping[str, Any],  # Any: config_sentence_transformers.json
    query: str | None,
    passage: str | None,
    *,
    is_hub_id: bool = False,
) -> dict[str, str]:
    """Settle the prompts of a checkpoint: flags win, then what it says itself, then what mteb knows of the hub id.

    Logs a warning where a family that was trained with prompts runs without.
    """
    found = saved_prompts(saved)
    if not any(found.values()) and is_hub_id and (query is None or passage is None):
        found = known_prompts(name)
    family = find_family([name, *also_named])
    if not any(found.values()) and family and family.query == INSTRUCT:
        found = {"query": INSTRUCT, "passage": family.passage}
    prompts = {
        "query": found.get("query", "") if query is None else query,
        "passage": found.get("passage", "") if passage is None else passage,
    }
    if family and query is None and passage is None and not any(prompts.values()):
        log.warning(
            "%s looks like a model of the %s family, which was trained with prompts, but runs without: scores will be "
            "too low. Give --query-prompt %r --passage-prompt %r if that is so",
            name,
            family.name,
            family.query,
            family.passage,
        )
    return _open_instruction(prompts)


def saved_prompts(saved: Mapping[str, Any]) -> dict[str, str]:  # Any: config_sentence_transformers.json
    """Read the prompts that a checkpoint carries: `query`, `document` or `passage`, else the one it uses by default."""
    prompts = {key: text for key, text in (saved.get("prompts") or {}).items() if isinstance(text, str)}
    default = prompts.get(saved.get("default_prompt_name") or "", "")
    passage = prompts.get("document") or prompts.get("passage") or prompts.get("corpus") or default
    return {"query": prompts.get("query") or default, "passage": passage}


def known_prompts(name: str) -> dict[str, str]:
    """Look a hub id up in mteb's model metadata; empty where mteb is not installed or says nothing.

    Importing mteb takes seconds, so its sources are searched for the id first.
    """
    spec = find_spec("mteb")
    if spec is None or not spec.submodule_search_locations:
        return {}
    sources = Path(spec.submodule_search_locations[0], "models", "model_implementations").glob("*.py")
    texts = (path.read_text(encoding="utf-8") for path in sources)
    if not any(f'"{name}"' in text and ("model_prompts" in text or "instruction_template" in text) for text in texts):
        return {}
    import mteb

    settings = mteb.get_model_meta(name).loader_kwargs or {}
    template = settings.get("instruction_template")
    if isinstance(template, str):
        return {"query": template, "passage": ""}
    prompts = settings.get("model_prompts") or {}
    return {"query": prompts.get("query") or "", "passage": prompts.get("document") or prompts.get("passage") or ""}


def find_family(names: Iterable[str]) -> Family | None:
    """Find the family that a checkpoint's names speak of."""
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
