"""Vectors in two dimensions: the plane in which they differ most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clear_bench.geometry.language import Load
from clear_bench.stats.clusters import Floats, Ints


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """Languages and some of their texts in the plane of the first two principal components."""

    languages: tuple[str, ...]
    centroids: Floats
    """[L, 2]"""
    texts: Floats
    """[L, t, 2]: the same t texts in every language."""
    names: tuple[str, ...]
    """Ids of the texts, [t]."""
    shares: tuple[float, float]
    """Of the variance, by component."""


def project(languages: Sequence[Load], shown: Ints) -> tuple[Floats, Floats, tuple[float, float]]:
    """Return the centroids [L, 2], the texts `shown` [L, t, 2] and the shares of variance of both components.

    Principal components of all texts in all languages; each axis points to where its largest weight is positive.
    """
    means: list[Floats] = []
    gram, rows = np.zeros((1, 1)), 0
    for load in languages:
        vectors = load()
        means.append(vectors.mean(axis=0, dtype=np.float64))
        gram = gram + (vectors.T @ vectors).astype(np.float64)
        rows += len(vectors)
    centre = np.mean(means, axis=0)
    values, axes = np.linalg.eigh(gram / rows - np.outer(centre, centre))
    plane = axes[:, :-3:-1] if len(values) > 1 else np.hstack([axes, np.zeros_like(axes)])
    plane = plane * np.where(plane[np.abs(plane).argmax(axis=0), range(2)] < 0, -1.0, 1.0)
    total = float(values.clip(0).sum()) or 1.0
    shares = [float(value) / total for value in values[:-3:-1].clip(0)]
    texts = np.stack([(load()[shown] - centre) @ plane for load in languages])
    return (np.stack(means) - centre) @ plane, texts, (shares[0], shares[1] if len(shares) > 1 else 0.0)
