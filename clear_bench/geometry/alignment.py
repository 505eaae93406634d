"""How near translations are: rows i of two matrices [n, d] of unit vectors are translations of each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clear_bench.stats.clusters import Floats

Vectors = NDArray[np.float32]

NEIGHBOURS = 4
"""k of the margin, as in LASER and xsim."""
TIED = 1e-6
"""Margins as near as this are equal but for float32: texts that stand twice."""
SMALLEST = 1e-6
"""Least mean similarity of neighbours that a margin divides by."""


def translation_cosine(one: Vectors, other: Vectors) -> Floats:
    """Return the cosine of each text with its translation, [n]."""
    return np.asarray(np.einsum("nd,nd->n", one, other), dtype=np.float64)


def random_cosine(one: Vectors, other: Vectors) -> Floats:
    """Return parts of the mean cosine of two texts that are not translations of each other, [n]; needs two texts.

    The mean over all such pairs is a U-statistic: each text pulls on it with its own mean cosine, twice.
    """
    n = len(one)
    own = translation_cosine(one, other)
    left, right = one.astype(np.float64), other.astype(np.float64)
    reach = (left @ right.sum(axis=0) + right @ left.sum(axis=0)) / 2
    means = (reach - own) / (n - 1)
    return np.asarray(2 * means - means.mean())


def bitext_accuracy(one: Vectors, other: Vectors) -> tuple[Floats, Floats]:
    """Return for each text whether its translation is the nearest by ratio margin, in both directions, [n] each.

    The cosine is divided by the mean cosine of both texts with their k nearest neighbours in the other language
    (Artetxe & Schwenk 2019); 1 - accuracy is the xsim error. A tie counts by its share.
    """
    cosines = one @ other.T
    k = min(NEIGHBOURS, len(one))
    rows, columns = _nearest(cosines, k), _nearest(cosines.T, k)
    cosines /= np.maximum((rows[:, None] + columns[None, :]) / 2, SMALLEST)
    return _found(cosines), _found(cosines.T)


def centroid_distance(one: Vectors, other: Vectors) -> Floats:
    """Return parts of the distance between the means of two sets of paired texts, [n]."""
    apart = one.astype(np.float64) - other
    centre = apart.mean(axis=0)
    length = float(np.sqrt(centre @ centre))
    return np.asarray(apart @ (centre / length)) if length else np.zeros(len(one))


def english_pull(one: Vectors, other: Vectors, english: Vectors) -> Floats:
    """Return how much nearer two translations are to their English text, on average, than to each other, [n]."""
    legs = translation_cosine(one, english) + translation_cosine(other, english)
    return np.asarray(legs / 2 - translation_cosine(one, other))


def _nearest(cosines: Vectors, k: int) -> Vectors:
    """Return each row's mean over its k largest values, [n]."""
    n = cosines.shape[1]
    return np.asarray(np.partition(cosines, n - k, axis=1)[:, n - k :].mean(axis=1))


def _found(margins: Vectors) -> Floats:
    own = np.diagonal(margins)
    best = margins.max(axis=1)
    tied = (margins >= (best - TIED)[:, None]).sum(axis=1)
    return np.where(own >= best - TIED, 1.0 / tied, 0.0)
