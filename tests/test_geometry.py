"""Measures of a space: values worked out by hand, scikit-learn and SciPy as oracles, and what must not change them."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from clear_bench import geometry
from clear_bench.api.space import unit
from clear_bench.geometry import Cell, Measure, changes, measures, overall

Vectors = NDArray[np.float32]


def random_unit(n: int, d: int, seed: int = 0) -> Vectors:
    return unit(np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32))


def languages(n: int = 60, d: int = 24, count: int = 4, noise: float = 0.3, offset: float = 0.0) -> list[Vectors]:
    """Translations: a common meaning, noise, and a direction of each language's own."""
    rng = np.random.default_rng(7)
    meaning = rng.standard_normal((n, d))
    own = rng.standard_normal((count, d)) * offset
    return [unit((meaning + noise * rng.standard_normal((n, d)) + one).astype(np.float32)) for one in own]


def loads(vectors: list[Vectors]) -> list[functools.partial[Vectors]]:
    return [functools.partial(lambda one: one, one) for one in vectors]


def everything(vectors: list[Vectors]) -> dict[str, float]:
    """Every measure, of the first two languages where it is about a pair."""
    one, other, third = vectors[:3]
    occurrence = geometry.k_occurrence(one @ other.T)
    linear, centroid = geometry.language_probes(loads(vectors), np.arange(len(one)))
    return {
        "translation_cosine": float(geometry.translation_cosine(one, other).mean()),
        "random_cosine": float(geometry.random_cosine(one, other).mean()),
        "bitext_accuracy": float(np.mean(geometry.bitext_accuracy(one, other))),
        "centroid_distance": float(geometry.centroid_distance(one, other).mean()),
        "english_pull": float(geometry.english_pull(one, other, third).mean()),
        "language_variance_share": geometry.language_variance_share(loads(vectors))[0],
        "language_probe_accuracy": float(linear.mean()),
        "language_centroid_accuracy": float(centroid.mean()),
        "hub_skewness": geometry.hub_skewness(occurrence)[0],
        "antihub_share": float(geometry.antihub_share(occurrence).mean()),
        "mean_cosine": float(geometry.mean_cosine(one).mean()),
        "effective_rank": geometry.effective_rank(one)[0],
    }


def test_cosines_of_three_texts_are_those_worked_out_by_hand() -> None:
    # Rows (1,0), (0,1), (0.6,0.8); the other language is the same but for its first row, (0.8,0.6).
    one = np.array([[1, 0], [0, 1], [0.6, 0.8]], dtype=np.float32)
    other = np.array([[0.8, 0.6], [0, 1], [0.6, 0.8]], dtype=np.float32)
    np.testing.assert_allclose(geometry.translation_cosine(one, other), [0.8, 1.0, 1.0], rtol=1e-6)
    # Other pairs: 1-2: 0, 1-3: .6, 2-1: .6, 2-3: .8, 3-1: .96, 3-2: .8; their mean is 3.76 / 6.
    assert geometry.random_cosine(one, other).mean() == pytest.approx(3.76 / 6)
    # Within a language: 0, .6 and .8, so 1.4 / 3.
    assert geometry.mean_cosine(one).mean() == pytest.approx(1.4 / 3)
    # The means differ by ((0.8 - 1) / 3, 0.6 / 3): sqrt(.04 + .36) / 3.
    assert geometry.centroid_distance(one, other).mean() == pytest.approx(np.sqrt(0.4) / 3)


def test_margin_finds_a_translation_that_the_cosine_misses() -> None:
    # With k = 2 of 2, a margin is 2 cos / (row mean + column mean).
    # a = (1,0), (.8,.6); b0 = (.96,.28), b1 = (.6,.8). Cosines .96 .6 / .936 .96; row means .78 .948, columns .948 .78.
    # Margins: .96/.864 = 1.111, .6/.78 = .769 / .936/.948 = .987, .96/.864 = 1.111: both are found.
    a = np.array([[1, 0], [0.8, 0.6]], dtype=np.float32)
    b = np.array([[0.96, 0.28], [0.6, 0.8]], dtype=np.float32)
    assert [found.tolist() for found in geometry.bitext_accuracy(a, b)] == [[1, 1], [1, 1]]
    # Exchanged, none is found, in either direction.
    assert [found.tolist() for found in geometry.bitext_accuracy(a, b[::-1])] == [[0, 0], [0, 0]]
    # A third passage near every query would win by cosine alone: query 1 has cosine 1 with the hub, .995 with its own.
    hub = unit(np.array([[1, 0.1, 0], [1, 0, 0.1], [1, 0, 0]], dtype=np.float32))
    queries = unit(np.array([[1, 0.04, 0], [1, 0, 0.04], [1, -0.05, -0.05]], dtype=np.float32))
    assert (queries @ hub.T).argmax(axis=1).tolist() == [2, 2, 2]
    assert geometry.bitext_accuracy(queries, hub)[0].tolist() == [1, 1, 1]


