"""List the facts of a manifest by name; missing ones are left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from clear_bench.types import Manifest


def facts(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Yield the facts that one needs to trust or repeat a result."""
    model, task = manifest.model, manifest.task
    lines = {
        "model": model.name,
        "revision": model.revision,
        "fingerprint": model.fingerprint,
        "weights": model.weights_digest,
        "licence": model.licence,
        "precision": model.precision,
        "similarity": model.similarity,
        "longest text": _tokens(model.max_seq_length),
        "prompts": "; ".join(f"{side}: {text!r}" for side, text in model.prompts.items()),
        "trained on": ", ".join(model.trained_on),
        "task": " ".join(filter(None, (task.name, _source(task.source)))),
        "task licence": task.licence,
        "resampled by": task.cluster,
        "question": manifest.digests.question,
        "index": manifest.index,
        "measured": manifest.created,
        "versions": ", ".join(f"{name} {version}" for name, version in manifest.versions.items()),
        "machine": " ".join(manifest.machine.values()),
        "manifest": manifest.manifest_digest,
    }
    yield from ((name, text) for name, text in lines.items() if text)


def _tokens(length: int | None) -> str:
    return f"{length} tokens" if length else ""


def _source(source: Mapping[str, str]) -> str:
    if "hub" in source:
        return f"({source['hub']} at {source.get('revision', 'no revision')})"
    return f"({source['path']})" if source.get("path", ".") != "." else ""
