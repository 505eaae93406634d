"""Import mteb's result files: means to compare against, without per-query scores."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from clear_bench.disk import is_plain_name, sha256_file
from clear_bench.errors import InputError, UsageError
from clear_bench.mteb_bridge.directions import language_pair
from clear_bench.mteb_bridge.naming import task_name
from clear_bench.mteb_bridge.results_file import Subset, TaskFile, read_json, read_task_file
from clear_bench.mteb_bridge.tasks_in import METRICS, our_name, unique_pairs
from clear_bench.store.results import MANIFEST, SCORES, check_task_name, read_manifest, save_result
from clear_bench.tasks import find_task, task_names
from clear_bench.types import Checkpoint, LanguagePair, Manifest, ResultKind
from clear_bench.types.manifest import CountsPart, DigestsPart, ImportedPart, ModelPart, TaskPart

PASSAGE_FIRST = "Clear"
"""Tasks that we exported ourselves; see `naming.task_name`."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """A result file of mteb and the model it is about."""

    path: Path
    model: str
    revision: str


@dataclass(frozen=True, slots=True)
class Means:
    """A matrix of means before it is saved."""

    source: Source
    file: TaskFile
    task: str
    """Our name."""
    subsets: Mapping[LanguagePair, Subset]

    @property
    def checkpoint(self) -> Checkpoint:
        """The model. Its weights are unknown, so its name and revision give the fingerprint."""
        digest = hashlib.sha256(f"mteb {self.source.model} {self.source.revision}".encode()).hexdigest()
        return Checkpoint(self.source.model, None, digest, "", prompts={})

    @property
    def identity(self) -> str:
        """Digest of the content: the bytes of the file and the name of the result."""
        return hashlib.sha256(f"{sha256_file(self.source.path)} {self.task}".encode()).hexdigest()

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that every subset has."""
        first, *others = self.subsets.values()
        return tuple(name for name in first.scores if all(name in other.scores for other in others))


def find_sources(path: Path, model: str | None = None) -> Iterator[Source]:
    """Yield the result files at a path: one file, or all below a folder in the layout of mteb's cache.

    The model's name comes from `model`, else from model_meta.json beside the file, else from the folders.
    """
    files = [path] if path.is_file() else sorted(path.rglob("*.json"))
    files = [file for file in files if file.name != "model_meta.json"]
    if not files:
        msg = f"{path}: no result file of mteb there; give a Task.json or a folder results/<org>__<model>/<revision>"
        raise InputError(msg)
    for file in files:
        meta = read_json(file.with_name("model_meta.json")) if file.with_name("model_meta.json").is_file() else {}
        folder = file.absolute().parent.parent.name
        name = model or meta.get("name") or (folder.replace("__", "/") if "__" in folder else None)
        if not isinstance(name, str) or not name.strip():
            msg = f"{file}: nothing says which model this is; give --model"
            raise InputError(msg)
        yield Source(file, name, str(meta.get("revision") or file.absolute().parent.name))


def read_means(source: Source, task: str | None = None) -> list[Means]:
    """Read a result file of mteb: one matrix for each of its splits.

    A subset that shares its language pair with another gets its own matrix. `task` names the result; give it where the
    data are those of one of our tasks. Raise `InputError` for a file that is not a result.
    """
    if task is not None:
        check_task_name(task)
    file = read_task_file(source.path)
    found = []
    for split, subsets in file.splits.items():
        pairs = {subset.name: _pair(file, subset) for subset in subsets}
        for group, members in unique_pairs(pairs).items():
            chosen = {members[subset.name]: subset for subset in subsets if subset.name in members}
            called = task or _card(file.task) or our_name(file.task, [group, split if len(file.splits) > 1 else ""])
            if task is None and not is_plain_name(called):
                msg = f"{file.path}: the task name {file.task!r:.80} cannot name a result; give --task"
                raise InputError(msg)
            found.append(Means(source, file, called, chosen))
    return found