def test_texts_that_stand_twice_share_the_find() -> None:
    one = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
    assert geometry.bitext_accuracy(one, one)[0].tolist() == [0.5, 0.5, 1.0]


def test_equal_vectors_are_found_by_chance_alone() -> None:
    one = np.tile(np.array([[0.6, 0.8]], dtype=np.float32), (10, 1))
    assert np.mean(geometry.bitext_accuracy(one, one)) == pytest.approx(0.1)


def test_variance_share_of_two_languages_is_the_one_worked_out_by_hand() -> None:
    # Means (1,0) and (-1,0) around the centre 0, texts 1 above and below: between 1, total 1 + 1, so a half.
    one = np.array([[1, 1], [1, -1]], dtype=np.float32)
    share, parts = geometry.language_variance_share(loads([one, one - [2, 0]]))
    assert share == pytest.approx(0.5)
    assert parts.mean() == pytest.approx(0.5)


def test_effective_rank_is_the_number_of_directions_used_evenly() -> None:
    corners = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]], dtype=np.float32)
    assert geometry.effective_rank(corners)[0] == pytest.approx(2)
    # Variances .8 and .2: exp(-(.8 ln .8 + .2 ln .2)) = exp(.50040) = 1.64939.
    uneven = corners * [2, 1, 1]
    assert geometry.effective_rank(uneven.astype(np.float32))[0] == pytest.approx(1.64939, abs=1e-5)


def test_hubness_is_the_skewness_of_how_often_passages_are_found() -> None:
    from scipy.stats import skew

    # Passage 0 is nearest to all five queries but the last, and each of 20 passages has k = 2 first hits.
    occurrence = np.array([7, 1, 1, 1, 0, 0, 2, 0])
    assert geometry.hub_skewness(occurrence)[0] == pytest.approx(skew(occurrence))
    assert geometry.antihub_share(occurrence).mean() == 3 / 8
    similarities = np.zeros((5, 20), dtype=np.float32)
    similarities[:, 3] = 2
    similarities[range(5), [0, 1, 2, 4, 5]] = 1
    assert geometry.k_occurrence(similarities)[:7].tolist() == [1, 1, 1, 5, 1, 1, 0]
    assert geometry.hub_skewness(np.full(9, 3))[0] == 0


def test_probe_agrees_with_scikit_learn() -> None:
    from sklearn.linear_model import RidgeClassifier
    from sklearn.neighbors import NearestCentroid

    from clear_bench.geometry.language import FOLDS, RIDGE, _folds

    vectors = languages(n=80, d=12, count=3, noise=0.5, offset=0.25)
    clusters = np.arange(80) // 4
    linear, centroid = geometry.language_probes(loads(vectors), clusters)
    folds = _folds(clusters, 0)
    assert np.unique(folds).tolist() == list(range(FOLDS))
    for fold in range(FOLDS):
        inside, outside = folds != fold, folds == fold
        texts = np.concatenate([one[inside] for one in vectors]).astype(np.float64)
        labels = np.repeat(range(3), inside.sum())
        penalty = RIDGE * ((texts - texts.mean(axis=0)) ** 2).sum() / 12
        ridge = RidgeClassifier(alpha=penalty).fit(texts, labels)
        nearest = NearestCentroid().fit(texts, labels)
        for i, one in enumerate(vectors):
            # Ours shrinks the intercept a little, too: a text on the border may fall to the other side.
            assert np.mean((ridge.predict(one[outside]) == i) == linear[i, outside]) > 0.98
            assert ((nearest.predict(one[outside]) == i) == centroid[i, outside]).all()


def test_no_translation_of_a_tested_text_is_trained_on() -> None:
    """Texts of one cluster, and so translations, are in one fold."""
    from clear_bench.geometry.language import _folds

    clusters = np.random.default_rng(0).integers(0, 17, 100)
    folds = _folds(clusters, 3)
    assert all(len(set(folds[clusters == one])) == 1 for one in range(17))


