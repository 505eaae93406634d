"""Build a loss from its recipe key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Unpack

from torch import nn

from clear_bench.losses.clear import CachedCLEARLoss, CLEARLoss, KLOver
from clear_bench.losses.distill import CachedDistillLoss, DistillLoss
from clear_bench.losses.objectives import LOSSES, Distillation, Objective
from clear_bench.losses.role_loss import CacheSettings, ColumnSettings, RoleLoss
from clear_bench.registry import lookup

_CLASSES: Mapping[tuple[type, bool], Callable[..., RoleLoss]] = {
    (Objective, False): CLEARLoss,
    (Objective, True): CachedCLEARLoss,
    (Distillation, False): DistillLoss,
    (Distillation, True): CachedDistillLoss,
}
"""What an objective is, and whether its loss is cached -> the class."""


class LossSettings(CacheSettings, ColumnSettings, total=False):
    """Settings of the losses: those of `CLEARLoss` for contrasts only, those of the cache for cached losses only."""

    scale: float
    use_kl: bool
    kl_over: KLOver
    gather_across_devices: bool
    mask_by_id: bool


def make_loss(
    key: str,
    model: nn.Module,
    *,
    alpha: float | None = None,
    beta: float | None = None,
    cached: bool = False,
    **settings: Unpack[LossSettings],
) -> RoleLoss:
    """Return the loss of a row of `LOSSES`; weights that are not given are those of the row.

    >>> import torch
    >>> rows, width = 4, 8
    >>> q, d, d1 = torch.eye(3 * rows, width).split(rows)  # one column each: [4, 8]
    >>> loss = make_loss("infonce_q", nn.Identity(), scale=10.0)
    >>> loss.roles
    ('anchor', 'positive', 'negative')
    >>> loss.compute_loss_from_embeddings([q, d, d1]).shape
    torch.Size([])
    """
    objective, _ = lookup(LOSSES, key, "loss")
    make = _CLASSES[type(objective), cached]
    if isinstance(objective, Distillation):
        return make(model, objective=objective, **settings)
    weights = (objective.alpha if alpha is None else alpha, objective.beta if beta is None else beta)
    return make(model, *weights, objective=objective, **settings)
