"""Our tasks for mteb: objects that `mteb.evaluate` runs, with the same texts, judgements and metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
from datasets import Dataset
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata

from clear_bench import metrics, question, readers
from clear_bench.mteb_bridge.naming import data_revision, task_name
from clear_bench.qrels import judge_all
from clear_bench.rerank import rank_named
from clear_bench.score import hits_needed, mean, score
from clear_bench.store.mteb_json import SPELLINGS, metric_key, subset_languages, subset_names
from clear_bench.tasks import Task
from clear_bench.types import Collection, Judgements, LanguagePair, Run

if TYPE_CHECKING:
    from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData

SPLIT = "test"


class ClearTask(AbsTaskRetrieval):  # type: ignore[misc]  # mteb is not typed for us
    """One of our tasks. Its data are read when it is made, because mteb needs their revision before it loads them."""

    task: ClassVar[Task]
    pairs: ClassVar[tuple[LanguagePair, ...]]
    metadata: TaskMetadata

    def __init__(self, **given: Any) -> None:  # Any: mteb's own
        self.collection = readers.read(self.task, self.pairs)
        names = subset_names(self.pairs)
        self.judgements = {names[judged.pair]: judged for judged in judge_all(self.collection, self.pairs)}
        digests = question.digests(self.collection, self.judgements.values())
        dataset = {**self.metadata.dataset, "revision": data_revision(digests)}
        self.metadata = self.metadata.model_copy(update={"dataset": dataset})
        self.k_values = sorted({*AbsTaskRetrieval.k_values, *_depths(self.task, self.collection, self.pairs)})
        super().__init__(**given)

    def load_data(self, **given: object) -> None:
        """Build mteb's data sets. Subsets share the corpora of their languages."""
        corpora = {side: _corpus(self.collection, side) for side in {pair.passage for pair in self.pairs}}
        self.dataset = {
            name: {SPLIT: _split_data(self.collection, judged, corpora[judged.pair.passage])}
            for name, judged in self.judgements.items()
        }
        self.data_loaded = True

    def task_specific_scores(
        self, scores: object, qrels: object, results: Mapping[str, Mapping[str, float]], hf_split: str, hf_subset: str
    ) -> dict[str, float]:
        """Return the metrics that mteb does not have, such as those that judge by answers."""
        own = [name for name in self.task.metrics if name.partition("@")[0] not in SPELLINGS]
        if not own:
            return {}
        judged = self.judgements[hf_subset]
        values = score(_run(self.collection, judged, results, max(self.k_values)), judged, own, self.collection)
        means = {metric_key(name): mean(row).value for name, row in zip(own, values, strict=True)}
        return {key: value for key, value in means.items() if value is not None}


def as_mteb_task(task: Task, pairs: Sequence[LanguagePair] | None = None) -> ClearTask:
    """Read a task for mteb, all its pairs or some of them.

    mteb's name for it is `naming.task_name`, a pair's subset is passage language first, and the revision follows from
    the texts and judgements: results on other data are never taken for results on these.
    """
    return task_class(task, pairs)()


def task_class(task: Task, pairs: Sequence[LanguagePair] | None = None) -> type[ClearTask]:
    """Return the class of a task. No data are read before it is instantiated."""
    chosen = tuple(pairs or task.pairs)
    content = {"task": task, "pairs": chosen, "metadata": _metadata(task, chosen), "__doc__": task.title}
    return type(task_name(task.name), (ClearTask,), content)


def _metadata(task: Task, pairs: Sequence[LanguagePair]) -> TaskMetadata:
    names = subset_names(pairs)
    # mteb goes through the subsets in this order: by passage side, a searcher opens each corpus once.
    ordered = sorted(pairs, key=lambda pair: pair.passage)
    return TaskMetadata(
        name=task_name(task.name),
        description=task.description or task.title,
        prompt={"query": task.instruction} if task.instruction else None,
        type="Retrieval",
        category="t2t",
        dataset={"path": f"clear-bench/{task.name}", "revision": "not read yet"},
        eval_splits=[SPLIT],
        eval_langs={names[pair]: subset_languages(pair) for pair in ordered},
        main_score=metric_key(task.main_metric),
        bibtex_citation=task.citation,
    )


def _depths(task: Task, collection: Collection, pairs: Sequence[LanguagePair]) -> set[int]:
    """Return the numbers of hits that the card's metrics need."""
    wanted = [metrics.parse(name) for name in task.metrics]
    return {hits_needed([metric], collection, pair.passage) for metric in wanted for pair in pairs}


def _corpus(collection: Collection, side: str) -> Dataset:
    text = pa.chunked_array([chunk for part in collection.parts(side) for chunk in part.text.chunks])
    return Dataset(pa.table({"id": collection.passage_ids(side), "text": text}))


def _split_data(collection: Collection, judged: Judgements, corpus: Dataset) -> RetrievalSplitData:
    texts, rows = collection.queries[judged.pair.query], pa.array(judged.query_rows)
    queries = Dataset(pa.table({"id": texts.ids.take(rows), "text": texts.text.take(rows)}))
    names = collection.passage_ids(judged.pair.passage).take(pa.array(judged.positions)).to_pylist()
    grades, cuts = judged.grades.tolist(), judged.indptr.tolist()
    relevant = {
        key: dict(zip(names[start:end], grades[start:end], strict=True))
        for key, start, end in zip(queries["id"], cuts[:-1], cuts[1:], strict=True)
    }
    # mteb drops a query without qrels, so one that is judged by answers, or whose judged passages are all in other
    # languages, gets one that says nothing.
    nothing = {collection.passage_ids(judged.pair.passage)[0].as_py(): 0}
    relevant = {key: found or nothing for key, found in relevant.items()}
    return {"corpus": corpus, "queries": queries, "relevant_docs": relevant, "top_ranked": None}


def _run(collection: Collection, judged: Judgements, results: Mapping[str, Mapping[str, float]], depth: int) -> Run:
    """Return the results of an mteb model as a run."""
    keys = collection.queries[judged.pair.query].ids.take(pa.array(judged.query_rows)).to_pylist()
    found = [results.get(key, {}) for key in keys]
    return rank_named(judged.pair, judged.query_rows, found, collection.passage_ids(judged.pair.passage), depth)
