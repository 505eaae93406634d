"""Look up the prompts of hub models in mteb's model metadata, by mteb's own rules for retrieval."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

RETRIEVAL: Mapping[str, tuple[str, ...]] = {
    "query": ("Retrieval-query", "Retrieval", "query"),
    "document": ("Retrieval-document", "Retrieval", "document"),
}
"""Names under which mteb looks for the prompt of a side of a retrieval task, the first match counts."""
TEXT_LOADERS = frozenset(
    {"SentenceTransformerEncoderWrapper", "NomicWrapper", "UAEWrapper", "CDEWrapper", "RepLLaMAModel"}
)
"""Loaders of mteb that put `model_prompts` before the text. For other loaders they are names that their code knows."""
KEYS = ("model_prompts", "instruction_template")

Settings = Mapping[str, Any]  # Any: arguments of loaders, among them functions


def known_prompts(name: str, saved: Mapping[str, str] | None = None) -> dict[str, str]:
    """Look a hub id up in mteb's model metadata. Return an empty dict without mteb, or when it has no prompts for it.

    `saved` are the prompts that the checkpoint carries: for some models mteb says which of them to use. The query's may
    hold `{instruction}`. Importing mteb takes seconds, so its sources are searched for the id first.
    """
    spec = find_spec("mteb")
    if spec is None or not spec.submodule_search_locations:
        return {}
    sources = Path(spec.submodule_search_locations[0], "models", "model_implementations").glob("*.py")
    texts = (path.read_text(encoding="utf-8") for path in sources)
    if not any(f'"{name}"' in text and any(key in text for key in KEYS) for text in texts):
        return {}
    import mteb

    meta = mteb.get_model_meta(name)
    settings: Settings = meta.loader_kwargs or {}
    if settings.get("instruction_template") is not None:
        return _by_template(settings)
    found = {str(getattr(key, "value", key)): text for key, text in (settings.get("model_prompts") or {}).items()}
    by_text = getattr(meta.loader, "__name__", "") in TEXT_LOADERS
    query, passage = (_pick(found, side, saved or {}, by_text) for side in RETRIEVAL)
    return {"query": query, "passage": passage}


def _pick(found: Mapping[str, str], side: str, saved: Mapping[str, str], by_text: bool) -> str:
    """Return the prompt of a side. mteb gives its text, or the name of a prompt that the checkpoint carries."""
    value = next((found[name] for name in RETRIEVAL[side] if name in found), "")
    return saved.get(value, value.removesuffix("{text}") if by_text else "")


def _by_template(settings: Settings) -> dict[str, str]:
    """Fill an instruction template, a text or a function; what the task says stays open as `{instruction}`.

    A model's own instruction for retrieval counts before the task's. Passages have an instruction only where the model
    has one for them; a function may put something before passages all the same.
    """
    from mteb.types import PromptType

    template = settings["instruction_template"]
    own = {side: _own_instruction(settings.get("prompts_dict") or {}, side) for side in RETRIEVAL}
    query, passage = own["query"] or "{instruction}", own["document"] or ""
    instructs_passages = settings.get("apply_instruction_to_passages", True)
    if not callable(template):
        filled = str(template).replace("{instruction}", passage) if passage and instructs_passages else ""
        return {"query": str(template).replace("{instruction}", query), "passage": filled}
    prompts = {"query": str(template(query, PromptType.query))}
    return prompts | {"passage": str(template(passage, PromptType.document)) if instructs_passages else ""}


def _own_instruction(known: Settings, side: str) -> str | None:
    value = next((known[name] for name in ("Retrieval", side) if name in known), None)
    value = value.get(side) if isinstance(value, dict) else value
    return value if isinstance(value, str) else None
