"""Compare the results of two models: paired differences on the same queries, with intervals and tests."""

from __future__ import annotations

from clear_bench.compare.comparison import Comparison, Trend, Worst, compare
from clear_bench.compare.differences import Cells, Difference, combine, difference, mean_of, measure
from clear_bench.compare.document import DifferenceRow, difference_row, document
from clear_bench.compare.families import NO_DRAWS, PAIR_GROUPS, FamilyOfTests, Resampling
from clear_bench.compare.pairing import align, fewer_judged, labels, match_tasks, read_side

__all__ = [
    "NO_DRAWS",
    "PAIR_GROUPS",
    "Cells",
    "Comparison",
    "Difference",
    "DifferenceRow",
    "FamilyOfTests",
    "Resampling",
    "Trend",
    "Worst",
    "align",
    "combine",
    "compare",
    "difference",
    "difference_row",
    "document",
    "fewer_judged",
    "labels",
    "match_tasks",
    "mean_of",
    "measure",
    "read_side",
]
