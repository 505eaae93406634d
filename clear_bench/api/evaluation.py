"""Evaluate one checkpoint on planned tasks: encode, search, score, save. The stages stand elsewhere."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from clear_bench import score
from clear_bench.api.cells import cells, run_table, score_table
from clear_bench.api.countable import NOT_COUNTED, uncountable
from clear_bench.api.extension import Extension, is_answered, narrow, refuse_conflict, refuse_other_depth, widen
from clear_bench.api.manifest import describe, measured, now, with_judged
from clear_bench.api.plan import Plan
from clear_bench.api.retrievers.protocol import Retriever
from clear_bench.disk import write_text
from clear_bench.errors import CellsFailedError, InputError, OccupiedError
from clear_bench.store.mteb_json import task_result
from clear_bench.store.results import (
    MANIFEST,
    MTEB,
    RUN,
    SCORES,
    Result,
    RunWriter,
    check_task_name,
    read_result,
    recover_result,
    save_result,
)
from clear_bench.types import Checkpoint, Manifest, Scores

if TYPE_CHECKING:
    import pandas as pd

    from clear_bench.render.tables import Table

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Output:
    """Where results go, and how they were asked for."""

    folder: Path | None = None
    """OUT; None keeps the scores in memory only."""
    force: bool = False
    """Replace another result that stands in this one's place."""
    command: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Evaluation:
    """The scores of one checkpoint on one or more tasks."""

    checkpoint: Checkpoint
    scores: Mapping[str, Scores]
    """Task name -> scores."""
    folder: Path | None = None
    """Folder below which the results are saved as `<slug>/<task>`; None where they are in memory only."""

    def __str__(self) -> str:
        """Return the tables that `clear-bench run` prints."""
        from clear_bench.render.writers import plain_text

        return "\n".join(map(plain_text, self._tables()))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Return the same tables for a notebook."""
        from clear_bench.render.writers import html_table

        return "".join(map(html_table, self._tables()))

    def _tables(self) -> Iterator[Table]:
        from clear_bench.api.summary import summarise
        from clear_bench.render.tables import run_tables

        return (table for scores in self.scores.values() for table in run_tables(summarise(scores)))

    def results(self) -> dict[str, Result]:
        """Return the result of each task, as `compare`, `gate` and `report` take it."""
        place = (self.folder or Path()) / self.checkpoint.slug
        return {task: Result(place / task, scores, scores.provenance) for task, scores in self.scores.items()}

    def to_pandas(self) -> pd.DataFrame:
        """Return the long form: one row per task, pair and query, one column a metric."""
        import pandas as pd

        frames = [
            scores.to_pandas().assign(model=self.checkpoint.name, task=task) for task, scores in self.scores.items()
        ]
        long = pd.concat(frames, ignore_index=True)
        return long[["model", "task", *[name for name in long.columns if name not in ("model", "task")]]]

    def matrix(self, task: str, metric: str | None = None) -> pd.DataFrame:
        """Return a task's means (0-1): query languages down, passage languages across."""
        import pandas as pd

        scores = self.scores[task]
        means = score.means(scores, metric or scores.provenance.task.main_metric)
        rows = [(pair.query, pair.passage, mean.value) for pair, mean in means.items()]
        frame = pd.DataFrame(rows, columns=["query_language", "passage_language", "value"])
        return frame.pivot_table(index="query_language", columns="passage_language", values="value", sort=False)


def evaluate_plans(retriever: Retriever, plans: Sequence[Plan], output: Output) -> Evaluation:
    """Evaluate one checkpoint on every plan; a task that is finished is saved before the next one starts.

    Raises the error of the first task as it is, and `CellsFailedError` when finished tasks were saved before a later
    one failed.
    """
    finished: dict[str, Scores] = {}
    for plan in plans:
        try:
            finished[plan.task.name] = evaluate_plan(retriever, plan, output)
        except InputError as error:
            if not finished or output.folder is None:
                raise
            msg = f"{plan.task.name} failed: {error} Finished and saved: {', '.join(finished)}."
            raise CellsFailedError(msg) from error
    return Evaluation(retriever.checkpoint, finished, output.folder)


def evaluate_saved(retriever: Retriever, plans: Sequence[Plan], folder: Path) -> dict[str, Result]:
    """Evaluate one checkpoint on every plan, save the results below a folder, and return them by task."""
    done = evaluate_plans(retriever, plans, Output(folder))
    return {task: read_result(folder / retriever.checkpoint.slug / task) for task in done.scores}


