"""Training rows: texts by role. Rows that are left out are counted by reason."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from clear_bench.errors import DataError
from clear_bench.losses.objectives import Role
from clear_bench.losses.roles import Roles

POSITIVE, TWICE = "negative is the positive", "negative given twice"
"""Reasons for which a negative is left out of its row."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The rows that a run trains on."""

    columns: Mapping[str, Sequence[str]]
    """The text columns that play a role."""
    languages: Sequence[str]
    """Target language of each row."""
    roles: Roles
    drops: Mapping[str, int] = field(default_factory=dict)
    """Reason -> rows left out."""
    sources: tuple[Mapping[str, str], ...] = ()
    """Where the rows come from: path or hub id, digest or revision."""
    ids: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Passage column -> passage id of each row, where the data has ids."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Reason -> negatives left out of their rows."""

    def __len__(self) -> int:
        return len(self.languages)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over all texts and languages in order."""
        state = hashlib.sha256()
        for name in sorted(self.columns):
            state.update(f"{name}\0{len(self)}\0".encode())
            for text in self.columns[name]:
                state.update(text.encode() + b"\0")
        for name in sorted(self.ids):
            state.update(f"{name} ids\0{chr(0).join(self.ids[name])}\0".encode())
        state.update("\0".join(self.languages).encode())
        return state.hexdigest()

    def of(self, role: Role) -> list[Sequence[str]]:
        """Return the columns of one role."""
        return [self.columns[name] for name in self.roles.columns.get(role, ())]

    def keep(self, wanted: Sequence[bool], reason: str) -> Rows:
        """Return the wanted rows; the others are counted under a reason."""
        if all(wanted):
            return self
        chosen = [i for i, keep in enumerate(wanted) if keep]
        columns = {name: [texts[i] for i in chosen] for name, texts in self.columns.items()}
        drops = Counter(self.drops)
        drops[reason] += len(self) - len(chosen)
        ids = {name: [known[i] for i in chosen] for name, known in self.ids.items()}
        languages = [self.languages[i] for i in chosen]
        return replace(self, columns=columns, ids=ids, languages=languages, drops=dict(drops))

    def passage_numbers(self) -> dict[str, int]:
        """Return passage text -> number; texts that have the same id anywhere are one passage."""
        first: dict[str, str] = {}
        parents: dict[str, str] = {}
        for name in self.roles.order(("positive", "negative")):
            known = self.ids.get(name)
            for i, text in enumerate(self.columns[name]):
                parents.setdefault(text, text)
                if known is not None:
                    parents[_root(parents, text)] = _root(parents, first.setdefault(known[i], text))
        numbers: dict[str, int] = {}
        return {text: numbers.setdefault(_root(parents, text), len(numbers)) for text in parents}


def _root(parents: dict[str, str], text: str) -> str:
    while parents[text] != text:
        parents[text] = parents[parents[text]]
        text = parents[text]
    return text


def clean(rows: Rows) -> Rows:
    """Return the rows with a translated query; raises `DataError` where most are not translated, or none is left."""
    if rows.of("anchor") and rows.of("cross_anchor"):
        (anchor,), (cross,) = rows.of("anchor"), rows.of("cross_anchor")
        translated = [a.strip() != x.strip() for a, x in zip(anchor, cross, strict=True)]
        if translated and sum(translated) < len(translated) / 2:
            same = f"{len(translated) - sum(translated)} of {len(translated)}"
            msg = f"{same} rows have a cross_anchor that equals their anchor; it should be in the target language"
            raise DataError(msg)
        rows = rows.keep(translated, "cross_anchor not translated")
    if not len(rows):
        msg = f"no training row is left; dropped: {dict(rows.drops)}"
        raise DataError(msg)
    return rows


def choose_negatives(own: Container[str], ranked: Iterable[str], left_out: Counter[str]) -> list[str]:
    """Return negatives, each once, without the positives of their query; the others are counted in `left_out`."""
    chosen: dict[str, None] = {}
    for negative in ranked:
        if negative in own:
            left_out[POSITIVE] += 1
        elif negative in chosen:
            left_out[TWICE] += 1
        else:
            chosen[negative] = None
    return list(chosen)


def keep_distinct(rows: Rows) -> Rows:
    """Return the rows whose negatives differ from their positive and from one another, by text and id."""
    names = rows.roles.order(("positive", "negative"))
    if not (rows.of("positive") and rows.of("negative")):
        return rows
    numbers = rows.passage_numbers()
    left_out: Counter[str] = Counter()
    is_whole = []
    for texts in zip(*(rows.columns[name] for name in names), strict=True):
        positive, *negatives = (str(numbers[text]) for text in texts)
        is_whole.append(len(choose_negatives({positive}, negatives, left_out)) == len(negatives))
    return replace(rows.keep(is_whole, "too few negatives"), left_out=dict(left_out))


class Joined(NamedTuple):
    """Columns, passage ids by column, the language of each row, and rows and negatives left out, by reason."""

    columns: dict[str, list[str]]
    ids: dict[str, list[str]]
    languages: list[str]
    drops: Counter[str]
    left_out: Counter[str]


def join_rows(
    anchors: Mapping[str, str],
    passages: Mapping[str, str],
    negatives: Mapping[str, Sequence[str]],
    translations: Mapping[str, Mapping[str, str]],
    *,
    count: int,
    bridge: Mapping[str, str] | None = None,
) -> Joined:
    """Return rows joined by id for each language; a negative counts if its passage and its translated query exist."""
    columns: dict[str, list[str]] = {}
    ids: dict[str, list[str]] = {}
    languages: list[str] = []
    drops: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    listed = negatives if count else {}
    distinct = {item: _distinct(item, listed.get(item, ()), passages, left_out) for item in anchors}
    for language, queries in translations.items():
        for item, anchor in anchors.items():
            usable = [n for n in distinct[item] if n in passages and n in queries][:count]
            reason = _why_not(item, passages, queries, len(usable) < count, bridge)
            if reason is not None:
                drops[reason] += 1
                continue
            row = {"anchor": anchor, "positive": passages[item], "cross_anchor": queries[item]}
            for k, negative in enumerate(usable, 1):
                row |= {f"negative_{k}": passages[negative], f"neg_query_{k}": queries[negative]}
            append_row(columns, row if bridge is None else {**row, "bridge": bridge[item]})
            append_row(ids, {"positive": item, **{f"negative_{k}": name for k, name in enumerate(usable, 1)}})
            languages.append(language)
    return Joined(columns, ids, languages, drops, left_out)


def append_row(columns: dict[str, list[str]], row: Mapping[str, str]) -> None:
    """Append each text of a row to its column."""
    for name, text in row.items():
        columns.setdefault(name, []).append(text)


def _distinct(item: str, ranked: Sequence[str], passages: Mapping[str, str], left_out: Counter[str]) -> list[str]:
    """Return the negatives of a query whose texts differ from its passage and from one another."""
    keys = [passages.get(negative, negative) for negative in ranked]
    first = dict(zip(reversed(keys), reversed(ranked), strict=True))
    return [first[key] for key in choose_negatives({passages.get(item, item)}, keys, left_out)]


def _why_not(
    item: str, passages: Mapping[str, str], queries: Mapping[str, str], short: bool, bridge: Mapping[str, str] | None
) -> str | None:
    checks: Iterable[tuple[str, Callable[[], bool]]] = (
        ("no passage", lambda: item not in passages),
        ("no translated query", lambda: item not in queries),
        ("too few translated negatives", lambda: short),
        ("no bridge passage", lambda: bridge is not None and item not in bridge),
    )
    return next((reason for reason, is_wrong in checks if is_wrong()), None)


def refuse_unknown_languages(wanted: Sequence[str], known: Iterable[str]) -> None:
    """Raise `DataError` for a language that the data lacks."""
    present = set(known)
    if missing := [language for language in wanted if language not in present]:
        msg = f"the data has no language {', '.join(missing)}; it has {', '.join(sorted(present))}"
        raise DataError(msg)
