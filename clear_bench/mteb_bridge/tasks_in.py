"""mteb's retrieval tasks as ours: `--tasks mteb:NAME` finds them, and their data become a `Collection`."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clear_bench.errors import DataError, EnvironmentFault, InputError, MissingExtraError, UsageError
from clear_bench.mteb_bridge.datasets import passage_texts, query_texts
from clear_bench.mteb_bridge.directions import REVIEWS, subset_pairs
from clear_bench.mteb_bridge.joining import joined, once, with_prefixes
from clear_bench.qrels import find_rows
from clear_bench.registry import unknown
from clear_bench.store.mteb_json import metric_of
from clear_bench.tasks import Task
from clear_bench.tasks.task import Counts
from clear_bench.types import Collection, LanguagePair, Qrels, Texts, make_qrels

if TYPE_CHECKING:
    from mteb.abstasks.retrieval import AbsTaskRetrieval
    from mteb.abstasks.task_metadata import TaskMetadata

log = logging.getLogger(__name__)

PREFIX, READER = "mteb:", "mteb"
METRICS = ("nDCG@10", "recall@100", "MRR@100")
"""Computed beside a task's own main metric."""

Split = Mapping[str, Any]  # Any: mteb's RetrievalSplitData


def find_mteb_tasks(name: str) -> tuple[Task, ...]:
    """Return our tasks for a retrieval task of mteb, named with or without `mteb:`. No data are loaded.

    A collection has one set of judgements for each pair, so several splits, or subsets that share a language pair,
    become several tasks. Raise `UsageError` for a task that mteb lacks, that is not retrieval, or whose language order
    is not in `REVIEWS`.
    """
    task = _task(name.removeprefix(PREFIX))
    parts = getattr(task.metadata, "tasks", ())  # an aggregate, which mteb averages
    if parts:
        return tuple(one for part in parts for one in find_mteb_tasks(part.metadata.name))
    groups = unique_pairs(subset_pairs(task.metadata))
    splits = list(task.eval_splits)
    return tuple(
        _describe(task.metadata, split, subsets, [group, split if len(splits) > 1 else ""])
        for group, subsets in groups.items()
        for split in splits
    )


def unique_pairs(pairs: Mapping[str, LanguagePair]) -> dict[str, dict[str, LanguagePair]]:
    """Group subsets into matrices: one for all that have their own pair, and one for each that shares its pair."""
    groups: dict[str, dict[str, LanguagePair]] = {}
    for subset, pair in pairs.items():
        own = list(pairs.values()).count(pair) > 1
        groups.setdefault(subset if own else "", {})[subset] = pair
    return groups


