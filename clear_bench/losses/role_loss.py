"""The base class of all losses: finds the columns of each role, embeds them, and computes the loss, cached or not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, TypedDict

import torch
from sentence_transformers.base.losses.gradcache import (
    CachedLossMixin,
    _create_minibatch,
    _get_batch_size,
    has_static_embedding_input,
)
from sentence_transformers.base.losses.merged_forward import embed_columns
from sentence_transformers.sentence_transformer.losses.matryoshka import ForwardDecorator
from torch import Tensor, nn

from clear_bench.errors import UsageError
from clear_bench.losses.by_length import Features, chunks_of, in_columns, sort_by_length
from clear_bench.losses.objectives import QUERY_SIDE, REPEATED, Role

Key = Role | tuple[Role, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """The embeddings of a batch, laid out for the loss; chunks of its rows are computed one by one."""

    tensors: Mapping[Key, Tensor]
    """Vectors that carry gradients: one row per anchor, or all candidates, block-major (see `core.block_major`)."""
    rows: int
    targets: Tensor | None = None
    """Column of each row's true candidate, [rows]; or the vectors to match, [rows, d]."""
    block: int = 0
    """Candidates per block: the rows of all processes together."""
    marked: Mapping[Key, Tensor] | None = None
    """False negatives to leave out, [rows, candidates], by candidate roles."""


