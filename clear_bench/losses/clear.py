"""The CLEAR loss and its contrastive baselines, cached and uncached.

Lee et al., "CLEAR: Cross-Lingual Enhancement in Retrieval via Reverse-training", ACL 2026, arXiv 2604.05821.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Unpack

import torch
import torch.nn.functional as F
from sentence_transformers.util import all_gather, all_gather_with_grad, get_rank
from torch import Tensor, nn

from clear_bench.errors import UsageError
from clear_bench.losses.core import block_major, false_negatives, hide, kl_divergence, unit
from clear_bench.losses.objectives import CLEAR, Contrast, Objective, Role
from clear_bench.losses.role_loss import Batch, CachedRoleLoss, ColumnSettings, Key, RoleLoss

KLOver = Literal["all", "common", "in_batch"]

CITATION = """@inproceedings{lee2026clear,
    title = "{CLEAR}: Cross-Lingual Enhancement in Retrieval via Reverse-training",
    author = "Lee and others",
    booktitle = "Proceedings of the 64th Annual Meeting of the Association for Computational Linguistics (Long Papers)",
    year = "2026",
    pages = "347--362",
    eprint = "2604.05821",
    archivePrefix = "arXiv",
}"""


class CLEARLoss(RoleLoss):
    """L = (1 - alpha - beta) CE(q -> D) + alpha CE(d -> X) + beta KL(softmax V || softmax U).

    Columns: q, d, the negatives of d, x, the query negatives. `objective` replaces the two contrasts by those of a
    baseline. With `use_kl=False` the weights are 1 - alpha and alpha, as in the paper's ablation. With `mask_by_id` the
    labels are int64 passage ids, [rows, 1 + negatives], and a row's own passage among its candidates is left out.

    >>> rows, width = 4, 8
    >>> q, d, d1, x, x1 = torch.eye(5 * rows, width).split(rows)  # one column each: [4, 8]
    >>> loss = CLEARLoss(nn.Identity(), alpha=0.4, beta=0.2)
    >>> loss.counts(5)
    {'anchor': 1, 'positive': 1, 'negative': 1, 'cross_anchor': 1, 'neg_query': 1}
    >>> loss.compute_loss_from_embeddings([q, d, d1, x, x1]).shape  # a scalar
    torch.Size([])
    >>> loss.compute_loss_from_embeddings([q, q, d1, q, x1]).item() < 0.01  # the right candidates are found
    True
    """

    def __init__(  # noqa: PLR0913  the options of the method are set where the loss is made
        self,
        model: nn.Module,
        alpha: float = 0.4,
        beta: float = 0.2,
        scale: float = 20.0,
        *,
        objective: Objective = CLEAR,
        use_kl: bool = True,
        kl_over: KLOver = "all",
        gather_across_devices: bool = False,
        mask_by_id: bool = False,
        **columns: Unpack[ColumnSettings],
    ) -> None:
        super().__init__(model, **columns)
        self.alpha = float(alpha)
        self.beta = float(beta) if use_kl else 0.0
        self.scale = float(scale)
        self.objective = objective
        self.roles = objective.roles
        self.kl_over = kl_over
        self.gather_across_devices = gather_across_devices
        self.mask_by_id = mask_by_id
        check_weights(self.alpha, self.beta, self.scale, objective)

    def prepare(self, columns: Mapping[Role, Tensor], labels: Tensor | None) -> Batch:
        """Return unit vectors, gathered over the processes once per side, candidates block-major."""
        units = {role: unit(block) for role, block in columns.items()}
        rows, world = next(iter(units.values())).shape[0], self.gather_across_devices
        targets = torch.arange(rows, device=next(iter(units.values())).device) + (get_rank() * rows if world else 0)
        tensors: dict[Key, Tensor] = {}
        marked: dict[Key, Tensor] = {}
        for contrast in self._contrasts():
            blocks = torch.cat([units[role] for role in contrast.candidates if role in units], dim=1)
            tensors[contrast.anchor] = units[contrast.anchor][:, 0]
            if contrast.candidates not in tensors:
                tensors[contrast.candidates] = block_major(_gather(blocks) if world else blocks)
                if self.mask_by_id:
                    marked[contrast.candidates] = self._mark(labels, blocks.shape[1], targets)
        block = tensors[self.objective.forward.candidates].shape[0] // self._blocks(columns)
        return Batch(tensors, rows, targets, block, marked)

    def parts(self, batch: Batch, rows: slice) -> dict[str, Tensor]:
        """Return the weighted cross-entropies, forward and reverse, and the KL term."""
        assert batch.targets is not None
        targets = batch.targets[rows]
        forward, reverse = self.objective.forward, self.objective.reverse
        u = self._logits(forward, batch, rows)
        parts = {"forward": (1 - self.alpha - self.beta) * F.cross_entropy(u, targets)}
        if reverse is not None:
            v = self._logits(reverse, batch, rows)
            parts["reverse"] = self.alpha * F.cross_entropy(v, targets)
            if self.beta:
                parts["kl"] = self.beta * self._kl(u, v, batch.block)
        return parts

    def get_config_dict(self) -> dict[str, object]:
        """Return the settings that the model card shows."""
        return {
            "alpha": self.alpha,
            "beta": self.beta,
            "scale": self.scale,
            "roles": list(self.roles),
            "kl_over": self.kl_over,
            "gather_across_devices": self.gather_across_devices,
            "mask_by_id": self.mask_by_id,
        }

    @property
    def citation(self) -> str:
        """BibTeX entry of the paper, for the model card."""
        return CITATION

    def _contrasts(self) -> list[Contrast]:
        return [contrast for contrast in (self.objective.forward, self.objective.reverse) if contrast is not None]

    def _blocks(self, columns: Mapping[Role, Tensor]) -> int:
        return sum(columns[role].shape[1] for role in self.objective.forward.candidates if role in columns)

    def _logits(self, contrast: Contrast, batch: Batch, rows: slice) -> Tensor:
        logits = self.scale * (batch.tensors[contrast.anchor][rows] @ batch.tensors[contrast.candidates].T)
        marked = (batch.marked or {}).get(contrast.candidates)
        return hide(logits, None if marked is None else marked[rows])

    def _kl(self, u: Tensor, v: Tensor, block: int) -> Tensor:
        """Return the divergence of the two rankings, candidate by candidate: x^k must be a query of d^k."""
        if self.kl_over == "all" and u.shape[1] != v.shape[1]:
            msg = (
                f"the KL term pairs each negative with a query negative, but there are {u.shape[1] // block - 1} and "
                f"{v.shape[1] // block - 1}; give as many of both, set kl_over to 'common' or 'in_batch', or beta to 0"
            )
            raise UsageError(msg)
        width = block if self.kl_over == "in_batch" else min(u.shape[1], v.shape[1])
        u, v = u[:, :width], v[:, :width]
        floor = torch.finfo(u.dtype).min
        hidden = (u == floor) | (v == floor)
        return kl_divergence(of=hide(v, hidden), to=hide(u, hidden))

    def _mark(self, labels: Tensor | None, blocks: int, targets: Tensor) -> Tensor:
        if labels is None or labels.ndim != 2 or labels.shape[1] < blocks or labels.is_floating_point():
            shape = None if labels is None else tuple(labels.shape)
            msg = f"mask_by_id needs integer passage ids as labels, [rows, {blocks}] or wider; got {shape}"
            raise UsageError(msg)
        ids = labels[:, :blocks].contiguous()
        everyone = all_gather(ids) if self.gather_across_devices else ids
        return false_negatives(labels[:, 0], everyone.T.flatten(), targets)


class CachedCLEARLoss(CachedRoleLoss, CLEARLoss):
    """`CLEARLoss` for batches larger than memory; takes the settings of `CachedRoleLoss` as well.

    A model takes features with `attention_mask`, [rows, tokens], and adds `sentence_embedding`, [rows, d].

    >>> class Model(nn.Sequential):
    ...     def forward(self, features):
    ...         return {**features, "sentence_embedding": self[0](features["input_ids"]).mean(dim=1)}
    >>> model = Model(nn.Embedding(10, 8))
    >>> column = {"input_ids": torch.arange(8).reshape(4, 2), "attention_mask": torch.ones(4, 2)}
    >>> loss = CachedCLEARLoss(model, mini_batch_size=2)([column] * 5)  # q, d, d1, x, x1: four rows each
    >>> loss.backward()
    >>> model[0].weight.grad.shape
    torch.Size([10, 8])
    """


def check_weights(alpha: float, beta: float, scale: float, objective: Objective = CLEAR) -> None:
    """Raise `UsageError` for weights outside [0, 1] or above 1 together, and for weights of a term that is missing."""
    if not (0 <= alpha <= 1 and 0 <= beta <= 1) or alpha + beta > 1 + 1e-9:
        msg = f"alpha = {alpha} and beta = {beta}: both must lie in [0, 1] and add up to 1 at most"
        raise UsageError(msg)
    if not scale > 0:
        msg = f"scale = {scale}: must be positive (the paper uses 20)"
        raise UsageError(msg)
    if objective.reverse is None and (alpha or beta):
        msg = f"alpha = {alpha} and beta = {beta}, but this loss has a forward term only; leave both at 0"
        raise UsageError(msg)


def _gather(blocks: Tensor) -> Tensor:
    """Return the candidates of all processes, with their gradients.

    The gradient of `block_major` is strided. gloo reads it in memory order, which would be wrong while the loss stays
    right, so it is made contiguous first.
    """
    gathered: Tensor = all_gather_with_grad(blocks)
    if gathered.requires_grad:
        gathered.register_hook(lambda gradient: gradient.contiguous())  # type: ignore[no-untyped-call]  # torch
    return gathered
