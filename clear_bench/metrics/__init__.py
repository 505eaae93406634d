"""Metrics by name: `parse("ndcg@10")` returns what to compute, its inputs, and how many hits it needs."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from clear_bench.errors import UsageError
from clear_bench.registry import load, unknown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Inputs = Literal["grades", "judged", "pool", "answers", "translations"]
Counts = Literal["every query", "by question", "by ranking"]
Reach = Literal["cutoff", "copies", "tokens", "top", "whole"]

PASSAGE_TOKENS = 50
"""Tokens of a passage, on average at least, for metrics that count tokens: XOR's passages have 100 words or more."""


@dataclass(frozen=True, slots=True)
class MetricFamily:
    """One row of the metric table: a spelling without its number."""

    function: str
    """`module:attribute` in this package, imported when it is first computed."""
    summary: str
    inputs: Inputs = "grades"
    reach: Reach = "cutoff"
    """How far down a ranking it looks: `copies` is the cutoff times the languages of the pool."""
    higher_is_better: bool = True
    needs_own_language: bool = False
    """Whether it counts only queries whose own language the pool has."""
    bounds: tuple[float, float] = (0.0, 1.0)
    """The least and the greatest value that a query can have."""
    ranking_decides: bool = False
    """Whether the ranking, and not the question alone, decides which queries it counts."""

    @property
    def counts(self) -> Counts:
        """Which queries have a value: all, those that the question allows, or those that the ranking allows."""
        if self.ranking_decides:
            return "by ranking"
        return "every query" if self.inputs == "grades" else "by question"


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric with its number, as a card or the command line names it."""

    name: str
    """Canonical spelling: `nDCG@10`."""
    family: MetricFamily
    cutoff: int | None

    @property
    def inputs(self) -> Inputs:
        """What it is computed from; `score` gathers it, `score_translations` for `translations`."""
        return self.family.inputs

    @property
    def depth(self) -> int | None:
        """Hits it needs of a corpus in one language; None for the whole ranking."""
        cutoff = self.cutoff or 1
        return {
            "cutoff": cutoff,
            "copies": cutoff,
            "tokens": cutoff * 1000 // PASSAGE_TOKENS,
            "top": 1,
            "whole": None,
        }[self.family.reach]

    def depth_in(self, passages: int, languages: int = 1) -> int:
        """Return the hits it needs from a corpus of so many passages in so many languages."""
        depth = passages if self.depth is None else self.depth
        return min(passages, depth * languages if self.family.reach == "copies" else depth)

    def compute(self, *arguments: object) -> NDArray[np.float64]:
        """Return its value for every query, from what `inputs` names; NaN for a query that does not count."""
        function = cast("Callable[..., NDArray[np.float64]]", load(f"{__name__}.{self.family.function}"))
        return function(*arguments, self.cutoff)


METRICS: Mapping[str, MetricFamily] = {
    "nDCG@{k}": MetricFamily(
        "ranking:ndcg", "discounted gain of the first k over that of the ideal order; gain = grade"
    ),
    "recall@{k}": MetricFamily("ranking:recall", "share of the relevant passages among the first k"),
    "MRR@{k}": MetricFamily("ranking:reciprocal_rank", "1 / rank of the first relevant passage, 0 after k"),
    "MAP@{k}": MetricFamily("ranking:average_precision", "average precision over the first k"),
    "P@{k}": MetricFamily("ranking:precision", "relevant passages among the first k, divided by k"),
    "hit@{k}": MetricFamily("ranking:hit", "whether a relevant passage is among the first k"),
    "mAP": MetricFamily("ranking:average_precision", "average precision over the whole ranking", reach="whole"),
    "Rprec": MetricFamily(
        "ranking:r_precision", "precision at R, the number of the query's relevant passages", reach="whole"
    ),
    "RBP@{k}": MetricFamily(
        "ranking:rank_biased_precision", "rank-biased precision of the first k with persistence 0.8"
    ),
    "judged@{k}": MetricFamily(
        "ranking:judged",
        "share of the first k hits that are judged, whatever their grade",
        "judged",
        ranking_decides=True,
    ),
    "R@{k}kt": MetricFamily(
        "answers:recall_in_tokens", "whether an answer is in the first k * 1000 tokens", "answers", "tokens"
    ),
    "answer-recall@{k}": MetricFamily(
        "answers:answer_recall", "whether one of the first k passages holds an answer", "answers"
    ),
    "sem-nDCG@{k}": MetricFamily(
        "pools:semantic_ndcg", "nDCG of the contents, further copies of a content removed", "pool", "copies"
    ),
    "LPR": MetricFamily(
        "pools:language_preference",
        "whether the best-ranked copy is in the query's language",
        "pool",
        "whole",
        needs_own_language=True,
    ),
    "LPR@{k}": MetricFamily(
        "pools:language_preference", "LPR where copies after k are taken as not found", "pool", needs_own_language=True
    ),
    "LPR-top1": MetricFamily(
        "pools:language_preference_at_top",
        "LPR of the queries whose first hit is right",
        "pool",
        "top",
        needs_own_language=True,
        ranking_decides=True,
    ),
    "Lang-nDCG@{k}": MetricFamily(
        "pools:language_ndcg", "nDCG with gain 0.5 for translations", "pool", needs_own_language=True
    ),
    "Lang-nDCG-strict@{k}": MetricFamily(
        "pools:language_ndcg_strict", "nDCG with gain 0 for translations", "pool", needs_own_language=True
    ),
    "Lang-nDCG-all@{k}": MetricFamily(
        "pools:language_ndcg_all", "nDCG with gain 1 for translations", "pool", needs_own_language=True
    ),
    "top1-both": MetricFamily(
        "pools:top_both", "whether the first hit has the right content and language", "pool", "top"
    ),
    "top1-content": MetricFamily(
        "pools:top_content", "whether the first hit has the right content, but not language", "pool", "top"
    ),
    "top1-language": MetricFamily(
        "pools:top_language", "whether the first hit has the right language, but not content", "pool", "top"
    ),
    "top1-neither": MetricFamily(
        "pools:top_neither", "whether the first hit has neither content nor language right", "pool", "top"
    ),
    "Max@R": MetricFamily(
        "pools:worst_rank",
        "rank of the last copy of the relevant content",
        "pool",
        "whole",
        higher_is_better=False,
        bounds=(1.0, math.inf),
    ),
    "Complete@{k}": MetricFamily("pools:complete", "whether all copies are among the first k", "pool"),
    "PEER@{k}": MetricFamily(
        "pools:equal_expected_rank", "p of the hypothesis that all languages rank alike, tied after k", "pool"
    ),
    "PEER-relevant@{k}": MetricFamily(
        "pools:equal_expected_rank_of_relevant", "the same over the relevant passages, by grade", "pool"
    ),
    "MRC@{k}": MetricFamily(
        "translations:rank_correlation",
        "rank correlation with the translations of the query",
        "translations",
        bounds=(-1.0, 1.0),
        ranking_decides=True,
    ),
}

METRIC_GROUPS: Mapping[str, tuple[str, ...]] = {
    "four-way": ("top1-both", "top1-content", "top1-language", "top1-neither")
}
"""Names that stand for several metrics."""

_SPELLINGS = {name.casefold(): name for name in METRICS}


def parse(name: str) -> Metric:
    """Read a metric's name in any case.

    Raise `UsageError` with the nearest names for an unknown metric, and for a cutoff below 1.

    >>> parse("NDCG@10").name, parse("r@5KT").depth, parse("map").name
    ('nDCG@10', 100, 'mAP')
    """
    number = re.fullmatch(r"(.+@)([0-9]+)(kt)?", name.casefold())
    template = f"{number[1]}{{k}}{number[3] or ''}" if number else name.casefold()
    cutoff = int(number[2]) if number else None
    # A typed "{k}" is not a number.
    if template not in _SPELLINGS or ("{k}" in template) != (number is not None):
        raise UsageError(
            unknown("metric", name, [*(known.format(k=cutoff or 10) for known in METRICS), *METRIC_GROUPS])
        )
    spelling = _SPELLINGS[template]
    if cutoff is not None and cutoff < 1:
        msg = f"metric {name!r} looks at no hit; the number must be 1 or more: {spelling.format(k=10)!r}"
        raise UsageError(msg)
    return Metric(spelling.format(k=cutoff), METRICS[spelling], cutoff)


def expand(names: Iterable[str]) -> tuple[Metric, ...]:
    """Read several names, each metric once. A group such as `four-way` stands for its members.

    >>> [metric.name for metric in expand(["mrr@10", "MRR@10", "four-way"])]
    ['MRR@10', 'top1-both', 'top1-content', 'top1-language', 'top1-neither']
    """
    single = [part for name in names for part in METRIC_GROUPS.get(name.casefold(), (name,))]
    return tuple({metric.name: metric for metric in map(parse, single)}.values())