def our_name(name: str, suffixes: Sequence[str]) -> str:
    """Return our name of a task of mteb, or of a part of it."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", ".".join([f"mteb-{name}", *filter(None, suffixes)]))


def read(task: Task, pairs: Sequence[LanguagePair], offline: bool = False) -> Collection:
    """Load the data of pairs through mteb, as its own evaluation sees them.

    Queries without judgements are left out, and one whose judgements are all 0 scores 0, both as in mteb. Raise
    `DataError` for a judgement of a passage that the corpus lacks.
    """
    named = {LanguagePair(*key.split(":")): str(subset) for key, subset in task.options["subsets"].items()}
    # What a language's texts are must not depend on the pairs that run.
    wanted = named if _has_own_texts(task) else {pair: named[pair] for pair in pairs}
    with _offline(offline):
        source = _load(task.source["mteb"], task.source["split"], list(wanted.values()))
    splits = {pair: source.dataset[subset][task.source["split"]] for pair, subset in wanted.items()}
    asked = {pair: query_texts(split["queries"], pair.query) for pair, split in splits.items()}
    corpora = {pair: once(passage_texts(split["corpus"], pair.passage)) for pair, split in splits.items()}
    if not _has_own_texts(task):
        _require_one(asked, "queries", named)
        _require_one(corpora, "passages", named)
    qrels: dict[LanguagePair, Qrels] = {}
    candidates: dict[LanguagePair, Qrels] = {}
    queries, passages = joined(asked, named), joined(corpora, named)
    for pair, split in splits.items():
        known = _qrels(split["relevant_docs"], asked[pair], corpora[pair])
        qrels[pair] = with_prefixes(known, queries.prefixes.get(pair), passages.prefixes.get(pair))
        if split.get("top_ranked"):
            ranked = _as_qrels({query: dict.fromkeys(names, 1) for query, names in split["top_ranked"].items()})
            candidates[pair] = with_prefixes(ranked, queries.prefixes.get(pair), passages.prefixes.get(pair))
    return Collection(
        queries.texts,
        passages.texts,
        {pair: qrels[pair] for pair in pairs},
        {language: _clusters(texts, qrels) for language, texts in queries.texts.items()},
        candidates={pair: candidates[pair] for pair in pairs if pair in candidates},
        searched={pair: rows for pair, rows in passages.rows.items() if pair in pairs and pair not in candidates},
        excludes_own_ids=bool(source.ignore_identical_ids),
    )


def _task(name: str) -> AbsTaskRetrieval:
    try:
        import mteb
        from mteb.abstasks.aggregated_task import AbsTaskAggregate
        from mteb.abstasks.retrieval import AbsTaskRetrieval
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "cpu") from None
    try:
        task = mteb.get_task(name)
    except KeyError:
        known = [task.metadata.name for task in mteb.get_tasks(task_types=["Retrieval", "Reranking"])]
        raise UsageError(unknown("mteb task", name, known)) from None
    if isinstance(task, AbsTaskAggregate):
        return task
    if not isinstance(task, AbsTaskRetrieval) or set(task.metadata.modalities) != {"text"}:
        kind = f"{task.metadata.type} on {', '.join(task.metadata.modalities)}"
        msg = f"mteb:{name} is not a text retrieval task but {kind}; clear-bench evaluates retrieval and reranking"
        raise UsageError(msg)
    if task.skip_first_result:
        msg = f"mteb:{name} leaves out the first hit of every query, which clear-bench does not do; run it with mteb"
        raise UsageError(msg)
    return task


def _describe(metadata: TaskMetadata, split: str, subsets: Mapping[str, LanguagePair], suffixes: Sequence[str]) -> Task:
    pairs = tuple(subsets.values())
    languages = tuple(dict.fromkeys(code for pair in pairs for code in (pair.query, pair.passage)))
    main = metric_of(metadata.main_score)
    if main is None:
        log.warning("mteb:%s is ranked by %s, which is not computed here", metadata.name, metadata.main_score)
    prompt = metadata.prompt
    return Task(
        name=our_name(metadata.name, suffixes),
        title=f"{metadata.name} (mteb)",
        reader=READER,
        languages=languages,
        pairs=pairs,
        metrics=tuple(dict.fromkeys([main or METRICS[0], *METRICS])),
        main_metric=main or METRICS[0],
        licence=str(metadata.license or "unknown"),
        folder=Path(),
        source={"mteb": metadata.name, "revision": metadata.revision, "split": split} | _only(subsets),
        codes={language: language for language in languages},
        expected=_counts_of(metadata, split, subsets),
        options={"subsets": {str(pair): subset for subset, pair in subsets.items()}},
        cluster="passage",
        instruction=prompt.get("query") if isinstance(prompt, dict) else prompt,
        description=metadata.description,
        citation=metadata.bibtex_citation or "",
    )


def _counts_of(metadata: TaskMetadata, split: str, subsets: Mapping[str, LanguagePair]) -> dict[str, Counts]:
    """Return mteb's counts of texts. They include queries without judgements, which a run leaves out."""
    statistics: Any = (metadata.descriptive_stats or {}).get(split) or {}  # Any: JSON of mteb's
    by_subset = statistics.get("hf_subset_descriptive_stats") or {"default": statistics}
    found: dict[str, dict[str, int]] = {}
    for subset, pair in subsets.items():
        own = by_subset.get(subset) or {}
        for language, field, counted in (
            (pair.query, "queries", own.get("queries_text_statistics")),
            (pair.passage, "passages", own.get("documents_text_statistics")),
        ):
            if counted and counted["average_text_length"]:
                count = round(counted["total_text_length"] / counted["average_text_length"])
                known = found.setdefault(language, {})
                known[field] = max(count, known.get(field, 0))  # where subsets differ, of the largest one
    return {language: Counts(**counts) for language, counts in found.items()}


