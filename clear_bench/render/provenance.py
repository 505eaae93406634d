"""List the facts of a manifest by name; missing ones are left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def facts(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:  # Any: JSON
    """Yield the facts that one needs to trust or repeat a result."""
    model, task = manifest.get("model", {}), manifest.get("task", {})
    lines = {
        "model": model.get("name"),
        "revision": model.get("revision"),
        "fingerprint": model.get("fingerprint"),
        "weights": model.get("weights_digest"),
        "licence": model.get("licence"),
        "precision": model.get("precision"),
        "similarity": model.get("similarity"),
        "longest text": _tokens(model.get("max_seq_length")),
        "prompts": "; ".join(f"{side}: {text!r}" for side, text in (model.get("prompts") or {}).items()),
        "trained on": ", ".join(model.get("trained_on") or ()),
        "task": " ".join(filter(None, (task.get("name"), _source(task.get("source") or {})))),
        "task licence": task.get("licence"),
        "resampled by": task.get("cluster"),
        "question": manifest.get("digests", {}).get("question"),
        "index": _index(manifest),
        "measured": manifest.get("created"),
        "versions": ", ".join(f"{name} {version}" for name, version in (manifest.get("versions") or {}).items()),
        "machine": " ".join(str(value) for value in (manifest.get("machine") or {}).values()),
        "manifest": manifest.get("manifest_digest"),
    }
    yield from ((name, str(text)) for name, text in lines.items() if text)


def _tokens(length: int | None) -> str:
    return f"{length} tokens" if length else ""


def _source(source: Mapping[str, str]) -> str:
    if "hub" in source:
        return f"({source['hub']} at {source.get('revision', 'no revision')})"
    return f"({source['path']})" if source.get("path", ".") != "." else ""


def _index(manifest: Mapping[str, Any]) -> str:  # Any: JSON
    index = manifest.get("index") or manifest.get("settings", {}).get("index")
    return str(index) if index else ""
