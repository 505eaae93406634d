"""`Task`: what a card says, validated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from clear_bench.types import LanguagePair

Scalar: TypeAlias = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Counts:
    """How many rows a card promises for a language; None where it promises nothing."""

    queries: int | None = None
    passages: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One benchmark as its card describes it. Languages are canonical codes throughout."""

    name: str
    title: str
    reader: str
    """A row of `readers.READERS`."""
    languages: tuple[str, ...]
    pairs: tuple[LanguagePair, ...]
    """What runs unless told otherwise, in the order of `languages`; pools only where the card names them."""
    metrics: tuple[str, ...]
    main_metric: str
    licence: str
    folder: Path
    """Where the card lies."""
    source: Mapping[str, str]
    """`path`, relative to the folder, or `hub` with a `revision`, or the `url` of an official site."""
    files: Mapping[str, str] = field(default_factory=dict)
    """What the reader reads, by its own names; `{code}` and the like stand for a language's code."""
    codes: Mapping[str, str] = field(default_factory=dict)
    """Canonical code -> the code that the files use; complete."""
    pools: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    select: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)
    """Field of a query -> the values that are kept."""
    expected: Mapping[str, Counts] = field(default_factory=dict)
    """Language -> counts of the view that is loaded: selected, merged, deduplicated."""
    options: Mapping[str, Any] = field(default_factory=dict)  # Any: TOML that the reader checks
    """Settings that only the reader knows."""
    cluster: str = "query"
    """Resampling unit: `query`, `passage`, or a field of the query."""
    join: str = " "
    """Stands between a passage's title and its text."""
    dedupe: Literal["none", "text"] = "none"
    """`text` merges the queries of a language that have the same text, as mteb does."""
    run_depth: int = 10
    instruction: str | None = None
    description: str = ""
    citation: str = ""
    grades: str = ""
    """What the relevance grades mean."""
    overlaps: tuple[str, ...] = ()
    """Names of training sets that share data with the task."""
    groups: tuple[str, ...] = ()
    """Names that run this task among others."""
    size: Mapping[str, float] = field(default_factory=dict)
    """About how much is downloaded and kept on disk for all languages: `download_gb`, `disk_gb`."""
    card: Path | None = None
    """The file that it was read from, where that is a user's own."""

    @property
    def query_languages(self) -> tuple[str, ...]:
        """The languages that the card's pairs ask in."""
        return tuple(dict.fromkeys(pair.query for pair in self.pairs))

    @property
    def passage_languages(self) -> tuple[str, ...]:
        """The languages that the card's pairs search in, members of pools among them."""
        return self.corpora_of(tuple(dict.fromkeys(pair.passage for pair in self.pairs)))

    def corpora_of(self, sides: tuple[str, ...]) -> tuple[str, ...]:
        """Resolve passage sides to languages: a pool to its members."""
        return tuple(dict.fromkeys(language for side in sides for language in self.pools.get(side, (side,))))
