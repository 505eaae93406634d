"""Cross-lingual retrieval evaluation with error bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clear_bench.registry import load

if TYPE_CHECKING:
    from clear_bench.api import (
        Comparisons,
        Evaluation,
        GateOutcome,
        Report,
        evaluate,
        load_task,
    )
    from clear_bench.api import compare as compare_results
    from clear_bench.api import gate as gate_results
    from clear_bench.api import report as report_results
    from clear_bench.gate import Rule
    from clear_bench.settings import ModelSettings, SearchSettings
    from clear_bench.types import Checkpoint, Collection, LanguagePair, Scores, Texts

__version__ = "0.1.0"

__all__ = [
    "Checkpoint",
    "Collection",
    "Comparisons",
    "Evaluation",
    "GateOutcome",
    "LanguagePair",
    "ModelSettings",
    "Report",
    "Rule",
    "Scores",
    "SearchSettings",
    "Texts",
    "compare_results",
    "evaluate",
    "gate_results",
    "load_task",
    "report_results",
]

_HOMES = {
    "Checkpoint": "types:Checkpoint",
    "Collection": "types:Collection",
    "Comparisons": "api:Comparisons",
    "Evaluation": "api:Evaluation",
    "GateOutcome": "api:GateOutcome",
    "LanguagePair": "types:LanguagePair",
    "ModelSettings": "settings:ModelSettings",
    "Report": "api:Report",
    "Rule": "gate:Rule",
    "Scores": "types:Scores",
    "SearchSettings": "settings:SearchSettings",
    "Texts": "types:Texts",
    "compare_results": "api:compare",
    "evaluate": "api:evaluate",
    "gate_results": "api:gate",
    "load_task": "api:load_task",
    "report_results": "api:report",
}
"""Name -> where it is. The short names of the last stages are modules of this package: `api` has functions of them."""


def __getattr__(name: str) -> object:
    """Import a public name when it is first used: `import clear_bench` loads neither torch nor faiss."""
    if name not in _HOMES:
        msg = f"module 'clear_bench' has no attribute {name!r}"
        raise AttributeError(msg)
    return load(f"clear_bench.{_HOMES[name]}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