def save_means(found: Sequence[Means], out: Path, force: bool = False) -> Iterator[Path]:
    """Save matrices as results of the kind `imported-means`, and yield their folders. An identical result stays.

    Raise `UsageError`, and save nothing, where two of them belong in one folder.
    """
    places: dict[Path, Means] = {}
    for one in found:
        other = places.setdefault(out / one.checkpoint.slug / one.task, one)
        if other is not one:
            msg = (
                f"{other.source.path} and {one.source.path} both hold results of {one.checkpoint.name} to be called "
                f"{one.task!r}, of another split, subset or file; leave --task out, or import the right one alone"
            )
            raise UsageError(msg)
    written = {folder: _writer(one) for folder, one in places.items()}
    for folder, write in written.items():
        if force or not (folder / MANIFEST).is_file() or read_manifest(folder).identity != places[folder].identity:
            save_result(folder, write, force=force)
        yield folder


def _writer(means: Means) -> Callable[[Path], Manifest]:
    """Return the function that writes a matrix, after all checks."""
    metrics, subsets = means.metrics, means.subsets
    if not metrics:
        msg = f"{means.source.path}: none of its scores is a retrieval metric (ndcg_at_10, recall_at_100, ...)"
        raise InputError(msg)
    if dropped := {name for subset in subsets.values() for name in subset.scores} - {*metrics}:
        log.warning("%s: not every subset has %s: left out", means.source.path, ", ".join(sorted(dropped)))
    columns = {
        "query_language": [pair.query for pair in subsets],
        "passage_language": [pair.passage for pair in subsets],
        "query_id": ["mean"] * len(subsets),
        "cluster_id": ["mean"] * len(subsets),
    }
    values = {name: [subset.scores[name] for subset in subsets.values()] for name in metrics}
    main = _main_metric(means)

    def write(temporary: Path) -> Manifest:
        pq.write_table(pa.table(columns | values), temporary / SCORES, compression="zstd", store_schema=False)
        return _manifest(means, main)

    return write


def _manifest(means: Means, main: str) -> Manifest:
    source, file, checkpoint = means.source, means.file, means.checkpoint
    model = ModelPart(
        name=checkpoint.name,
        slug=checkpoint.slug,
        revision=source.revision,
        fingerprint=checkpoint.fingerprint,
        weights_digest="",
        prompts={},
    )
    task = TaskPart(
        name=means.task,
        title=f"{file.task} (imported)",
        main_metric=main,
        metrics=means.metrics,
        licence="unknown",
        source={"mteb": file.task, "revision": file.revision},
    )
    return Manifest(
        identity=means.identity,
        kind=ResultKind.IMPORTED_MEANS,
        model=model.without("similarity", "max_seq_length", "precision", "truncate_dim"),
        task=task.without("instruction", "overlaps", "card", "brought"),
        pairs=tuple(map(str, means.subsets)),
        partial=False,
        limit=None,
        digests=DigestsPart(further={"queries": {}, "corpora": {}, "qrels": {}}).without("question"),
        counts=CountsPart(pairs=len(means.subsets), layout=("pairs",)),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        versions={"mteb": file.mteb_version} if file.mteb_version else {},
        imported=ImportedPart(file=source.path.name, sha256=sha256_file(source.path)),
    )


def _pair(file: TaskFile, subset: Subset) -> LanguagePair:
    if card := _card(file.task):
        query, pool = subset.languages[-1], subset.name.rpartition("-")[0]
        if len(subset.languages) > 1 or pool in find_task(card).pools:
            return LanguagePair(query, subset.languages[0] if len(subset.languages) > 1 else pool)
        msg = f"{file.path}: the subset {subset.name!r:.80} does not name a pool of {card}"
        raise InputError(msg)
    return language_pair(file.task, subset.name, subset.languages)


def _card(name: str) -> str | None:
    """Return the name of our card that has this name in mteb; None without one."""
    if not name.startswith(PASSAGE_FIRST):
        return None
    return next((card for card in task_names() if task_name(card) == name), None)


def _main_metric(means: Means) -> str:
    """Return the metric of the main score. The file has its value, not its name."""
    known = [name for name in (*METRICS, *means.metrics) if name in means.metrics]
    equal = [name for name in known if all(one.scores[name] == one.main_score for one in means.subsets.values())]
    if not equal:
        msg = "%s: its main score is none of the metrics that are read; %s stands in front"
        log.warning(msg, means.source.path, known[0])
    return [*equal, *known][0]
