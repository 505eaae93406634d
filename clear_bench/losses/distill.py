"""Alignment without contrast: pull each student text to the frozen base model's vector of the English query."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from clear_bench.errors import UsageError
from clear_bench.losses.core import precise
from clear_bench.losses.objectives import Distillation, Role
from clear_bench.losses.role_loss import Batch, CachedRoleLoss, Key, RoleLoss

CITATION = """@inproceedings{reimers-gurevych-2020-making,
    title = "Making Monolingual Sentence Embeddings Multilingual using Knowledge Distillation",
    author = "Reimers, Nils and Gurevych, Iryna",
    booktitle = "Proceedings of the 2020 Conference on Empirical Methods in Natural Language Processing",
    year = "2020",
    url = "https://arxiv.org/abs/2004.09813",
}"""


class DistillLoss(RoleLoss):
    """Mean squared error of q and x to the labels: the teacher's vectors of q, [rows, d]."""

    def __init__(self, model: nn.Module, *, objective: Distillation | None = None, **columns: Any) -> None:
        super().__init__(model, **columns)
        self.roles = (objective or Distillation()).roles

    def prepare(self, columns: Mapping[Role, Tensor], labels: Tensor | None) -> Batch:
        """Check that there is a teacher vector for each row."""
        students: dict[Key, Tensor] = {role: precise(columns[role][:, 0]) for role in self.roles}
        shape = next(iter(students.values())).shape
        if labels is None or labels.shape != shape:
            found = None if labels is None else tuple(labels.shape)
            msg = f"distillation needs the teacher's vectors as labels, {tuple(shape)}; got {found}"
            raise UsageError(msg)
        return Batch(students, shape[0], precise(labels))

    def parts(self, batch: Batch, rows: slice) -> dict[str, Tensor]:
        """Give each student role an equal share."""
        assert batch.targets is not None
        teacher = batch.targets[rows]
        return {str(role): F.mse_loss(batch.tensors[role][rows], teacher) / len(self.roles) for role in self.roles}

    def get_config_dict(self) -> dict[str, Any]:
        """Give the settings that the model card shows."""
        return {"roles": list(self.roles)}

    @property
    def citation(self) -> str:
        """Give the paper's BibTeX entry, for the model card."""
        return CITATION


class CachedDistillLoss(CachedRoleLoss, DistillLoss):
    """`DistillLoss` for batches larger than memory."""
