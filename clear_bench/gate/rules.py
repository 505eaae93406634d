"""The rules of a gate, and the results that they can judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from clear_bench.documents import read_as, tables
from clear_bench.errors import InputError, UsageError
from clear_bench.registry import refuse_unknown_keys
from clear_bench.types import ENGLISH, LanguagePair

if TYPE_CHECKING:
    from clear_bench.store.results import Result

MARGIN = 0.01
"""Loss that is tolerated unless the user says otherwise: one point of nDCG@10."""
ENGLISH_PAIR = LanguagePair(ENGLISH, ENGLISH)

_SHARED = {"margin", "metric", "tasks"}


@dataclass(frozen=True, slots=True)
class Rule:
    """One demand: no pair, or not the mean of the pairs, may lose more than the margin."""

    name: str = "English"
    pairs: tuple[str, ...] = ("en:en",)
    metric: str | None = None
    """The task's main metric unless given."""
    margin: float = MARGIN
    tasks: tuple[str, ...] = ()
    """All tasks of the results unless given."""
    over: Literal["each", "mean"] = "each"
    """`each`: every pair has to pass by itself; `mean`: their plain mean has to."""

    def __post_init__(self) -> None:
        """Raise `UsageError` for a margin or a mode that makes no sense."""
        if not 0 <= self.margin < 1:
            msg = f"margin {self.margin} of gate {self.name!r}: scores run from 0 to 1, so one point is 0.01"
            raise UsageError(msg)
        if self.over not in ("each", "mean"):
            msg = f"over = {self.over!r} of gate {self.name!r}: give 'each' or 'mean'"
            raise UsageError(msg)


def read_rules(config: Mapping[str, Any], where: str) -> list[Rule]:  # Any: TOML
    """Read gate.toml: settings of the English gate at the top, `[[gate]]` tables for further ones.

    Raise `UsageError` for an unknown key, a value of the wrong kind and a margin outside 0 to 1.
    """
    refuse_unknown_keys(config, _SHARED | {"english", "gate"}, where)
    shared = {key: config[key] for key in sorted(_SHARED) if key in config}
    english = config.get("english", True)
    if not isinstance(english, bool):
        raise UsageError(f"{where}: english = {english!r} is neither true nor false")
    rules = [read_as(Rule, shared, where)] if english else []
    for i, table in enumerate(tables(config, "gate", where), start=1):
        place = f"{where} [[gate]] {i}"
        rule = read_as(Rule, {"name": f"gate {i}", **shared, **table}, place)
        if not table.get("pairs"):
            raise UsageError(f"{place}: name the pairs it judges, for example pairs = ['direct']")
        rules.append(rule)
    if not rules:
        raise UsageError(f"{where}: no gate is left; drop english = false or add a [[gate]]")
    return rules


def refuse_unusable(results: Sequence[Result]) -> None:
    """Raise `InputError` for results that cannot carry a verdict: partial ones, and means without queries."""
    for result in results:
        if result.manifest.partial:
            limit = result.manifest.limit
            msg = f"{result.path} is partial (--limit {limit}): a gate needs all queries; run it again without --limit"
            raise InputError(msg)
        if not result.manifest.has_queries:
            msg = f"{result.path} was imported as means: a gate needs per-query scores; run the checkpoint here"
            raise InputError(msg)


def choose_pairs(result: Result, patterns: Sequence[str]) -> tuple[LanguagePair, ...]:
    """Return the pairs of a result that a rule judges.

    Raise `InputError` when the result has none: for the English cell it names the tasks that have one.
    """
    from clear_bench.tasks.pairs import match, split_patterns

    pools = {pair.passage for pair in result.pairs if pair.is_pool}
    wanted = set().union(*(match(pattern, result.pairs, {}, pools) for pattern in split_patterns(patterns)))
    chosen = tuple(pair for pair in result.pairs if pair in wanted)
    if not chosen:
        raise InputError(_no_pair(result, patterns))
    return chosen


def _no_pair(result: Result, patterns: Sequence[str]) -> str:
    if tuple(patterns) != Rule().pairs:
        return f"{result.path}: no pair {', '.join(patterns)} in it; it has {', '.join(map(str, result.pairs[:8]))}"
    able = ", ".join(_tasks_with_english()) or "none of the cards here"
    return (
        f"the result of task {result.task!r} at {result.path} has no English cell (queries and passages in English), "
        f"so it cannot say what happened to English; tasks that can: {able}. "
        f"Choose them with --tasks, or evaluate the pair en:en too."
    )


def _tasks_with_english() -> list[str]:
    from clear_bench.tasks import find_task, task_names

    return [name for name in task_names() if ENGLISH_PAIR in find_task(name).pairs]
