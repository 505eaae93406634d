"""Sorts the texts of a batch by length before they are embedded, so that mini-batches hold little padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from sentence_transformers.base.losses.gradcache import _get_batch_size
from sentence_transformers.base.losses.merged_forward import merge_feature_batches
from torch import Tensor

Features = dict[str, Any]  # Any: tensors and strings, as the model's preprocessing makes them


def sort_by_length(features: Sequence[Features], sides: Sequence[Sequence[int]]) -> tuple[list[Features], Tensor]:
    """Return the rows of each side, longest first, so that mini-batches hold little padding.

    The tensor, [columns, rows], says where each embedding stands in the concatenation of the groups.
    """
    size = _get_batch_size(features[0])
    groups: list[Features] = []
    order: list[Tensor] = []
    for side in sides:
        merged = merge_feature_batches([features[i] for i in side]) if len(side) > 1 else None
        for columns, group in [(side, merged)] if merged is not None else [([i], features[i]) for i in side]:
            permutation = _longest_first(group, size * len(columns))
            start = torch.tensor([i * size for i in columns], device=permutation.device)
            origin = (start[:, None] + torch.arange(size, device=permutation.device)).flatten()
            groups.append(_permute(group, permutation))
            order.append(origin[permutation])
    return groups, torch.cat(order).argsort().reshape(len(features), size)


def in_columns(rows: Tensor, places: Tensor) -> Sequence[Tensor]:
    """Return sorted embeddings by column: the inverse of `sort_by_length`."""
    columns, size = places.shape
    return rows[places.flatten()].reshape(columns, size, -1).unbind(0)


def _longest_first(group: Features, rows: int) -> Tensor:
    mask = group.get("attention_mask")
    tensors = [value for key, value in group.items() if isinstance(value, Tensor) and key != "prompt_length"]
    if not isinstance(mask, Tensor) or any(t.ndim == 0 or t.shape[0] != rows for t in tensors):
        return torch.arange(rows, device=tensors[0].device)  # rows of flattened or image inputs cannot be moved
    return mask.reshape(rows, -1).sum(dim=1).argsort(descending=True, stable=True)


def _permute(group: Features, permutation: Tensor) -> Features:
    if bool((permutation[1:] > permutation[:-1]).all()):
        return group
    moves = {key: isinstance(value, Tensor) and key != "prompt_length" for key, value in group.items()}
    return {key: value[permutation] if moves[key] else value for key, value in group.items()}


def chunks_of(rows: int, size: int) -> list[slice]:
    """Return slices of at most `size` rows."""
    return [slice(begin, min(begin + size, rows)) for begin in range(0, rows, size)]
