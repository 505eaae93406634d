"""Distillation, a baseline without contrasts: each text learns the base model's vector of the English query."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Unpack

import torch.nn.functional as F
from torch import Tensor, nn

from clear_bench.errors import UsageError
from clear_bench.losses.core import precise
from clear_bench.losses.objectives import Distillation, Role
from clear_bench.losses.role_loss import Batch, CachedRoleLoss, ColumnSettings, Key, RoleLoss

CITATION = """@inproceedings{reimers-gurevych-2020-making,
    title = "Making Monolingual Sentence Embeddings Multilingual using Knowledge Distillation",
    author = "Reimers, Nils and Gurevych, Iryna",
    booktitle = "Proceedings of the 2020 Conference on Empirical Methods in Natural Language Processing",
    year = "2020",
    url = "https://arxiv.org/abs/2004.09813",
}"""


class DistillLoss(RoleLoss):
    """Mean squared error of q and x to the labels: the teacher's vectors of q, [rows, d].

    >>> import torch
    >>> rows, width = 4, 8
    >>> teacher = torch.ones(rows, width)
    >>> q, x = torch.ones(rows, width), torch.zeros(rows, width)
    >>> loss = DistillLoss(nn.Identity())
    >>> loss.counts(2)
    {'anchor': 1, 'cross_anchor': 1}
    >>> loss.compute_loss_from_embeddings([q, x], teacher).item()  # half of the errors 0 and 1
    0.5
    """

    def __init__(
        self, model: nn.Module, *, objective: Distillation | None = None, **columns: Unpack[ColumnSettings]
    ) -> None:
        super().__init__(model, **columns)
        self.roles = (objective or Distillation()).roles

    def prepare(self, columns: Mapping[Role, Tensor], labels: Tensor | None) -> Batch:
        """Return the students' vectors; raise `UsageError` where a row has no teacher vector of the same width."""
        students: dict[Key, Tensor] = {role: precise(columns[role][:, 0]) for role in self.roles}
        shape = next(iter(students.values())).shape
        if labels is None or labels.shape != shape:
            found = None if labels is None else tuple(labels.shape)
            msg = f"distillation needs the teacher's vectors as labels, {tuple(shape)}; got {found}"
            raise UsageError(msg)
        return Batch(students, shape[0], precise(labels))

    def parts(self, batch: Batch, rows: slice) -> dict[str, Tensor]:
        """Return the error of each student role; all have equal shares."""
        assert batch.targets is not None
        teacher = batch.targets[rows]
        return {str(role): F.mse_loss(batch.tensors[role][rows], teacher) / len(self.roles) for role in self.roles}

    def get_config_dict(self) -> dict[str, object]:
        """Return the settings that the model card shows."""
        return {"roles": list(self.roles)}

    @property
    def citation(self) -> str:
        """BibTeX entry of the paper, for the model card."""
        return CITATION


class CachedDistillLoss(CachedRoleLoss, DistillLoss):
    """`DistillLoss` for batches larger than memory; takes the settings of `CachedRoleLoss` as well.

    >>> import torch
    >>> class Model(nn.Sequential):
    ...     def forward(self, features):
    ...         return {**features, "sentence_embedding": self[0](features["input_ids"]).mean(dim=1)}
    >>> column = {"input_ids": torch.arange(8).reshape(4, 2), "attention_mask": torch.ones(4, 2)}
    >>> loss = CachedDistillLoss(Model(nn.Embedding(10, 8)), mini_batch_size=2)
    >>> loss([column, column], torch.zeros(4, 8)).shape  # labels: the teacher's vectors
    torch.Size([])
    """
