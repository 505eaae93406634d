"""From a recipe key to a loss object."""

from __future__ import annotations

from typing import Any

from torch import nn

from clear_bench.losses.clear import CachedCLEARLoss, CLEARLoss
from clear_bench.losses.distill import CachedDistillLoss, DistillLoss
from clear_bench.losses.objectives import LOSSES, Distillation
from clear_bench.losses.role_loss import RoleLoss
from clear_bench.registry import lookup


def make_loss(
    key: str,
    model: nn.Module,
    *,
    alpha: float | None = None,
    beta: float | None = None,
    cached: bool = False,
    **settings: Any,  # Any: those of the loss
) -> RoleLoss:
    """Build the loss of a row of `LOSSES`; weights that are not given are that row's."""
    objective, _ = lookup(LOSSES, key, "loss")
    if isinstance(objective, Distillation):
        return (CachedDistillLoss if cached else DistillLoss)(model, objective=objective, **settings)
    weights = (objective.alpha if alpha is None else alpha, objective.beta if beta is None else beta)
    return (CachedCLEARLoss if cached else CLEARLoss)(model, *weights, objective=objective, **settings)
