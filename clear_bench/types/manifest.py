"""The manifest of a result as a value: what was run, on what, with what, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from clear_bench.documents import Part
from clear_bench.types.checkpoint import Similarity
from clear_bench.types.pairs import LanguagePair

Number = int | float


class ResultKind(StrEnum):
    """Where the scores of a result come from."""

    MEASURED = "measured"
    TREC = "trec"
    """Scored here; the run is another system's."""
    IMPORTED_MEANS = "imported-means"
    """Means from a result file of mteb: there are no scores of single queries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPart(Part):
    """The checkpoint that was evaluated; `Checkpoint` says what the fields mean."""

    OPTIONAL: ClassVar[frozenset[str]] = frozenset({"trained_languages"})

    name: str
    slug: str
    """Folder name of its results."""
    revision: str | None = None
    fingerprint: str
    weights_digest: str
    prompts: Mapping[str, str]
    similarity: Similarity | None = None
    max_seq_length: int | None = None
    precision: str | None = None
    truncate_dim: int | None = None
    licence: str | None = None
    trained_on: tuple[str, ...] = ()
    trained_languages: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPart(Part):
    """The task, as its card describes it, with the metrics that were computed."""

    name: str
    title: str = ""
    main_metric: str
    metrics: tuple[str, ...]
    cluster: str | None = None
    """What queries are resampled by."""
    licence: str
    instruction: str | None = None
    overlaps: tuple[str, ...] = ()
    """Training sets that have texts of the task."""
    source: Mapping[str, str]
    card: str | None = None
    """Path of a user's own card, from the result's folder."""
    brought: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Entries of the card that were read from files of the user's -> SHA-256 of these files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestsPart(Part):
    """Digests of everything that moves a score, whatever the model; the inputs are the rows of `question.INPUTS`."""

    question: str | None = None
    """Of all of them and of what is asked."""

    @property
    def inputs(self) -> dict[str, Mapping[str, str]]:
        """Return input -> query language, passage language, pool or pair -> digest."""
        return {name: found for name, found in self.further.items() if isinstance(found, Mapping)}


@dataclass(frozen=True, slots=True, kw_only=True)
class CountsPart(Part):
    """What there was to do, what was lost on the way, and which queries do not count."""

    OPTIONAL: ClassVar[frozenset[str]] = frozenset({"stored_cosine", "queries"})

    texts: int = 0
    encoded_texts: int = 0
    """Texts whose vectors were not in the cache."""
    tokens: int | None = None
    truncated_share: Mapping[str, Mapping[str, Number | None]] | None = None
    """Side -> language -> share of the texts that were cut."""
    stored_cosine: Mapping[str, Mapping[str, Number]] = field(default_factory=dict)
    """Language -> mean and least cosine of coded vectors with what they were."""
    pairs: int = 0
    hits: int = 0
    ties: int = 0
    unanswerable: Mapping[str, int] = field(default_factory=dict)
    """Pair -> queries that count as 0, for lack of a relevant passage."""
    left_out: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Pair -> reason -> queries that do not count."""
    uncounted: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Metric -> pair -> why the metric has no value there."""
    queries: Mapping[str, int] = field(default_factory=dict)
    """Pair -> its rows in scores.parquet; empty for a result that is not saved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierPart(Part):
    """When and how a part of a result was measured, before it was extended."""

    created: str
    seconds: Mapping[str, Number] = field(default_factory=dict)
    command: tuple[str, ...]
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedPart(Part):
    """The file that a result was imported from."""

    file: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest(Part):
    """Everything that a result says beside its scores; `to_dict` gives manifest.json."""

    OPTIONAL: ClassVar[frozenset[str]] = frozenset(
        {"schema", "encoded", "settings", "run_depth", "seconds", "machine"}
        | {"recall_against_exact", "earlier", "imported", "files", "manifest_digest"}
    )

    schema: str = ""
    """Empty for a result that is not saved, as are `files` and `manifest_digest`."""
    identity: str
    """Names the scores and their intervals: SHA-256 (hex) of the question, the model and the settings."""
    kind: ResultKind
    model: ModelPart
    encoded: Mapping[str, str] | None = None
    """The first query and the first passage, as the model got them."""
    task: TaskPart
    settings: Mapping[str, object] = field(default_factory=dict)
    """What can move a similarity beside the model."""
    pairs: tuple[str, ...]
    partial: bool
    limit: int | None
    """Queries of each language, where not all were asked."""
    run_depth: int = 0
    """Ranks stored of each query; 0 where there is no run."""
    digests: DigestsPart
    counts: CountsPart
    created: str = ""
    """ISO 8601, UTC."""
    seconds: Mapping[str, Number] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, str] = field(default_factory=dict)
    recall_against_exact: Mapping[str, Mapping[str, Number]] = field(default_factory=dict)
    """Passage side -> recall of an approximate index, and what it cost."""
    earlier: tuple[EarlierPart, ...] = ()
    imported: ImportedPart | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    """Name of each file beside the manifest -> SHA-256 (hex)."""
    manifest_digest: str = ""

    @property
    def index(self) -> str:
        """The index that searched; empty where it is not known."""
        return str(self.further.get("index") or self.settings.get("index") or "")

    @property
    def language_pairs(self) -> tuple[LanguagePair, ...]:
        """The language pairs that were evaluated."""
        return tuple(LanguagePair(*pair.split(":")) for pair in self.pairs)

    @property
    def has_queries(self) -> bool:
        """Whether there are scores of single queries, and not only means."""
        return self.kind is not ResultKind.IMPORTED_MEANS

    @property
    def seen_in_training(self) -> tuple[str, ...]:
        """The training sets of the model that overlap the task, as the task's card names them."""
        known = {_plain(name) for name in self.model.trained_on}
        return tuple(name for name in self.task.overlaps if _plain(name) in known)


_SAME_SET = {
    "natural-questions": "nq",
    "msmarco": "ms-marco",
    "mrtydi": "mr-tydi",
    "mrtidy": "mr-tydi",
    "tydiqa": "tydi-qa",
}
"""Spellings of training sets on model cards -> the one that task cards use."""


def _plain(name: str) -> str:
    """Return the one spelling of a training set.

    >>> _plain("miracl/miracl"), _plain("miracl-train"), _plain("sentence-transformers/natural-questions")
    ('miracl', 'miracl', 'nq')
    """
    plain = name.lower().rsplit("/", 1)[-1].replace("_", "-").removesuffix("-train")
    return _SAME_SET.get(plain, plain)