def test_picture_is_that_of_scikit_learn() -> None:
    from sklearn.decomposition import PCA

    vectors = languages(offset=0.5)
    centroids, texts, shares = geometry.project(loads(vectors), np.arange(5))
    known = PCA(2).fit(np.concatenate(vectors).astype(np.float64))
    np.testing.assert_allclose(shares, known.explained_variance_ratio_, rtol=1e-4)
    np.testing.assert_allclose(np.abs(texts[1]), np.abs(known.transform(vectors[1][:5])), atol=1e-4)
    np.testing.assert_allclose(np.abs(centroids[2]), np.abs(known.transform(vectors[2]).mean(axis=0)), atol=1e-4)


@given(st.integers(0, 2**32 - 1))
def test_a_rotation_changes_no_measure(seed: int) -> None:
    vectors = languages(n=40, d=8, offset=0.3)
    turn = np.linalg.qr(np.random.default_rng(seed).standard_normal((8, 8)))[0].astype(np.float32)
    before, after = everything(vectors), everything([one @ turn for one in vectors])
    # A text on a border may fall to the other side by float32: one of 40 texts, or of 160.
    loose = {"language_probe_accuracy": 2 / 160, "language_centroid_accuracy": 2 / 160, "bitext_accuracy": 2 / 80}
    loose |= {"antihub_share": 1 / 40, "hub_skewness": 0.05}
    for name, value in before.items():
        assert after[name] == pytest.approx(value, abs=loose.get(name, 1e-4)), name


@given(st.integers(0, 2**32 - 1))
def test_permuted_ids_destroy_alignment(seed: int) -> None:
    one, other = languages(n=60, d=24, count=2)
    assert np.mean(geometry.bitext_accuracy(one, other)) > 0.95
    shuffled = other[np.random.default_rng(seed).permutation(60)]
    # A random permutation leaves one text in its place on average, hardly ever more than five.
    assert np.mean(geometry.bitext_accuracy(one, shuffled)) < 0.12
    assert abs(geometry.translation_cosine(one, shuffled).mean() - geometry.random_cosine(one, other).mean()) < 0.15


def test_an_offset_of_languages_is_found_and_goes_with_their_means() -> None:
    plain, moved = languages(n=100, noise=0.8), languages(n=100, noise=0.8, offset=1.0)
    assert geometry.language_variance_share(loads(plain))[0] < 0.02
    # Offsets of variance 1 beside meaning of 1 and noise of .64: .75 / (.75 + 1.64) = .31 or so, for four of them.
    assert geometry.language_variance_share(loads(moved))[0] == pytest.approx(0.31, rel=0.3)
    assert min(probe.mean() for probe in geometry.language_probes(loads(moved), np.arange(100))) > 0.9
    centred = [one - one.mean(axis=0) for one in moved]
    assert geometry.language_variance_share(loads(centred))[0] == pytest.approx(0, abs=1e-9)
    # Chance is a quarter.
    assert max(probe.mean() for probe in geometry.language_probes(loads(centred), np.arange(100))) < 0.35


def test_random_vectors_give_chance() -> None:
    vectors = [random_unit(200, 32, seed) for seed in range(4)]
    share, _ = geometry.language_variance_share(loads(vectors))
    # (L - 1) / (L n - 1) = 3 / 799 = .0038 is expected.
    assert share == pytest.approx(3 / 799, rel=0.35)
    for probe in geometry.language_probes(loads(vectors), np.arange(200)):
        # A quarter, within four standard errors of 800 texts.
        assert probe.mean() == pytest.approx(0.25, abs=0.062)
    assert np.mean(geometry.bitext_accuracy(vectors[0], vectors[1])) < 0.03
    assert geometry.translation_cosine(vectors[0], vectors[1]).mean() == pytest.approx(0, abs=0.06)
    assert geometry.effective_rank(vectors[0])[0] > 27


def jackknifed(vectors: list[Vectors], name: str) -> NDArray[np.float64]:
    """Pseudo-values of the plain jackknife: every text is left out once."""
    n = len(vectors[0])
    without = [everything([np.delete(one, i, axis=0) for one in vectors])[name] for i in range(n)]
    return n * everything(vectors)[name] - (n - 1) * np.array(without)


@pytest.mark.parametrize("name", ["random_cosine", "centroid_distance", "effective_rank", "language_variance_share"])
def test_parts_pull_as_leaving_out_a_text_does(name: str) -> None:
    vectors = languages(n=120, d=6, count=3, noise=0.5, offset=0.4)
    parts = {
        "random_cosine": geometry.random_cosine(vectors[0], vectors[1]),
        "centroid_distance": geometry.centroid_distance(vectors[0], vectors[1]),
        "effective_rank": geometry.effective_rank(vectors[0])[1],
        "language_variance_share": geometry.language_variance_share(loads(vectors))[1],
    }[name]
    left_out = jackknifed(vectors, name)
    assert parts.mean() == pytest.approx(everything(vectors)[name], rel=1e-4)
    assert np.corrcoef(parts, left_out)[0, 1] > 0.98
    assert parts.std() == pytest.approx(left_out.std(), rel=0.08)


