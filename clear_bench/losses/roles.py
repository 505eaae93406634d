"""Find the role of each column of a data set by its name, without loading torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from clear_bench.errors import UsageError
from clear_bench.losses.objectives import REPEATED, ROLES, Role
from clear_bench.registry import unknown

COLUMN_NAMES: dict[Role, str] = {
    "anchor": r"anchor|query|en_question",
    "positive": r"positive|passage|paragraphs",
    "negative": r"(?:negative|neg)_(\d+)",
    "cross_anchor": r"cross_anchor|lang_question",
    "neg_query": r"neg_query_(\d+)",
    "bridge": r"bridge",
}
"""Role -> the column names that it accepts; the number of a repeated role orders its columns."""

EXAMPLES: dict[Role, str] = {
    "anchor": "anchor",
    "positive": "positive",
    "negative": "negative_1, negative_2, ...",
    "cross_anchor": "cross_anchor",
    "neg_query": "neg_query_1, neg_query_2, ...",
    "bridge": "bridge",
}

UNNUMBERED = re.compile(r"negative|neg|neg_query|hard_negative|negatives|neg_queries")
"""Names of a repeated role without a number: ignoring them would lose negatives in silence."""


@dataclass(frozen=True, slots=True)
class Roles:
    """The columns of one data set by role."""

    columns: Mapping[Role, tuple[str, ...]]

    def count(self, role: Role) -> int:
        """Return the number of columns of a role."""
        return len(self.columns.get(role, ()))

    def order(self, needed: Iterable[Role]) -> tuple[str, ...]:
        """Return the columns that a loss takes, in its order."""
        wanted = set(needed)
        return tuple(column for role in ROLES if role in wanted for column in self.columns.get(role, ()))


def resolve_roles(columns: Iterable[str], needed: Iterable[Role], overrides: Mapping[str, str] | None = None) -> Roles:
    """Return the columns of each role; other columns (language, ids, scores) are ignored.

    `overrides` maps a role, numbered where it repeats (`negative_2`), to a column of any name. Raises `UsageError` for
    columns that are missing, ambiguous or without a number, and for gaps in the numbers.

    >>> resolve_roles(["query", "passage", "neg_2", "neg_1", "score"], ["anchor"]).columns["negative"]
    ('neg_1', 'neg_2')
    """
    names = list(columns)
    found = _match(names, overrides or {})
    resolved = {role: _settle(role, matches) for role, matches in found.items() if matches}
    missing = [role for role in ROLES if role in set(needed) and role not in resolved and role not in REPEATED]
    if missing:
        accepted = "; ".join(f"{role}: {COLUMN_NAMES[role].replace('|', ', ')}" for role in missing)
        msg = (
            f"the data has no column for {', '.join(missing)}; accepted names: {accepted}; columns: {', '.join(names)}"
        )
        raise UsageError(msg)
    return Roles(resolved)


def _match(names: list[str], overrides: Mapping[str, str]) -> dict[Role, list[tuple[int, str]]]:
    """Return (number, column) for each column of each role."""
    found: dict[Role, list[tuple[int, str]]] = {role: [] for role in ROLES}
    for key, column in overrides.items():
        role, number = _role_of(key)
        if role is None:
            raise UsageError(unknown("role", key, ROLES))
        if column not in names:
            raise UsageError(f"role {key}: {unknown('column', column, names)}")
        found[role].append((number, column))
    named = {(role, number) for role, matches in found.items() for number, _ in matches}
    for column in names:
        if column in overrides.values():
            continue
        if UNNUMBERED.fullmatch(column):
            msg = f"column {column!r} carries no number; rename it to {column.rstrip('s')}_1 or drop it"
            raise UsageError(msg)
        role, number = _role_of(column)
        if role is not None and (role, number) not in named:
            found[role].append((number, column))
    return found


def _role_of(name: str) -> tuple[Role | None, int]:
    for role, pattern in COLUMN_NAMES.items():
        if match := re.fullmatch(pattern, name):
            return role, int(match[1]) if match.groups() else 0
    return None, 0


def _settle(role: Role, matches: list[tuple[int, str]]) -> tuple[str, ...]:
    """Order one role's columns by number; two columns for one place, or a gap, are refused."""
    ordered = sorted(matches)
    numbers = [number for number, _ in ordered]
    if len(set(numbers)) < len(numbers):
        msg = f"several columns could be {role}: {', '.join(column for _, column in ordered)}; keep one of them"
        raise UsageError(msg)
    if role in REPEATED and numbers != list(range(1, len(numbers) + 1)):
        found = ", ".join(column for _, column in ordered)
        msg = f"the columns of {role} must be numbered 1 to {len(numbers)} ({EXAMPLES[role]}); found {found}"
        raise UsageError(msg)
    return tuple(column for _, column in ordered)
