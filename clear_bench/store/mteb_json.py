"""Write the mean scores of a result as an mteb `TaskResult`, without importing mteb."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from clear_bench.types import LanguagePair

SPELLINGS = {
    "nDCG": "ndcg_at_{}",
    "recall": "recall_at_{}",
    "MRR": "mrr_at_{}",
    "MAP": "map_at_{}",
    "P": "precision_at_{}",
    "hit": "hit_rate_at_{}",
}
"""Our metric -> mteb's key; other metrics keep a key of their own, which mteb permits."""


def subset_names(pairs: Sequence[LanguagePair]) -> dict[LanguagePair, str]:
    """Name the pairs as mteb names subsets, passage language first, short where three letters tell languages apart."""
    codes = sorted({code for pair in pairs for code in (pair.query, pair.passage)})
    short = {code: code.split("-")[0] if not _is_shared(code, codes) else code.replace("-", "_") for code in codes}
    return {pair: f"{short[pair.passage]}-{short[pair.query]}" for pair in pairs}


def subset_languages(pair: LanguagePair) -> list[str]:
    """Return the languages of a subset in mteb's order, passage first; a pool has none of its own."""
    return [pair.query] if pair.is_pool else [pair.passage, pair.query]


def metric_key(name: str) -> str:
    """Spell a metric the way mteb's result files do.

    >>> metric_key("nDCG@10"), metric_key("R@2kt")
    ('ndcg_at_10', 'r_at_2kt')
    """
    stem, _, depth = name.partition("@")
    if stem in SPELLINGS:
        return SPELLINGS[stem].format(depth)
    return re.sub(r"[^a-z0-9]+", "_", name.replace("@", "_at_").lower())


def metric_of(key: str) -> str | None:
    """Read mteb's key as a metric of ours; None where there is none.

    >>> metric_of("ndcg_at_10"), metric_of("accuracy"), metric_of("p-MRR"), metric_of("ndcg_at_0")
    ('nDCG@10', 'recall@1', None, None)
    """
    if key == "accuracy":
        return "recall@1"  # what mteb means by it in retrieval
    stem, _, depth = key.rpartition("_at_")
    names = {spelling.partition("_at_")[0]: name for name, spelling in SPELLINGS.items()}
    return f"{names[stem]}@{depth}" if stem in names and re.fullmatch("[1-9][0-9]*", depth) else None


def task_result(
    task: str,
    revision: str,
    main_metric: str,
    means: Mapping[LanguagePair, Mapping[str, float]],
    mteb_version: str | None,
    seconds: float,
) -> dict[str, Any]:  # Any: JSON
    """Lay out cell means (0-1) as a TaskResult file; `hf_subset` is passage-query there."""
    names = subset_names(list(means))
    entries = [
        {metric_key(metric): value for metric, value in values.items()}
        | {
            "main_score": values[main_metric],
            "hf_subset": names[pair],
            "languages": subset_languages(pair),
        }
        for pair, values in means.items()
    ]
    return {
        "dataset_revision": revision,
        "task_name": task,
        "mteb_version": mteb_version,
        "scores": {"test": entries},
        "evaluation_time": seconds,
        "kg_co2_emissions": None,
    }


def _is_shared(code: str, codes: Sequence[str]) -> bool:
    return sum(other.split("-")[0] == code.split("-")[0] for other in codes) > 1
