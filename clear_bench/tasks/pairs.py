"""Select language pairs by patterns: `de:en`, `*:en`, `de:POOL`, or a word such as `direct`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from clear_bench.errors import UsageError
from clear_bench.languages import canonical, short
from clear_bench.registry import unknown
from clear_bench.tasks.task import Task
from clear_bench.types import LanguagePair

PAIR_WORDS: dict[str, Callable[[LanguagePair], bool]] = {
    "all": lambda pair: True,
    "english": lambda pair: pair.kind == "english",
    "monolingual": lambda pair: pair.query == pair.passage,
    "cross": lambda pair: pair.query != pair.passage and not pair.is_pool,
    "direct": lambda pair: pair.kind == "direct",
    "x-en": lambda pair: pair.kind == "x-en",
    "en-x": lambda pair: pair.kind == "en-x",
    "pool": lambda pair: pair.is_pool,
}
"""Word -> whether it means a pair. `direct` is both sides non-English and different."""

_ANY, _ANY_POOL = "*", "POOL"


def select_pairs(task: Task, patterns: str | Iterable[str]) -> tuple[LanguagePair, ...]:
    """Return the pairs of a task that match any pattern, in the card's order.

    A language is spelled canonically, as the card's files spell it, or in any way that `canonical` takes. `*` means
    whatever the card runs; a pool that the card does not run by itself is reached by its name (or `POOL`, any pool).
    A pattern that matches nothing adds nothing. Raises `UsageError` for a language or word that does not exist.
    """
    chosen = [match(pattern, task.pairs, task.codes, task.pools) for pattern in split_patterns(patterns)]
    return _in_order(set().union(*chosen), task.pairs, task.pools)


def plan_pairs(
    tasks: Sequence[Task], patterns: str | Iterable[str]
) -> tuple[dict[str, tuple[LanguagePair, ...]], tuple[str, ...]]:
    """Apply one set of patterns to several tasks.

    Returns task name -> its pairs (empty where it has none), and a warning for each pattern that a task lacks.
    Raises `UsageError` for a pattern that every task lacks.
    """
    warnings: list[str] = []
    chosen: dict[str, set[LanguagePair]] = {task.name: set() for task in tasks}
    pools = {name for task in tasks for name in task.pools}
    named = split_patterns(patterns)
    if not tasks or not named:
        msg = f"no {'pair' if tasks else 'task'} is named, so there is nothing to do"
        raise UsageError(msg)
    for pattern in named:
        found = {task.name: match(pattern, task.pairs, task.codes, task.pools, pools) for task in tasks}
        lacking = [task for task in tasks if not found[task.name]]
        if len(lacking) == len(tasks):
            msg = f"no pair matches {pattern!r}; {'; '.join(_offer(task) for task in tasks)}"
            raise UsageError(msg)
        warnings.extend(f"task {task.name} has no pair {pattern!r}; it is skipped there" for task in lacking)
        for name, pairs in found.items():
            chosen[name] |= pairs
    return {task.name: _in_order(chosen[task.name], task.pairs, task.pools) for task in tasks}, tuple(warnings)


def split_patterns(patterns: str | Iterable[str]) -> list[str]:
    """Split at commas, drop blanks and repetitions."""
    texts = [patterns] if isinstance(patterns, str) else patterns
    parts = [part.strip() for text in texts for part in text.split(",")]
    return list(dict.fromkeys(part for part in parts if part))


def match(
    pattern: str,
    pairs: Sequence[LanguagePair],
    codes: Mapping[str, str],
    pools: Iterable[str],
    other_pools: Iterable[str] = (),
) -> set[LanguagePair]:
    """Return the pairs that one pattern means; `other_pools` exist elsewhere and match nothing here."""
    if pattern in PAIR_WORDS:
        return {pair for pair in pairs if PAIR_WORDS[pattern](pair)}
    query, colon, passage = (part.strip() for part in pattern.partition(":"))
    if not colon:
        msg = f"{unknown('pair', pattern, PAIR_WORDS)} or write query:passage, such as de:en or *:en"
        raise UsageError(msg)
    spellings = {code: language for language, code in codes.items()}
    query = _side(query, spellings, ())
    passage = _side(passage, spellings, [_ANY_POOL, *pools, *other_pools])
    if passage == _ANY_POOL or passage in pools:
        pairs = [*pairs, *_pool_pairs(pairs, pools)]
    return {
        pair
        for pair in pairs
        if query in (_ANY, pair.query) and (passage in (_ANY, pair.passage) or (passage == _ANY_POOL and pair.is_pool))
    }


def _side(text: str, spellings: Mapping[str, str], pools: Iterable[str]) -> str:
    if text == _ANY or text in pools:
        return text
    return spellings.get(text) or canonical(text)


def _pool_pairs(pairs: Iterable[LanguagePair], pools: Iterable[str]) -> list[LanguagePair]:
    queries = dict.fromkeys(pair.query for pair in pairs)
    return [LanguagePair(query, pool) for pool in pools for query in queries]


def _in_order(
    chosen: set[LanguagePair], pairs: Sequence[LanguagePair], pools: Iterable[str]
) -> tuple[LanguagePair, ...]:
    every = dict.fromkeys([*pairs, *_pool_pairs(pairs, pools)])
    return tuple(pair for pair in every if pair in chosen)


def _offer(task: Task) -> str:
    """Return what a task has, for a message: its pairs where they are few, else its languages."""
    if len(task.pairs) <= 12:
        return f"{task.name} has {', '.join(map(str, task.pairs))}"
    pools = f" and the pools {', '.join(task.pools)}" if task.pools else ""
    return f"{task.name} has {len(task.pairs)} pairs of {' '.join(map(short, task.languages))}{pools}"
