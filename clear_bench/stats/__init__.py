"""Statistics of paired differences of per-query scores, where queries come in clusters.

Two values carry them: `ClusterSums`, the differences of many cells added up by cluster, and `Estimate`, one mean
difference with its cluster-robust standard error. These functions know no thresholds, files or models.
"""

from __future__ import annotations

from clear_bench.stats.clusters import (
    ClusterSums,
    Estimate,
    cluster_sums,
    contrast,
    estimates,
    intraclass_correlation,
    reachable,
)
from clear_bench.stats.inference import (
    design_effect,
    effect_size,
    interval,
    minimum_detectable,
    one_sided_bounds,
    p_value,
    planned_design_effect,
    queries_needed,
    resolvable_margin,
)
from clear_bench.stats.multiplicity import benjamini_hochberg, holm
from clear_bench.stats.resampling import REPLICATES, bootstrap, max_t, sign_flip
from clear_bench.stats.trend import slope_test

__all__ = [
    "REPLICATES",
    "ClusterSums",
    "Estimate",
    "benjamini_hochberg",
    "bootstrap",
    "cluster_sums",
    "contrast",
    "design_effect",
    "effect_size",
    "estimates",
    "holm",
    "interval",
    "intraclass_correlation",
    "max_t",
    "minimum_detectable",
    "one_sided_bounds",
    "p_value",
    "planned_design_effect",
    "queries_needed",
    "reachable",
    "resolvable_margin",
    "sign_flip",
    "slope_test",
]
