"""The stages put together, for notebooks and for the command line: evaluate, compare, gate and report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from clear_bench.api.comparing import Comparisons, compare
from clear_bench.api.evaluation import Evaluation, Output, evaluate_plans
from clear_bench.api.gating import GateOutcome, gate
from clear_bench.api.plan import Plan, make_plans
from clear_bench.api.reporting import Report, report
from clear_bench.api.retrievers.open import open_retriever
from clear_bench.disk import cache_at
from clear_bench.readers import read
from clear_bench.settings import Devices, Engine, ModelSettings, Precision, SearchSettings, StoreDtype, Transform
from clear_bench.tasks import Task, find_task
from clear_bench.types import Collection, Similarity

__all__ = [
    "Comparisons",
    "Evaluation",
    "GateOutcome",
    "Plan",
    "Report",
    "compare",
    "evaluate",
    "gate",
    "load_task",
    "make_plans",
    "report",
]


def evaluate(  # noqa: PLR0913  a notebook names every option of the command
    model: object,
    tasks: str | Task | Sequence[str | Task] | Sequence[Plan],
    *,
    pairs: str | Sequence[str] = (),
    metrics: Sequence[str] = (),
    limit: int | None = None,
    run_depth: int | None = None,
    out: Path | str | None = None,
    force: bool = False,
    cache_dir: Path | str | None = None,
    command: Sequence[str] = (),
    name: str | None = None,
    vectors: Path | None = None,
    query_prompt: str | None = None,
    passage_prompt: str | None = None,
    similarity: Similarity | None = None,
    max_seq_length: int | None = None,
    truncate_dim: int | None = None,
    precision: Precision = "fp32",
    device: str | None = None,
    batch_tokens: int | None = None,
    allow_pickle: bool = False,
    trust_remote_code: bool = False,
    offline: bool = False,
    index: str = "auto",
    store_dtype: StoreDtype = "float32",
    transform: Transform | None = None,
    transform_from: str | None = None,
    devices: Devices | None = None,
    engine: Engine = "local",
    ray_address: str | None = None,
    ray_workers: int | None = None,
) -> Evaluation:
    """Evaluate a model on the language pairs of tasks.

    Args:
        model: A checkpoint folder, a hub id (`id@revision`), `embedded:NAME`, `bm25`, or any object whose `encode`
            takes a list of strings and returns vectors [n, d].
        tasks: Names, card paths or `Task` values.
        pairs: Patterns such as `de:en`, `*:en` or `direct`; all pairs of a task unless given.
        metrics: Metrics in place of the cards' own.
        limit: Queries of each language, the first by id; the result is marked partial.
        run_depth: Ranks stored of each run; the card's unless given.
        out: Folder below which results are saved; identical ones are read instead of measured again.
        force: Replace another result that stands in this one's place.
        cache_dir: Where data sets, built models and embeddings are kept.
        command: The command line that the manifest tells.
        name: What a model in memory is called.
        vectors: Folder of precomputed vectors in place of encoding.
        query_prompt: Text put before each query; may hold `{instruction}`.
        passage_prompt: Text put before each passage.
        similarity: What vectors are compared by; what the checkpoint says unless given.
        max_seq_length: Tokens after which a text is cut.
        truncate_dim: Dimensions kept of each vector.
        precision: Of the weights.
        device: `cpu`, `cuda`, `cuda:1`, `mps`; the best there is unless given.
        batch_tokens: Tokens in one encoding batch.
        allow_pickle: Load pickled weights, which can run any code.
        trust_remote_code: Run code that comes with a checkpoint.
        offline: Never touch the network.
        index: `auto`, `faiss`, `torch`, `int8[:N]`, `binary[:N]` or `faiss:FACTORY`.
        store_dtype: Of the stored vectors.
        transform: `center`, `center+whiten`, `shift` or `lir`: maps the vectors so that they know less of language.
        transform_from: Task whose texts the map is estimated on; the texts that are evaluated unless given.
        devices: Several devices, with an encoding process on each.
        engine: `local`, or `ray` for a cluster.
        ray_address: Of a running cluster.
        ray_workers: How many; one a GPU, else one a node, unless given.

    `ModelSettings` and `SearchSettings` say more of the fields that they name.

    Values are 0-1 and unrounded. With `devices`, worker processes encode, and a script calls this below
    `if __name__ == "__main__":`, as they import it. Raises the errors of `clear_bench.errors`: `UsageError` for unknown
    names, `InputError` for collections, checkpoints or vectors that would give a wrong number.
    """
    model_settings = ModelSettings(
        query_prompt=query_prompt,
        passage_prompt=passage_prompt,
        similarity=similarity,
        max_seq_length=max_seq_length,
        truncate_dim=truncate_dim,
        precision=precision,
        device=device,
        batch_tokens=batch_tokens,
        allow_pickle=allow_pickle,
        trust_remote_code=trust_remote_code,
        offline=offline,
    )
    search_settings = SearchSettings(
        index=index,
        store_dtype=store_dtype,
        transform=transform,
        transform_from=transform_from,
        devices=devices,
        engine=engine,
        ray_address=ray_address,
        ray_workers=ray_workers,
    )
    with cache_at(cache_dir):
        wanted = [tasks] if isinstance(tasks, str | Task) else list(tasks)
        plans = [one for one in wanted if isinstance(one, Plan)] or make_plans(
            [one for one in wanted if not isinstance(one, Plan)],
            [pairs] if isinstance(pairs, str) else pairs,
            metric_names=metrics,
            limit=limit,
            run_depth=run_depth,
            offline=offline,
        )
        retriever = open_retriever(model, model_settings, search_settings, name=name, vectors=vectors)
        return evaluate_plans(retriever, plans, Output(Path(out) if out else None, force, tuple(command)))


def load_task(name: str, pairs: str | Sequence[str] = (), *, cache_dir: Path | str | None = None) -> Collection:
    """Load the texts and judgements of a task by name or card path, all of it or only what some pairs need.

    Args:
        name: The name of a task, or the path of its card.
        pairs: Patterns such as `de:en`, `*:en` or `direct`; all texts of the task unless given.
        cache_dir: Where downloaded and converted data sets are kept.

    >>> collection = load_task("mini", "de:en")
    >>> len(collection.queries["deu-Latn"]), len(collection.corpora["eng-Latn"])
    (72, 36)
    """
    from clear_bench.tasks import select_pairs

    task = find_task(name)
    with cache_at(cache_dir):
        return read(task, select_pairs(task, pairs) if pairs else None)