def _only(subsets: Mapping[str, LanguagePair]) -> dict[str, str]:
    return {"subset": next(iter(subsets))} if len(subsets) == 1 else {}


def _load(name: str, split: str, subsets: Sequence[str]) -> AbsTaskRetrieval:
    import mteb
    from huggingface_hub import errors

    chosen = None if list(subsets) == ["default"] else list(subsets)
    task = mteb.get_task(name, eval_splits=[split], hf_subsets=chosen)
    try:
        task.load_data()
    except (OSError, vars(errors)["HTTPError"]) as error:  # the latter is of the library that the hub's client uses
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        msg = (
            f"the data of {PREFIX}{name} cannot be loaded: {reason}; load them once where the hub is reachable, and "
            "bring HF_HOME along"
        )
        raise EnvironmentFault(msg) from error
    task.convert_v1_dataset_format_to_v2(num_proc=None)
    return task


@contextmanager
def _offline(wanted: bool) -> Iterator[None]:
    """Keep the hub's libraries off the network; they have already read the environment."""
    import datasets
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    try:
        if wanted:
            constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
        yield
    finally:
        constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before


def _has_own_texts(task: Task) -> bool:
    """Whether the texts of a language differ between subsets."""
    name = task.source["mteb"]
    return len(task.pairs) > 1 and name in REVIEWS and REVIEWS[name].texts != "shared"


def _require_one(sets: Mapping[LanguagePair, Texts], what: str, named: Mapping[LanguagePair, str]) -> None:
    known: dict[str, Texts] = {}
    for pair, texts in sets.items():
        if known.setdefault(texts.language, texts).digest != texts.digest:
            msg = (
                f"the {what} of {named[pair]} differ from those of another subset in {texts.language}; choose its "
                "pairs one by one with --pairs, and correct the task's row in mteb_bridge/directions.py"
            )
            raise InputError(msg)


def _qrels(relevant: Mapping[str, Mapping[str, int]], queries: Texts, passages: Texts) -> Qrels:
    asked = set(queries.ids.to_pylist())
    qrels = _as_qrels({query: judged for query, judged in relevant.items() if query in asked})
    positions = find_rows(qrels.passage_ids, passages.ids)
    if (positions < 0).any():
        row = int(np.argmin(positions))
        query, passage = qrels.query_ids[row].as_py(), qrels.passage_ids[row].as_py()
        msg = f"query {query!r} is judged with the passage {passage!r}, which the corpus of {passages.language} lacks"
        raise DataError(msg)
    return qrels


def _as_qrels(grades: Mapping[str, Mapping[str, int]]) -> Qrels:
    rows = [(query, passage, int(grade)) for query, judged in grades.items() for passage, grade in judged.items()]
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    return make_qrels(*columns)


def _clusters(queries: Texts, qrels: Mapping[LanguagePair, Qrels]) -> list[str]:
    """Return the cluster of each query: its language and best relevant passage, by grade and then by smallest id."""
    best: dict[str, tuple[int, str]] = {}
    for judged in (one for pair, one in qrels.items() if pair.query == queries.language):
        here: dict[str, tuple[int, str]] = {}
        for query, passage, grade in zip(
            judged.query_ids.to_pylist(), judged.passage_ids.to_pylist(), judged.grades.tolist(), strict=True
        ):
            if grade > 0:
                here[query] = min((-grade, passage), here.get(query, (0, "")))
        best = here | best  # a query that an earlier pair has stays where it is
    return [f"{queries.language}/{best[key][1] if key in best else f'query {key}'}" for key in queries.ids.to_pylist()]
