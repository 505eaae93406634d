"""Measure how well a device is used: operations of an encoding relative to the device's peak."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

MATRIX = {"cpu": 1024, "cuda": 8192}
"""Side of the square matrices whose product tells what a device can do."""


def matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Measure the fastest of ten matrix products, in operations per second: what we call the device's peak."""
    size = MATRIX.get(device.type, 2048)
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(10):
        _wait(device)
        started = time.perf_counter()
        torch.mm(a, b)
        _wait(device)
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best


def operations(body: Any, lengths: NDArray[np.int64]) -> float:
    """Count the multiplications and additions of encoding texts of these lengths, attention included.

    `body` is a transformers model. Padding is not counted.
    """  # Any: transformers has no type for a model with a configuration
    config = body.config.get_text_config()
    matrices = sum(layer.weight.numel() for layer in _layers(body))
    attention = 4.0 * config.num_hidden_layers * config.hidden_size * (lengths.astype(np.float64) ** 2).sum()
    return 2.0 * matrices * float(lengths.sum()) + float(attention)


def _layers(body: torch.nn.Module) -> list[torch.nn.Linear]:
    """List the matrices that every token passes through. A pooler sees one token per text."""
    return [m for name, m in body.named_modules() if isinstance(m, torch.nn.Linear) and "pooler" not in name]


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
