"""The values that reports show: means with intervals, already computed. They are 0-1 and unrounded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clear_bench.languages import english_first
from clear_bench.types import LanguagePair, Manifest

if TYPE_CHECKING:
    from clear_bench.compare import Comparison
    from clear_bench.geometry import Overall, Space

LANGUAGE_GROUPS = ("monolingual", "x-en", "en-x", "direct")
"""The columns of a language table, as `LanguagePair.kind` names them; here monolingual includes the English cell."""

TITLES = {
    "english": "English",
    "monolingual": "monolingual",
    "x-en": "X→en",
    "en-x": "en→X",
    "direct": "direct",
    "cross": "cross-lingual",
    "pool": "pool",
    "all": "all pairs",
}
"""Heading of each group of pairs. Direct: both sides non-English and different."""


@dataclass(frozen=True, slots=True)
class Value:
    """A mean over the queries of one pair, or over the cells of a group of pairs."""

    value: float
    n: int
    """Queries."""
    clusters: int
    lower: float | None = None
    """Of the cluster-robust 95 % interval; None where one cluster leaves it unknown."""
    upper: float | None = None
    pairs: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Summary:
    """One result, ready to be shown."""

    model: str
    fingerprint: str
    task: str
    title: str
    metric: str
    cells: Mapping[LanguagePair, Value]
    """The metric in front, pair by pair, in the order of the result; pairs in which it counts no query are left out."""
    languages: Mapping[str, Mapping[str, Value]]
    """Language -> group -> mean: its monolingual cell, to English, from English, and its direct pairs as query."""
    metrics: Mapping[str, Mapping[LanguagePair, Value]]
    """Every metric of the result, the one in front included."""
    pooled: Mapping[str, Value]
    """Every metric, averaged over the pairs whose passages mix languages; empty where there is none."""
    manifests: Sequence[Manifest]
    """One per seed."""
    pairs: Sequence[LanguagePair]
    """Every pair that was evaluated."""
    by_group: Mapping[str, Mapping[str, Value]]
    """Metric -> macro means over groups of pairs, as in `groups`."""
    paths: Sequence[str] = ()
    """Folders of the results, as the user gave them."""

    @property
    def manifest(self) -> Manifest:
        """The manifest of the only result, or of the first seed."""
        return self.manifests[0]

    @property
    def label(self) -> str:
        """The model's name, marked where its training has seen data of the task."""
        return f"{self.model} †" if self.seen else self.model

    @property
    def seen(self) -> str:
        """Words for the training sets that overlap the task; empty where none is known."""
        known = dict.fromkeys(name for manifest in self.manifests for name in manifest.seen_in_training)
        return f"† trained on {', '.join(known)}, which overlaps {self.task}" if known else ""

    @property
    def limits(self) -> str:
        """Words for the queries of a partial result; empty for a whole one."""
        return f"only the first {self.manifest.limit} queries of each language" if self.manifest.partial else ""

    @property
    def unanswerable(self) -> str:
        """Words for the queries that are judged without a relevant passage; empty for none."""
        counts = self.manifest.counts
        zero = max(counts.unanswerable.values(), default=0)
        out = max((one.get("dropped", 0) for one in counts.left_out.values()), default=0)
        if not zero and not out:
            return ""
        fate = "counts as 0" if zero else "is left out, as the card says"
        if max(zero, out) == 1:
            return f"1 query has no relevant passage and {fate}"
        several = fate.replace("counts", "count").replace("is left", "are left")
        where = "up to " if len(self.pairs) > 1 else ""
        return f"{where}{max(zero, out):,} queries of a pair have no relevant passage and {several}"

    @property
    def groups(self) -> Mapping[str, Value]:
        """Macro means over groups of pairs; the keys are those of `TITLES`, groups without a value left out."""
        return self.by_group[self.metric]

    @property
    def columns(self) -> tuple[str, ...]:
        """The groups of a language table that the result has pairs of."""
        kinds = {"monolingual" if pair.kind == "english" else pair.kind for pair in self.pairs}
        return tuple(group for group in LANGUAGE_GROUPS if group in kinds)

    @property
    def overall(self) -> Value | None:
        """The mean over all pairs; over the pools where the task has nothing else; None where no query counts."""
        return self.groups.get("all") or self.groups.get("pool")

    def missing(self, metric: str) -> Mapping[LanguagePair, str]:
        """Return why a metric has no value, for the pairs without one."""
        known = self.manifest.counts.uncounted.get(metric, {})
        return {
            pair: known.get(str(pair), "no query of the pair counts for this metric")
            for pair in self.pairs
            if pair not in self.metrics[metric]
        }

    @property
    def sides(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Query languages and passage sides, English first and then in the order of the pairs."""
        return english_first(pair.query for pair in self.pairs), english_first(pair.passage for pair in self.pairs)


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """One query whose score changed, with its texts where they are at hand."""

    pair: LanguagePair
    query_id: str
    base: float | None
    """None without a baseline."""
    candidate: float
    query: str | None = None
    passages: Sequence[tuple[str, str, str]] = ()
    """(what it is, passage id, text): the relevant passage, each model's first hit."""


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A result in a report, with what it gained over a baseline and the queries worth reading."""

    summary: Summary
    gains: Comparison | None = None
    changes: Sequence[Change] = ()
    """Largest gains first, largest losses last; without a baseline the queries with the lowest scores."""
    margin: float | None = None
    """Largest loss that is tolerated, 0-1."""
    base: Summary | None = None
    space: Space | None = None
    """The geometry of the vectors, where it was measured."""
    moved: Sequence[Overall] = ()
    """How the geometry changed from the baseline, where both were measured."""

    @property
    def heading(self) -> str:
        """The model, its baseline and the task."""
        against = f" against {self.gains.base}" if self.gains else ""
        return f"{self.summary.model}{against} on {self.summary.title}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know before the numbers."""
        if self.gains:
            return self.gains.notes
        partial = (f"Partial result: {self.summary.limits}.",) if self.summary.limits else ()
        return (*partial, f"{self.summary.seen}.") if self.summary.seen else partial
