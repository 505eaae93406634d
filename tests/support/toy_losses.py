"""A float64 toy encoder, ragged features and random embeddings for the tests of the losses."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from clear_bench.losses import LOSSES
from clear_bench.losses.objectives import Distillation, Objective

CONTRASTS = [key for key, (objective, _) in LOSSES.items() if isinstance(objective, Objective)]


class Mean(nn.Module):
    """The second module of a toy encoder: the masked mean of token vectors, in the precision of its input."""

    def forward(self, features: dict[str, Any]) -> dict[str, Any]:
        mask = features["attention_mask"][..., None].to(features["tokens"].dtype)
        return {**features, "sentence_embedding": (features["tokens"] * mask).sum(1) / mask.sum(1)}


class Tokens(nn.Module):
    def __init__(self, size: int, dimensions: int, dropout: float) -> None:
        super().__init__()
        self.table = nn.Embedding(size, dimensions)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: dict[str, Any]) -> dict[str, Any]:
        return {**features, "tokens": self.dropout(torch.tanh(self.table(features["input_ids"])))}


class ToyEncoder(nn.Sequential):
    def __init__(self, size: int = 97, dimensions: int = 8, dropout: float = 0.0) -> None:
        super().__init__(Tokens(size, dimensions, dropout), Mean())

    def get_embedding_dimension(self) -> int:
        return 8


def toy_model(dropout: float = 0.0) -> ToyEncoder:
    torch.manual_seed(0)
    return ToyEncoder(dropout=dropout).double()


def toy_features(columns: int, rows: int, seed: int = 1) -> list[dict[str, Any]]:
    """Columns of different widths with ragged rows, as the collator of sentence-transformers makes them."""
    generator = torch.Generator().manual_seed(seed)
    features = []
    for column in range(columns):
        width = 3 + column % 4
        lengths = torch.randint(1, width + 1, (rows,), generator=generator)
        mask = (torch.arange(width) < lengths[:, None]).long()
        ids = torch.randint(0, 97, (rows, width), generator=generator) * mask
        features.append({"input_ids": ids, "attention_mask": mask, "modality": "text"})
    return features


def random_columns(columns: int, rows: int, dimensions: int = 6, seed: int = 3) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(rows, dimensions, generator=generator, dtype=torch.float64) for _ in range(columns)]


def width_of(key: str, n: int = 2) -> int:
    return sum(n if role in ("negative", "neg_query") else 1 for role in LOSSES[key][0].roles)


def labels_for(key: str, rows: int) -> Tensor | None:
    return random_columns(1, rows, dimensions=8, seed=9)[0] if isinstance(LOSSES[key][0], Distillation) else None


def gradients(model: nn.Module, loss: Tensor) -> Tensor:
    model.zero_grad()
    loss.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()])