def evaluate_plan(retriever: Retriever, plan: Plan, output: Output) -> Scores:
    """Evaluate one checkpoint on one plan: of a result that is there already, only what it lacks is measured.

    Raises `UsageError` where the result in its place is of another model, setting or text, and says what differs.
    """
    if output.folder is None:
        return _measure(retriever, plan, describe(plan, retriever), output)
    folder = output.folder / retriever.checkpoint.slug / plan.task.name
    check_task_name(plan.task.name)
    while True:
        recover_result(folder)
        try:
            if output.force or not (folder / MANIFEST).exists():
                return _save(retriever, plan, folder, output)
            old = read_result(folder)
            refuse_conflict(old, describe(plan, retriever, folder), plan)
            if is_answered(plan, old):
                log.info("%s: the scores are already there and are used again", folder)
                return narrow(old.scores, plan)
            whole = Extension(old, widen(plan, old))
            refuse_conflict(old, describe(whole.plan, retriever, folder), plan)
            refuse_other_depth(whole)
            return narrow(_save(retriever, whole.plan, folder, output, whole), plan)
        except OccupiedError:
            if folder.exists() and not (folder / MANIFEST).exists():
                raise
            log.info("%s: another process has changed it; going on from what it holds now", folder)


def _save(retriever: Retriever, plan: Plan, folder: Path, output: Output, extension: Extension | None = None) -> Scores:
    manifest, over = describe(plan, retriever, folder), extension.old.manifest.manifest_digest if extension else None

    def write(temporary: Path) -> Manifest:
        scores = _measure(retriever, plan, manifest, output, temporary, extension)
        pq.write_table(scores.table, temporary / SCORES, compression="zstd", store_schema=False)
        write_text(temporary / MTEB, json.dumps(_mteb(scores, plan), indent=1) + "\n")
        return scores.provenance

    return read_result(save_result(folder, write, force=output.force, over=over)).scores


def _measure(
    retriever: Retriever,
    plan: Plan,
    manifest: Manifest,
    output: Output,
    folder: Path | None = None,
    extension: Extension | None = None,
) -> Scores:
    """Encode, search and score what an extension lacks, else the whole plan; hits go to disk pair by pair."""
    started, begin = now(), time.perf_counter()
    part = replace(plan, judgements=extension.missing) if extension else plan
    ready = retriever.prepare(part)
    prepared = time.perf_counter()
    writer = RunWriter(folder / RUN) if folder else None
    tables, ties, hits = [], 0, 0
    try:
        if extension and writer:
            for kept in extension.kept_hits():
                writer.write(kept)
        for cell in cells(part, ready):
            tables.append(score_table(part, cell))
            if not (extension and cell.pair in extension.old.pairs):  # counted when they were first searched
                ties += cell.run.ties
                hits += int((cell.run.positions >= 0).sum())
            if writer:
                writer.write(run_table(part, cell))
    finally:
        if writer:
            writer.close()
    seconds = {"encode": prepared - begin, "search": time.perf_counter() - prepared}
    counts = replace(ready.counts, pairs=len(tables), hits=hits, ties=ties)
    recalls = {side: asdict(recall) for side, recall in ready.recalls().items()}
    whole = measured(manifest, started, seconds, output.command)
    whole = replace(whole, counts=counts, recall_against_exact=recalls)
    table = pa.concat_tables(tables)
    if extension:
        table, whole = extension.joined(table), extension.told(whole)
    counts = replace(with_judged(whole.counts, plan), uncounted=_uncounted(plan, whole, table))
    return Scores(table, plan.metrics, replace(whole, counts=counts))


def _uncounted(plan: Plan, manifest: Manifest, table: pa.Table) -> dict[str, dict[str, str]]:
    """Return, by metric and pair, why there is no value where no query counts."""
    known, found = uncountable(plan), dict[str, dict[str, str]]()
    for name in plan.metrics:
        for pair, mean in score.means(Scores(table, plan.metrics, manifest), name).items():
            if mean.value is None:
                reason = known.get(name, {}).get(str(pair), NOT_COUNTED)
                found.setdefault(name, {})[str(pair)] = reason
    return found


def _mteb(scores: Scores, plan: Plan) -> dict[str, Any]:  # Any: JSON
    made = scores.provenance
    return task_result(
        plan.task.name,
        str(made.digests.question),
        made.task.main_metric,
        score.means_by_pair(scores, made.task.main_metric),
        made.versions.get("mteb"),
        sum(made.seconds.values()),
    )
