"""Group results that answer the same question, rank them, and refuse those that a board must not show."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from clear_bench.errors import InputError
from clear_bench.leaderboard.references import REFERENCES
from clear_bench.question import asked
from clear_bench.render.records import Summary, Value
from clear_bench.store.results import Result
from clear_bench.types import Manifest, ResultKind


def refuse_unfit(results: Sequence[Result]) -> None:
    """Raise `InputError` for results that a board must not show: partial, imported, or the same one twice."""
    seen: dict[tuple[str, str, str], Path] = {}
    for result in results:
        manifest = result.manifest
        if result.task.lower() == "readme" or not re.fullmatch(r"[a-z0-9._-]+", result.task):
            msg = f"{result.path}: the task name {result.task!r} cannot name a board: use lower case, not 'readme'"
            raise InputError(msg)
        if manifest.partial:
            msg = f"{result.path} is partial (--limit {manifest.limit}); a leaderboard takes whole results only"
            raise InputError(msg)
        if manifest.kind is not ResultKind.MEASURED:
            msg = f"{result.path} was not measured here (kind {str(manifest.kind)!r}); put it into {REFERENCES} instead"
            raise InputError(msg)
        key = (result.task, manifest.model.fingerprint, str(question(manifest)))
        if key in seen:
            msg = f"{result.path} and {seen[key]} are the same model on the same question; keep one of them"
            raise InputError(msg)
        seen[key] = result.path


def questions(summaries: Sequence[Summary]) -> list[list[Summary]]:
    """Group results that answer the same question; the one with most pairs, then most models, stands first."""
    groups: dict[str, list[Summary]] = {}
    for one in summaries:
        groups.setdefault(str(question(one.manifest)), []).append(one)
    return [groups[key] for key in sorted(groups, key=lambda key: (-len(groups[key][0].pairs), -len(groups[key]), key))]


def question(manifest: Manifest) -> tuple[object, ...]:
    """Return what was asked, whatever the run depth or the further metrics."""
    data = [(name, *sorted(found.items())) for name, found in asked(manifest.digests.inputs).items()]
    return (manifest.task.main_metric, manifest.task.instruction or "", sorted(manifest.pairs), *data)


def bands(values: Sequence[Value]) -> list[tuple[int, int]]:
    """Return the best and worst rank that the intervals leave open; a score without interval is both of its ends."""
    ends = [(v.value if v.lower is None else v.lower, v.value if v.upper is None else v.upper) for v in values]
    return [
        (1 + sum(low > upper for low, _ in ends), len(ends) - sum(high < lower for _, high in ends))
        for lower, upper in ends
    ]


def with_unique_names(summaries: Sequence[Summary]) -> list[Summary]:
    """Put the fingerprint into names that several models share."""
    prints: dict[str, set[str]] = {}
    for one in summaries:
        prints.setdefault(one.model, set()).add(one.fingerprint)
    return [
        replace(one, model=f"{one.model} ({one.fingerprint[:8]})") if len(prints[one.model]) > 1 else one
        for one in summaries
    ]
