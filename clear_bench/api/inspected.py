"""Queries with their relevant passages and hits, of one result or of two side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that was found; unknown parts are None."""

    rank: int
    passage_id: str
    language: str | None
    similarity: float
    grade: int | None
    """None: not judged for the query."""
    text: str | None


@dataclass(frozen=True, slots=True)
class Relevant:
    """A passage that should be found."""

    passage_id: str
    language: str | None
    grade: int
    rank: int | None
    """None: not among the stored hits."""
    other_rank: int | None
    text: str | None


@dataclass(frozen=True, slots=True)
class Query:
    """One query of one pair; the other result's parts are None where there is no other result."""

    task: str
    query_language: str
    passage_language: str
    query_id: str
    text: str | None
    metric: str
    value: float
    other: float | None
    delta: float | None
    """What the other result scores above the first."""
    relevant: tuple[Relevant, ...]
    hits: tuple[Hit, ...]
    other_hits: tuple[Hit, ...] | None


@dataclass(frozen=True, slots=True)
class Inspection:
    """The queries of every task, and what has to be known about them."""

    names: tuple[str, ...]
    """Of the models."""
    queries: tuple[Query, ...]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return the document that `clear-bench inspect --json` prints."""
        return {"schema": "clear-bench/inspect/1", "queries": [asdict(query) for query in self.queries]}


def near_misses(query: Query, names: Sequence[str]) -> Iterator[str]:
    """Yield what each model nearly found: the relevant text under another id, unjudged hits above the relevant one."""
    texts = {_squeezed(one.text): one.passage_id for one in query.relevant if one.text}
    sides = [(query.hits, [one.rank for one in query.relevant])]
    if query.other_hits is not None:
        sides.append((query.other_hits, [one.other_rank for one in query.relevant]))
    for name, (hits, ranks) in zip(names, sides, strict=False):
        missed = [hit for hit in hits if not hit.grade or hit.grade < 1]
        for hit in missed:
            if hit.text and (twin := texts.get(_squeezed(hit.text))):
                yield f"hit {hit.rank} of {name}, {hit.passage_id}, has the text of the relevant passage {twin}"
        best = min((rank for rank in ranks if rank), default=None)
        above = [hit.passage_id for hit in missed if hit.grade is None and (best is None or hit.rank < best)]
        if above and query.relevant:
            yield f"{name} ranks above the relevant passage what nobody has judged: {', '.join(above)}"


def _squeezed(text: str) -> str:
    return " ".join(text.split())