def count_columns(roles: Sequence[Role], total: int, given: Mapping[Role, int | None]) -> dict[Role, int]:
    """Return the number of columns of each role.

    Raises `UsageError` where `total` columns cannot be split: another split would train the wrong roles.

    >>> count_columns(("anchor", "positive", "negative"), 5, {})
    {'anchor': 1, 'positive': 1, 'negative': 3}
    """
    single = [role for role in roles if role not in REPEATED]
    repeated = [role for role in roles if role in REPEATED]
    extra = total - len(single)
    known = {role: n for role in repeated if (n := given.get(role)) is not None}
    open_roles = [role for role in repeated if role not in known]
    rest = extra - sum(known.values())
    if rest < 0 or (rest and not open_roles) or (open_roles and rest % len(open_roles)):
        wanted = " + ".join([*single, *(f"{known[r]} {r}" if r in known else f"n {r}" for r in repeated)])
        msg = f"the loss got {total} columns, but takes {wanted}; name the counts by n_negatives and n_query_negatives"
        raise UsageError(msg)
    counts = {role: known.get(role, rest // max(len(open_roles), 1)) for role in repeated}
    return {role: counts.get(role, 1) for role in roles}


class ColumnSettings(TypedDict, total=False):
    """Settings that every loss takes."""

    n_negatives: int | None
    """Columns of hard negatives; None: what the batch has, where only one role repeats or all have as many."""
    n_query_negatives: int | None
    """Columns of query negatives, likewise."""
    log_components: bool
    """Return the weighted components by name, which the trainer adds up and logs."""
    forward_rows: int | None
    """Texts of one forward pass, sorted by length so that little padding is computed; None: one pass per side."""


class RoleLoss(nn.Module, ABC):
    """A loss whose columns come in the order of its roles; see `clear_bench.losses.objectives.ROLES`."""

    roles: tuple[Role, ...]

    def __init__(
        self,
        model: nn.Module,
        *,
        n_negatives: int | None = None,
        n_query_negatives: int | None = None,
        log_components: bool = False,
        forward_rows: int | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.n_negatives = n_negatives
        self.n_query_negatives = n_query_negatives
        self.log_components = log_components
        self.forward_rows = forward_rows

    @abstractmethod
    def prepare(self, columns: Mapping[Role, Tensor], labels: Tensor | None) -> Batch:
        """Return the embeddings of each role, [rows, count, d], laid out for the loss."""

    @abstractmethod
    def parts(self, batch: Batch, rows: slice) -> dict[str, Tensor]:
        """Return the weighted components of the loss for some rows; each is a mean over these rows."""

    def forward(
        self, sentence_features: Iterable[Features], labels: Tensor | None = None
    ) -> Tensor | dict[str, Tensor]:
        """Embed the columns and return the loss, or its components by name with `log_components`."""
        parts = self._whole(self.embed(list(sentence_features)), labels)
        return self.answer(_total(parts), parts)

    def embed(self, features: Sequence[Features]) -> Sequence[Tensor]:
        """Return the embeddings of all columns, from one forward pass per side or several of `forward_rows` texts."""
        sides = self.sides(len(features))
        if self.forward_rows is None or not all("attention_mask" in column for column in features):
            embedded = [embed_columns(self.model, [features[i] for i in side], separate_first=False) for side in sides]
            order: dict[int, Tensor] = {}
            for side, vectors in zip(sides, embedded, strict=True):
                order |= dict(zip(side, vectors, strict=True))
            return [order[i] for i in range(len(features))]
        groups, places = sort_by_length(features, sides)
        forwards = [
            self.model(_create_minibatch(group, rows.start, rows.stop))["sentence_embedding"]
            for group in groups
            for rows in chunks_of(_get_batch_size(group), self.forward_rows)
        ]
        return in_columns(torch.cat(forwards), places)

    def compute_loss_from_embeddings(self, embeddings: Sequence[Tensor], labels: Tensor | None = None) -> Tensor:
        """Return the loss of embeddings [rows, d], one per column, in the order of the roles."""
        return _total(self._whole(embeddings, labels))

    def counts(self, total: int) -> dict[Role, int]:
        """Return the number of columns of each role, `total` in all."""
        given: dict[Role, int | None] = {"negative": self.n_negatives, "neg_query": self.n_query_negatives}
        return count_columns(self.roles, total, given)

    def sides(self, total: int) -> list[list[int]]:
        """Return the column numbers of the queries and those of the passages, which are longer."""
        columns = [role for role, count in self.counts(total).items() for _ in range(count)]
        queries = [i for i, role in enumerate(columns) if role in QUERY_SIDE]
        passages = [i for i, role in enumerate(columns) if role not in QUERY_SIDE]
        return [side for side in (queries, passages) if side]

    def answer(self, loss: Tensor, parts: Mapping[str, Tensor]) -> Tensor | dict[str, Tensor]:
        """Return the loss, or its components: the trainer adds them up, and only the last carries the gradient."""
        if not self.log_components or self._is_wrapped():
            return loss
        *others, last = parts
        named = {f"loss_{name}": parts[name].detach() for name in others}
        return {**named, f"loss_{last}": loss - sum(named.values(), torch.zeros_like(loss))}

    def _is_wrapped(self) -> bool:
        """Return whether MatryoshkaLoss wraps this loss: it multiplies the result, which must then be a scalar."""
        return isinstance(self.model.forward, ForwardDecorator) or "calculate_loss" in vars(self)

    def _by_role(self, embeddings: Sequence[Tensor]) -> dict[Role, Tensor]:
        counts = self.counts(len(embeddings))
        split = torch.split(torch.stack(list(embeddings), dim=1), list(counts.values()), dim=1)
        return {role: block for role, block in zip(counts, split, strict=True) if block.shape[1]}

    def _whole(self, embeddings: Sequence[Tensor], labels: Tensor | None) -> dict[str, Tensor]:
        with without_autocast(embeddings[0]):
            batch = self.prepare(self._by_role(embeddings), labels)
            return self.parts(batch, slice(0, batch.rows))


class CacheSettings(TypedDict, total=False):
    """Settings that every cached loss takes."""

    mini_batch_size: int
    """Texts of one forward pass, and rows of one chunk of the loss."""
    mini_batch_num_tokens: int | None
    """Tokens of one forward pass instead."""
    show_progress_bar: bool
    authors_gradient_scale: bool
    """Add up the means of the chunks, as the paper's released code does, instead of weighting them by their rows."""


class CachedRoleLoss(CachedLossMixin, RoleLoss):  # type: ignore[misc]  # sentence-transformers ships no types
    """A loss for batches of any size in the memory of one mini-batch, with the same gradient.

    Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup" (GradCache).
    """

    def __init__(
        self,
        *args: Any,  # Any: these and `of_loss` are those of the loss that is cached
        mini_batch_size: int = 32,
        mini_batch_num_tokens: int | None = None,
        show_progress_bar: bool = False,
        authors_gradient_scale: bool = False,
        **of_loss: Any,
    ) -> None:
        super().__init__(*args, **of_loss)
        if mini_batch_size < 1 or (mini_batch_num_tokens is not None and mini_batch_num_tokens < 1):
            msg = f"mini_batch_size {mini_batch_size}, mini_batch_num_tokens {mini_batch_num_tokens}: must be positive"
            raise UsageError(msg)
        if has_static_embedding_input(self.model):
            msg = "a model of static embeddings cannot be cut into mini-batches; train it with the uncached loss"
            raise UsageError(msg)
        self.mini_batch_size = mini_batch_size
        self.mini_batch_num_tokens = mini_batch_num_tokens
        self.show_progress_bar = show_progress_bar
        self.authors_gradient_scale = authors_gradient_scale
        self._places: Tensor | None = None
        self._parts: dict[str, Tensor] = {}

    def forward(
        self, sentence_features: Iterable[Features], labels: Tensor | None = None
    ) -> Tensor | dict[str, Tensor]:
        """Return the loss; texts are embedded twice, in mini-batches of similar length."""
        features = list(sentence_features)
        groups, self._places = sort_by_length(features, self.sides(len(features)))
        try:
            loss = CachedLossMixin.forward_cached(self, groups, labels)
        finally:
            self._places = None
        return self.answer(loss, self._parts)

    def calculate_loss(
        self, reps: list[list[Tensor]], labels: Tensor | None = None, *, with_backward: bool = False
    ) -> Tensor:
        """Return the loss of the whole batch, computed chunk by chunk; `with_backward` fills the gradients of `reps`.

        Chunks are weighted by their rows. With `authors_gradient_scale` the gradient grows with the number of chunks.
        """
        with without_autocast(reps[0][0]):
            batch = self.prepare(self._by_role(self._columns(reps)), labels)
            leaves = {key: t.detach().requires_grad_(t.requires_grad) for key, t in batch.tensors.items()}
            cut = replace(batch, tensors=leaves) if with_backward else batch
            sums: dict[str, Tensor] = {}
            chunks = chunks_of(batch.rows, self.mini_batch_size)
            for rows in chunks:
                share = 1 / len(chunks) if self.authors_gradient_scale else (rows.stop - rows.start) / batch.rows
                parts = self.parts(cut, rows)
                if with_backward:
                    torch.autograd.backward(_total(parts) * (1.0 if self.authors_gradient_scale else share))
                    parts = {name: part.detach() for name, part in parts.items()}
                sums = {name: sums.get(name, 0.0) + share * part for name, part in parts.items()}
            if with_backward:
                _send_back(batch.tensors, leaves)
        self._parts = sums
        return _total(sums)

    def _columns(self, reps: list[list[Tensor]]) -> Sequence[Tensor]:
        """Return the embeddings by column; `reps` holds sorted groups of columns, or one list per column."""
        if self._places is None:
            return [torch.cat(mini_batches) for mini_batches in reps]
        return in_columns(torch.cat([mini_batch for group in reps for mini_batch in group]), self._places)


def without_autocast(like: Tensor) -> AbstractContextManager[None]:
    """Return a context without autocast on a tensor's device; the cached loss runs its backward pass inside, too."""
    return torch.autocast(device_type=like.device.type, enabled=False)


def _send_back(tensors: Mapping[Key, Tensor], leaves: Mapping[Key, Tensor]) -> None:
    """Pass the summed gradients of the chunks to the embeddings, in one backward pass: processes gather once."""
    keys = [key for key, tensor in tensors.items() if tensor.requires_grad]
    gradients = [grad if (grad := leaves[key].grad) is not None else torch.zeros_like(leaves[key]) for key in keys]
    torch.autograd.backward([tensors[key] for key in keys], gradients)


def _total(parts: Mapping[str, Tensor]) -> Tensor:
    return torch.stack(list(parts.values())).sum()
