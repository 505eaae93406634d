"""The geometry of embeddings: how near translations are, how much language shows, how evenly the space is used.

Pure functions over unit vectors; docs/geometry.md has the definitions and their sources.
"""

from __future__ import annotations

from clear_bench.geometry.alignment import (
    bitext_accuracy,
    centroid_distance,
    english_pull,
    random_cosine,
    translation_cosine,
)
from clear_bench.geometry.cells import MEASURES, Cell, Measure, Overall, changes, measures, overall
from clear_bench.geometry.language import language_probes, language_variance_share
from clear_bench.geometry.picture import Picture, project
from clear_bench.geometry.pivot import Regression, regress
from clear_bench.geometry.records import Hub, Space
from clear_bench.geometry.shape import antihub_share, effective_rank, hub_skewness, k_occurrence, mean_cosine

__all__ = [
    "MEASURES",
    "Cell",
    "Hub",
    "Measure",
    "Overall",
    "Picture",
    "Regression",
    "Space",
    "antihub_share",
    "bitext_accuracy",
    "centroid_distance",
    "changes",
    "effective_rank",
    "english_pull",
    "hub_skewness",
    "k_occurrence",
    "language_probes",
    "language_variance_share",
    "mean_cosine",
    "measures",
    "overall",
    "project",
    "random_cosine",
    "regress",
    "translation_cosine",
]
