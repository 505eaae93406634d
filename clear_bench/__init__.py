"""Cross-lingual retrieval evaluation with error bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clear_bench.registry import load

if TYPE_CHECKING:
    from clear_bench.api import Evaluation, evaluate, load_task
    from clear_bench.settings import ModelSettings, SearchSettings
    from clear_bench.types import Checkpoint, Collection, LanguagePair, Scores, Texts

__version__ = "0.1.0"

__all__ = [
    "Checkpoint",
    "Collection",
    "Evaluation",
    "LanguagePair",
    "ModelSettings",
    "Scores",
    "SearchSettings",
    "Texts",
    "evaluate",
    "load_task",
]

_HOMES = {
    "Checkpoint": "types",
    "Collection": "types",
    "Evaluation": "api",
    "LanguagePair": "types",
    "ModelSettings": "settings",
    "Scores": "types",
    "SearchSettings": "settings",
    "Texts": "types",
    "evaluate": "api",
    "load_task": "api",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used: `import clear_bench` loads neither torch nor faiss."""
    if name not in _HOMES:
        msg = f"module 'clear_bench' has no attribute {name!r}"
        raise AttributeError(msg)
    return load(f"clear_bench.{_HOMES[name]}:{name}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