def test_parts_of_the_skewness_pull_as_leaving_out_a_passage_does() -> None:
    occurrence = np.random.default_rng(0).poisson(2, 300)
    value, parts = geometry.hub_skewness(occurrence)
    without = [geometry.hub_skewness(np.delete(occurrence, i))[0] for i in range(300)]
    left_out = 300 * value - 299 * np.array(without)
    assert parts.mean() == pytest.approx(value)
    assert np.corrcoef(parts, left_out)[0, 1] > 0.98


def cell(parts: NDArray[np.float64], name: str = "translation_cosine", language: str = "deu-Latn") -> Cell:
    clusters = np.arange(len(parts)) // 2
    return Cell(name, "query", language, "eng-Latn", float(parts.mean()), parts, clusters, len(parts))


def test_intervals_are_the_same_for_the_same_seed_and_hold_the_value() -> None:
    parts = np.random.default_rng(0).uniform(0.5, 1.0, 80)
    one, again = (measures([cell(parts)], replicates=500, seed=3)[0] for _ in range(2))
    assert one == again
    assert one.lower is not None
    assert one.upper is not None
    assert 0.5 < one.lower < one.value < one.upper <= 1.0
    # The error of a mean of 80 uniform values of width .5 is .144 / 9 = .016: the interval is about .063 wide.
    assert one.upper - one.lower == pytest.approx(0.063, rel=0.3)


def test_one_cluster_and_equal_values_have_no_interval() -> None:
    lone = Cell("mean_cosine", "query", "deu-Latn", None, 0.5, np.array([0.4, 0.6]), np.zeros(2, np.int64), 2)
    rows = measures([lone, cell(np.ones(10))], replicates=100)
    assert [(row.lower, row.upper) for row in rows] == [(None, None)] * 2
    assert rows[0] == Measure("mean_cosine", "query", "deu-Latn", None, 0.5, None, None, 2)


def test_a_perfect_share_says_what_it_cannot_exclude() -> None:
    # 40 clusters without a miss: the rule of three, 3 / 40, bounds what was not seen (one-sided 2.5 %: 3.7 / 40).
    found = overall([cell(np.ones(80), "bitext_accuracy")])[0]
    assert found.value == found.upper == 1
    assert found.lower == pytest.approx(1 - 3.7 / 40, abs=0.02)


def test_changes_are_paired_by_text() -> None:
    parts = np.random.default_rng(1).uniform(0.2, 0.9, 60)
    [change] = changes([cell(parts)], [cell(parts + 0.05)])
    # Every text moved by the same, so nothing is uncertain, however much texts differ.
    assert change.base == pytest.approx(parts.mean())
    assert (change.value, change.lower, change.upper) == pytest.approx((0.05, 0.05, 0.05), abs=1e-6)


def test_regression_finds_what_made_the_scores() -> None:
    rng = np.random.default_rng(0)
    pairs = np.array([(a, b) for a in range(14) for b in range(14) if a != b])
    predictors = rng.standard_normal((len(pairs), 2))
    scores = 0.7 + 0.05 * predictors[:, 0] + 0.01 * rng.standard_normal(len(pairs))
    found = geometry.regress(scores, predictors, pairs, replicates=300)
    assert found is not None
    assert found.coefficients == pytest.approx([0.05 * predictors[:, 0].std(), 0], abs=0.003)
    assert found.lower[0] > 0.03
    assert found.lower[1] < 0 < found.upper[1]
    assert found.explained > 0.9
    assert geometry.regress(scores[:5], predictors[:5], pairs[:5], replicates=10) is None


def test_interval_of_a_cell_does_not_depend_on_its_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    some = [cell(rng.uniform(0, 1, 40), language=f"l{i}") for i in range(7)]
    whole = measures(some, replicates=200)
    monkeypatch.setattr("clear_bench.geometry.cells.AT_ONCE", 2)
    parted = measures(some, replicates=200)
    for end in ("lower", "upper"):  # but for the last bits of a matrix product
        assert [getattr(one, end) for one in parted] == pytest.approx([getattr(one, end) for one in whole], rel=1e-9)
