"""Dense retrieval over stored vectors that a linear map has changed: the baseline that training has to beat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

from numpy.typing import NDArray

from clear_bench.api.plan import Plan, make_plan
from clear_bench.api.retrievers.dense import SIDES, DenseRetriever, ReadyVectors
from clear_bench.api.space import groups
from clear_bench.documents import digest_of
from clear_bench.encode import Encoding
from clear_bench.errors import UsageError
from clear_bench.geometry.transforms import Map, MappedRows, center, leading, shift, whitening
from clear_bench.settings import Transform
from clear_bench.tasks import find_task, select_pairs
from clear_bench.types import ENGLISH, Checkpoint, Embeddings, ResultKind, Side

PARALLEL = 10_000
"""Translations of a language that `shift` looks at, at most."""

Maps = Mapping[Side, Mapping[str, Map]]


@dataclass(frozen=True, slots=True)
class TransformedRetriever:
    """Finds passages by vectors that are mapped language by language, each side by maps of its own."""

    dense: DenseRetriever
    transform: Transform
    source: Plan | None = None
    """The texts that the maps are estimated on; None: those of the task, side by side."""
    source_name: str = ""

    @property
    def kind(self) -> ResultKind:
        """How the results come about."""
        return self.dense.kind

    @property
    def checkpoint(self) -> Checkpoint:
        """The model under a name and a fingerprint of its own: another space is another model."""
        base = self.dense.checkpoint
        told = {"vectors": base.fingerprint, "transform": self.transform, "texts": self._texts}
        return replace(base, name=f"{base.name}+{self.transform}", fingerprint=digest_of(told))

    @property
    def settings(self) -> dict[str, str]:
        """Those of the vectors, and the transform."""
        source = {"transform_from": self.source_name, "transform_texts": self._texts} if self.source else {}
        told = {"transform": self.transform, "transform_of": self.dense.checkpoint.fingerprint}
        return self.dense.settings | told | source

    def prepare(self, plan: Plan) -> ReadyVectors:
        """Encode what the store lacks, estimate the maps, and put them before the vectors."""
        if self.source is None:
            self._require_all_languages(plan)
        source = self.dense.prepare(self.source or plan)
        maps = estimate(self.transform, source, is_unit=self.dense.checkpoint.similarity == "cosine")
        self._require_maps(plan, maps)
        ready = source if self.source is None else self.dense.prepare(plan)
        return replace(
            ready,
            queries=_mapped(ready.queries, maps["query"]),
            passages=_mapped(ready.passages, maps["passage"]),
        )

    @property
    def _texts(self) -> str:
        if self.source is None:
            return ""
        sets = {"query": self.source.query_texts, "passage": self.source.passage_texts}
        return digest_of({side: {code: one.digest for code, one in texts.items()} for side, texts in sets.items()})

    def _require_maps(self, plan: Plan, maps: Maps) -> None:
        """Refuse languages that the maps say nothing about."""
        lacking = {*plan.query_texts} - {*maps["query"]} | {*plan.passage_texts} - {*maps["passage"]}
        if lacking:
            what = "texts that are translations of English ones" if self.transform == "shift" else "texts"
            where = self.source_name or plan.task.name
            msg = (
                f"--transform {self.transform}: {where} has no {what} in {', '.join(sorted(lacking))}; "
                f"name a task that has with --transform-from, or leave these languages out with --pairs"
            )
            raise UsageError(msg)

    def _require_all_languages(self, plan: Plan) -> None:
        """Refuse a part of a task where the maps look at several languages: another part would give other maps."""
        if self.transform in ("center", "lir"):
            return
        whole = {pair for pair in select_pairs(plan.task, ["all"]) if not pair.is_pool}
        lacking = {pair.query for pair in whole} - set(plan.query_texts)
        lacking |= {pair.passage for pair in whole} - set(plan.passage_texts)
        if lacking or plan.limit is not None:
            what = f"lacks {', '.join(sorted(lacking))}" if lacking else "is cut by --limit"
            msg = (
                f"--transform {self.transform} looks at all languages of a task, and this run of {plan.task.name} "
                f"{what}: run all of it, or name other texts with --transform-from"
            )
            raise UsageError(msg)


def transformed(
    dense: DenseRetriever, transform: Transform, source: str | None, *, offline: bool
) -> TransformedRetriever:
    """Put a transform before a retriever's vectors; `source` names a task whose texts the maps are estimated on."""
    if source is None:
        return TransformedRetriever(dense, transform)
    task = find_task(source)
    plan = make_plan(task, [pair for pair in select_pairs(task, ["all"]) if not pair.is_pool], offline=offline)
    return TransformedRetriever(dense, transform, plan, task.name)


def estimate(transform: Transform, source: ReadyVectors, *, is_unit: bool) -> Maps:
    """Estimate the map of every language on either side."""
    sides: dict[Side, Mapping[str, Encoding]] = {"query": source.queries, "passage": source.passages}
    found: dict[Side, dict[str, Map]] = {}
    for side in SIDES:
        embeddings = {code: one.embeddings for code, one in sides[side].items()}
        if transform == "shift":
            found[side] = _shifts(source.plan, embeddings, side)
        else:
            fit = leading if transform == "lir" else center
            found[side] = {code: fit(one.stream) for code, one in embeddings.items()}
    matrix = None
    if transform == "center+whiten":
        matrix = whitening([one.embeddings.stream for one in source.passages.values()])
    finish = partial(replace, matrix=matrix, is_unit=is_unit)
    return {side: {code: finish(one) for code, one in found[side].items()} for side in SIDES}


def _shifts(plan: Plan, embeddings: Mapping[str, Embeddings], side: Side) -> dict[str, Map]:
    found = {ENGLISH: Map()}
    for group in groups(plan.collection, embeddings, side, PARALLEL, 0):
        for language in group.languages if ENGLISH in group.languages else ():
            columns = group.columns(language, ENGLISH)
            if language != ENGLISH and len(columns):
                found[language] = shift(group.raw(language, columns), group.raw(ENGLISH, columns))
    return found


def _mapped(encodings: Mapping[str, Encoding], maps: Mapping[str, Map]) -> dict[str, Encoding]:
    return {code: replace(one, embeddings=_through(maps[code], one.embeddings)) for code, one in encodings.items()}


def _through(one: Map, embeddings: Embeddings) -> Embeddings:
    blocks = tuple(MappedRows(block, one) for block in embeddings.blocks)
    return Embeddings(cast("tuple[NDArray[Any], ...]", blocks))  # they read as arrays do, like coded rows
