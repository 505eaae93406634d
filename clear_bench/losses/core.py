"""The arithmetic of the losses: pure functions over tensors, in float32 or better."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def precise(x: Tensor) -> Tensor:
    """Return a tensor in float32 or better: similarities in bf16 put errors of 2-5 % into the gradient."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def unit(x: Tensor) -> Tensor:
    """Return vectors of length one."""
    return F.normalize(precise(x), dim=-1)


def block_major(candidates: Tensor) -> Tensor:
    """Return [rows, blocks, d] as [blocks * rows, d]: all positives, then all first negatives, and so on."""
    return candidates.transpose(0, 1).flatten(0, 1)


def false_negatives(own: Tensor, candidates: Tensor, targets: Tensor) -> Tensor:
    """Return which candidates repeat the row's own passage, [rows, candidates]; its true place is not marked.

    Ids below zero are unknown and never marked.
    """
    marked = (own[:, None] == candidates[None, :]) & (own[:, None] >= 0)
    marked[torch.arange(len(own), device=own.device), targets] = False
    return marked


def hide(logits: Tensor, marked: Tensor | None) -> Tensor:
    """Return logits whose softmax leaves marked candidates out; the floor is finite, since 0 * log 0 would be NaN."""
    return logits if marked is None else logits.masked_fill(marked, torch.finfo(logits.dtype).min)


def kl_divergence(of: Tensor, to: Tensor) -> Tensor:
    """Return the mean over rows of KL(softmax `of` || softmax `to`), in log space: finite at any scale."""
    return F.kl_div(F.log_softmax(to, dim=-1), F.log_softmax(of, dim=-1), log_target=True, reduction="batchmean")
