"""Statistics against scipy, statsmodels, full enumeration and values worked out by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from clear_bench import stats

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def clustered(seed: int = 0, clusters: int = 30, largest: int = 8) -> tuple[Floats, Ints]:
    """Differences in clusters of unequal size that are alike within."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(clusters), rng.integers(1, largest, clusters))
    return 0.02 + 0.1 * rng.normal(size=clusters)[labels] + 0.15 * rng.normal(size=len(labels)), labels


def one(differences: Floats, clusters: Ints, ends: tuple[float, float] = (-1.0, 1.0)) -> stats.Estimate:
    return stats.estimates(stats.cluster_sums(differences, clusters, ends=ends))[0]


def even(estimate: stats.Estimate) -> stats.Estimate:
    """Forget what is known of rare events: Student's t is left."""
    return stats.Estimate(estimate.delta, estimate.se, estimate.sd, estimate.n, estimate.clusters)


def garwood(events: int, confidence: float) -> float:
    """The exact upper limit of a Poisson mean (Garwood 1936)."""
    return float(scipy_stats.chi2.ppf(confidence, 2 * (events + 1)) / 2)


def parallel(seed: int = 0, queries: int = 60, cells: int = 4, size: int = 5) -> stats.ClusterSums:
    """Cells on the same queries, alike within clusters and across cells."""
    rng = np.random.default_rng(seed)
    labels = np.arange(queries) // size
    shared = rng.normal(size=labels.max() + 1)[labels] * 0.1
    values = shared[:, None] + 0.1 * rng.normal(size=(queries, cells)) + np.linspace(0, 0.1, cells)
    return stats.cluster_sums(values.T.ravel(), np.tile(labels, cells), np.repeat(np.arange(cells), queries))


# --- the cluster-robust paired t


def test_clusters_of_one_query_give_the_paired_t_test() -> None:
    rng = np.random.default_rng(1)
    base, candidate = rng.random(40), rng.random(40)
    estimate = even(one(candidate - base, np.arange(40)))
    oracle = scipy_stats.ttest_rel(candidate, base)
    assert stats.p_value(estimate) == pytest.approx(oracle.pvalue, rel=1e-9)
    assert stats.interval(estimate) == pytest.approx(tuple(oracle.confidence_interval()), rel=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_unequal_clusters_give_the_robust_regression_of_statsmodels(seed: int) -> None:
    import statsmodels.api as sm

    differences, labels = clustered(seed)
    estimate = even(one(differences, labels))
    fit = sm.OLS(differences, np.ones(len(differences))).fit(
        cov_type="cluster", cov_kwds={"groups": labels}, use_t=True
    )
    assert estimate.delta == pytest.approx(fit.params[0], rel=1e-12)
    assert estimate.se == pytest.approx(fit.bse[0], rel=1e-9)
    assert stats.p_value(estimate) == pytest.approx(fit.pvalues[0], rel=1e-9)
    assert stats.interval(estimate) == pytest.approx(tuple(fit.conf_int()[0]), rel=1e-9)


def test_quantiles_are_students_with_clusters_less_one_degrees_of_freedom() -> None:
    estimate = stats.Estimate(0.0, 1.0, None, 50, 10)
    assert stats.one_sided_bounds(estimate) == pytest.approx((-1.8331129, 1.8331129))  # t(.95, 9)


@given(st.integers(0, 1000), st.integers(2, 12), st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_order_of_queries_and_names_of_clusters_do_not_matter(seed: int, clusters: int, largest: int) -> None:
    differences, labels = clustered(seed, clusters, largest + 1)
    rng = np.random.default_rng(seed)
    order, names = rng.permutation(len(labels)), rng.permutation(clusters)
    one_way, other_way = one(differences, labels), one(differences[order], names[labels[order]])
    assert one_way.delta == pytest.approx(other_way.delta, rel=1e-9, abs=1e-15)
    assert one_way.se == pytest.approx(other_way.se, rel=1e-6)
    assert one_way.clusters == other_way.clusters == clusters


def test_cells_of_different_clusters_keep_their_own_count_and_error() -> None:
    (first, labels), (second, others) = clustered(1, 10), clustered(2, 20)
    values, cells = np.concatenate([first, second]), np.repeat([0, 1], [len(first), len(second)])
    joint = stats.estimates(stats.cluster_sums(values, np.concatenate([labels, others + 10]), cells))
    for estimate, alone in zip(joint, (one(first, labels), one(second, others)), strict=True):
        assert (estimate.n, estimate.clusters) == (alone.n, alone.clusters)
        assert estimate.delta == pytest.approx(alone.delta)
        assert estimate.se == pytest.approx(alone.se)


def test_one_cluster_has_no_interval_and_no_p() -> None:
    estimate = one(np.array([0.1, 0.2, 0.3]), np.zeros(3, dtype=np.int64))
    assert estimate.delta == pytest.approx(0.2)
    assert estimate.se is None
    assert stats.interval(estimate) is None
    assert stats.one_sided_bounds(estimate) is None
    assert stats.p_value(estimate) is None
    assert stats.minimum_detectable(estimate) is None
    assert stats.design_effect(estimate) is None
    assert stats.effect_size(estimate) == pytest.approx(2.0)  # 0.2 / 0.1


def test_a_single_query_has_no_deviation() -> None:
    estimate = one(np.array([0.1]), np.zeros(1, dtype=np.int64))
    assert (estimate.sd, estimate.se) == (None, None)
    assert stats.effect_size(estimate) is None


def test_rounding_noise_is_no_spread() -> None:
    # 0.1 - 0.3 summed over unequal clusters leaves rounding noise; it must not pass for a spread
    estimate = one(np.full(21, 0.1) - 0.3, np.arange(21) // 5)
    assert (estimate.se, estimate.third) == (0, 0)
    assert stats.effect_size(estimate) is None  # a mean over no spread


# --- rare events


@pytest.mark.parametrize("n", [2, 50, 300, 2000])
def test_unchanged_queries_leave_room_for_three_in_n_that_change(n: int) -> None:
    # Rule of three: n unchanged queries are seen with 5 % probability where -ln 0.05 / n = 3.0 / n of all lose a point.
    estimate = one(np.zeros(n), np.arange(n))
    room = min(1.0, -np.log(0.05) / n)
    assert stats.one_sided_bounds(estimate) == pytest.approx((-room, room))
    assert stats.p_value(estimate) == 1
    assert stats.minimum_detectable(estimate) == pytest.approx(-np.log(0.025) / n)


def test_unchanged_queries_count_by_clusters() -> None:
    # Nothing varies, so nothing is known of how alike the 5 queries of a cluster are: 40 clusters, not 200 queries.
    bounds = stats.one_sided_bounds(one(np.zeros(200), np.arange(200) // 5))
    assert bounds == pytest.approx((np.log(0.05) / 40, -np.log(0.05) / 40))


def test_a_model_differs_from_itself_on_no_query() -> None:
    estimate = stats.estimates(stats.cluster_sums(np.zeros(20), np.arange(20) // 5, ends=(0.0, 0.0)))[0]
    assert stats.interval(estimate) == (0, 0)
    assert stats.p_value(estimate) == 1
    assert stats.effect_size(estimate) == 0
    assert stats.minimum_detectable(estimate) == 0


@pytest.mark.parametrize("lost", [1, 2, 5, 20])
def test_rare_whole_losses_have_the_exact_limit_of_a_poisson_mean(lost: int) -> None:
    n = 100_000
    bounds = stats.one_sided_bounds(one(np.where(np.arange(n) < lost, -1.0, 0.0), np.arange(n)))
    assert bounds is not None
    assert -bounds[0] == pytest.approx(garwood(lost, 0.95) / n, rel=1e-3)


@pytest.mark.parametrize(("lost", "n"), [(0, 50), (1, 60), (3, 100), (20, 200), (150, 300)])
def test_bounds_of_shares_hold_those_of_clopper_and_pearson(lost: int, n: int) -> None:
    scores = np.where(np.arange(n) < lost, 0.0, 1.0)
    estimate = stats.estimates(stats.cluster_sums(scores, np.arange(n), ends=(0.0, 1.0)))[0]
    exact = scipy_stats.binomtest(n - lost, n).proportion_ci(0.95)
    found = stats.interval(estimate)
    assert found is not None
    assert found[0] <= exact.low + 2e-3  # a count's own half step is in the exact limit, not in Student's
    assert exact.low - found[0] < 0.2 * (1 - exact.low)  # at most a fifth farther from the ceiling
    assert found[1] <= 1


def test_five_equal_losses_are_no_proof() -> None:
    # The exact sign-flip test of five queries cannot go below 2 / 2^5.
    estimate = one(np.full(5, -0.369), np.arange(5))
    p, found = stats.p_value(estimate), stats.interval(estimate)
    assert p is not None
    assert p >= 2 / 2**5
    assert found is not None
    assert found[0] < -0.369 < 0 < found[1]


def test_many_even_differences_have_students_interval() -> None:
    # Half a million differences without skew: an unseen event of 2 / n is far below the standard error.
    differences = np.tile([-0.2, -0.1, 0.1, 0.2], 125_000)
    estimate = one(differences, np.arange(len(differences)))
    assert stats.interval(estimate) == pytest.approx(stats.interval(even(estimate)), rel=0.01)


def test_bounds_follow_the_skew_as_johnson_corrects_it() -> None:
    # Johnson (1978): mean - z s / sqrt n + m3 (1 + 2 z^2) / (6 s^2 n); the rule adds half an event, as the exact
    # limit of a count does, and one unseen event, which is small beside a million exponential losses.
    n = 1_000_000
    losses = np.log1p(-(np.arange(n) + 0.5) / n) / 20
    bounds = stats.one_sided_bounds(one(losses, np.arange(n)))
    z, s, third = 1.6448536, losses.std(), ((losses - losses.mean()) ** 3).mean()
    event = third / s**2 / n
    johnson = losses.mean() - z * s / np.sqrt(n) + event * (1 + 2 * z * z) / 6
    assert bounds is not None
    assert bounds[0] == pytest.approx(johnson + event / 2, abs=0.2 * abs(event))


def drawn(seed: int) -> tuple[Floats, Ints]:
    """Clustered differences of every kind: even, skewed, mostly unchanged, rounded to few values."""
    rng = np.random.default_rng(seed)
    differences, labels = clustered(seed, clusters=int(rng.integers(2, 40)))
    if seed % 3 == 1:
        differences = np.where(rng.random(len(labels)) < 0.1, -rng.random(len(labels)), 0.0)
    if seed % 3 == 2:
        differences = differences**3 * 20
    return np.clip(differences, -1, 1), labels


@given(st.integers(0, 10_000))
@settings(max_examples=150, deadline=None)
def test_swapped_sides_mirror_the_interval_and_keep_p(seed: int) -> None:
    differences, labels = drawn(seed)
    ours, theirs = one(differences, labels), one(-differences, labels)
    low, high = stats.interval(ours) or (0.0, 0.0)
    assert stats.interval(theirs) == pytest.approx((-high, -low))
    assert stats.p_value(ours) == pytest.approx(stats.p_value(theirs))


@given(st.integers(0, 10_000), st.floats(0.01, 100))
@settings(max_examples=100, deadline=None)
def test_another_unit_changes_no_p(seed: int, unit: float) -> None:
    differences, labels = drawn(seed)
    ours, theirs = one(differences, labels), one(unit * differences, labels, ends=(-unit, unit))
    low, high = stats.interval(ours) or (0.0, 0.0)
    assert stats.interval(theirs) == pytest.approx((unit * low, unit * high), rel=1e-6, abs=1e-9 * unit)
    assert stats.p_value(theirs) == pytest.approx(stats.p_value(ours), rel=1e-6)


@given(st.integers(0, 10_000))
@settings(max_examples=300, deadline=None)
def test_p_is_below_five_percent_where_the_interval_leaves_out_zero(seed: int) -> None:
    estimate = one(*drawn(seed))
    p, (low, high) = stats.p_value(estimate), stats.interval(estimate) or (0.0, 0.0)
    assert p is not None
    if abs(p - 0.05) > 1e-6:
        assert (p < 0.05) == (low > 0 or high < 0)


@given(st.integers(0, 10_000))
@settings(max_examples=150, deadline=None)
def test_bounds_are_within_range_never_a_point_and_never_inside_students(seed: int) -> None:
    estimate = one(*drawn(seed))
    bounds, student = stats.one_sided_bounds(estimate), stats.one_sided_bounds(even(estimate))
    wider = stats.one_sided_bounds(estimate, 0.99)
    assert bounds is not None
    assert student is not None
    assert wider is not None
    assert -1 <= wider[0] <= bounds[0] <= max(student[0], -1) <= estimate.delta
    assert estimate.delta <= min(student[1], 1) <= bounds[1] <= wider[1] <= 1
    assert bounds[0] < bounds[1]


@given(st.integers(0, 10_000))
@settings(max_examples=100, deadline=None)
def test_order_of_queries_does_not_matter_to_the_bounds(seed: int) -> None:
    differences, labels = drawn(seed)
    order = np.random.default_rng(seed).permutation(len(labels))
    assert stats.interval(one(differences, labels)) == pytest.approx(
        stats.interval(one(differences[order], labels[order])), rel=1e-6, abs=1e-9
    )


@given(st.integers(0, 10_000))
@settings(max_examples=50, deadline=None)
def test_a_turned_weighted_sum_mirrors_its_interval(seed: int) -> None:
    cells, weights = parallel(seed), np.random.default_rng(seed).normal(size=4)
    ours, theirs = stats.contrast(cells, weights), stats.contrast(cells, -weights)
    low, high = stats.interval(ours) or (0.0, 0.0)
    assert stats.interval(theirs) == pytest.approx((-high, -low))
    assert stats.p_value(theirs) == pytest.approx(stats.p_value(ours))
    assert low < ours.delta < high


def test_a_weighted_sum_has_the_rare_events_of_its_cells() -> None:
    # Parallel queries: one event may reach every cell at once; a cell of weight -1/2 adds half of its other side.
    cells = stats.cluster_sums(np.zeros(150), np.tile(np.arange(50), 3), np.repeat(np.arange(3), 50))
    pivot = stats.contrast(cells, np.array([1, -0.5, -0.5]))
    assert pivot.unseen == pytest.approx((2 / 50, 2 / 50))
    assert pivot.ends == (-2, 2)
    # Cells of other queries: an event reaches one of them.
    apart = stats.cluster_sums(np.zeros(100), np.arange(100), np.repeat([0, 1], 50))
    assert stats.contrast(apart, np.array([0.5, 0.5])).unseen == pytest.approx((1 / 100, 1 / 100))


def test_scores_end_at_0_and_1_and_ranks_where_they_were_not_seen_yet() -> None:
    assert stats.reachable(np.array([0.2, 0.9])) == (0, 1)
    assert stats.reachable(np.array([1 + 2e-16])) == (0, 1)  # a sum of gains may round to it
    assert stats.reachable(np.array([3.0, 40.0])) == (0, 80)


# --- combinations of cells


def test_a_weight_on_one_cell_is_that_cell() -> None:
    cells = parallel()
    alone, combined = stats.estimates(cells)[2], stats.contrast(cells, np.array([0.0, 0, 1, 0]))
    assert combined.delta == pytest.approx(alone.delta)
    assert combined.se == pytest.approx(alone.se)
    assert (combined.n, combined.clusters) == (alone.n, alone.clusters)
    assert combined.third == pytest.approx(alone.third)
    assert combined.unseen == pytest.approx(alone.unseen)
    assert combined.ends == alone.ends


def test_macro_mean_of_parallel_queries_is_the_test_on_their_averages() -> None:
    # With the same queries in every cell, averaging per query first is the same estimator.
    rng = np.random.default_rng(3)
    values, labels = rng.normal(size=(60, 3)), np.arange(60) // 4
    cells = stats.cluster_sums(values.T.ravel(), np.tile(labels, 3), np.repeat(np.arange(3), 60))
    macro, averaged = stats.contrast(cells, np.full(3, 1 / 3)), one(values.mean(axis=1), labels)
    assert macro.delta == pytest.approx(averaged.delta)
    assert macro.se == pytest.approx(averaged.se)


def test_pivot_statistic_is_paired_query_by_query() -> None:
    # ds(a->b) - (ds(a->en) + ds(en->b)) / 2, written out per query
    rng = np.random.default_rng(4)
    values, labels = rng.normal(size=(80, 3)), np.arange(80) // 5
    cells = stats.cluster_sums(values.T.ravel(), np.tile(labels, 3), np.repeat(np.arange(3), 80))
    pivot = stats.contrast(cells, np.array([1, -0.5, -0.5]))
    by_query = one(values[:, 0] - (values[:, 1] + values[:, 2]) / 2, labels)
    assert pivot.delta == pytest.approx(by_query.delta)
    assert pivot.se == pytest.approx(by_query.se)


def test_errors_of_cells_without_common_clusters_add_up() -> None:
    (first, labels), (second, others) = clustered(1, 10), clustered(2, 20)
    values, cells = np.concatenate([first, second]), np.repeat([0, 1], [len(first), len(second)])
    sums = stats.cluster_sums(values, np.concatenate([labels, others + 10]), cells)
    a, b = stats.estimates(sums)
    assert a.se is not None
    assert b.se is not None
    mean = stats.contrast(sums, np.array([0.5, 0.5]))
    assert mean.se == pytest.approx(np.hypot(a.se, b.se) / 2)
    assert mean.clusters == 30


def test_combination_of_equal_gains_is_exactly_nothing() -> None:
    values, labels = np.random.default_rng(5).normal(size=50), np.arange(50) // 5
    cells = stats.cluster_sums(np.tile(values, 3), np.tile(labels, 3), np.repeat(np.arange(3), 50))
    pivot = stats.contrast(cells, np.array([1, -0.5, -0.5]))
    assert (pivot.delta, pivot.se) == (0, 0)


# --- bootstrap


def test_bootstrap_is_scipys_bca() -> None:
    differences = np.random.default_rng(6).exponential(0.1, 80) - 0.05
    ours = stats.bootstrap(stats.cluster_sums(differences, np.arange(80)), replicates=50_000)[:, 0]
    oracle = scipy_stats.bootstrap(
        (differences,), np.mean, n_resamples=50_000, method="BCa", rng=np.random.default_rng(0)
    ).confidence_interval
    # two sets of 50,000 draws: quantiles agree within a few hundredths of a standard error
    tolerance = 0.04 * differences.std() / np.sqrt(80)
    assert ours == pytest.approx([oracle.low, oracle.high], abs=tolerance)


def test_bootstrap_draws_whole_clusters() -> None:
    # 12 clusters of 50 equal differences are worth 12 draws, not 600.
    means = np.random.default_rng(7).normal(size=12)
    sums = stats.cluster_sums(np.repeat(means, 50), np.repeat(np.arange(12), 50))
    alone = stats.cluster_sums(means, np.arange(12))
    # the same draws; a replicate that equals the mean on paper may fall to either side of it by rounding
    assert stats.bootstrap(sums) == pytest.approx(stats.bootstrap(alone), abs=1e-3)


def test_bootstrap_of_a_cell_does_not_depend_on_its_neighbours() -> None:
    cells = parallel()
    together = stats.bootstrap(cells, replicates=500)
    for i in range(4):
        alone = stats.bootstrap(cells.take(np.array([i])), replicates=500)
        assert together[:, i] == pytest.approx(alone[:, 0])


def test_bootstrap_of_equal_differences_and_of_one_cluster_says_nothing() -> None:
    assert np.isnan(stats.bootstrap(stats.cluster_sums(np.full(20, -0.369), np.arange(20) // 2))).all()
    assert np.isnan(stats.bootstrap(stats.cluster_sums(np.ones(4), np.zeros(4, dtype=np.int64)))).all()


def test_same_seed_same_numbers_other_seed_other_numbers() -> None:
    cells = parallel()
    first, again, other = (stats.bootstrap(cells, replicates=300, seed=seed) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


# --- sign flips


def enumerate_flips(sums: Floats) -> float:
    """Two-sided p over all flips of cluster sums."""
    flips = np.array(list(itertools.product([1, -1], repeat=len(sums))))
    return float((np.abs(flips @ sums) >= abs(sums.sum()) - 1e-9).mean())


@pytest.mark.parametrize("seed", range(5))
def test_few_clusters_are_flipped_in_every_way(seed: int) -> None:
    differences, labels = clustered(seed, clusters=9)
    p = stats.sign_flip(stats.cluster_sums(differences, labels))
    assert p[0] == pytest.approx(enumerate_flips(np.bincount(labels, weights=differences)))


def test_many_clusters_agree_with_scipys_permutation_test() -> None:
    differences = np.random.default_rng(8).normal(0.03, 0.15, 100)
    ours = stats.sign_flip(stats.cluster_sums(differences, np.arange(100)), replicates=20_000)[0]
    oracle = scipy_stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=20_000, rng=np.random.default_rng(0)
    ).pvalue
    assert ours == pytest.approx(oracle, abs=4 * np.sqrt(2 * oracle * (1 - oracle) / 20_000))


def test_sign_flip_of_identical_scores_is_one_and_never_zero() -> None:
    assert stats.sign_flip(stats.cluster_sums(np.zeros(100), np.arange(100)))[0] == 1
    assert stats.sign_flip(stats.cluster_sums(np.ones(100), np.arange(100)))[0] == pytest.approx(1 / 10_001)


@pytest.mark.parametrize("n", [5, 13, 14, 15])
def test_equal_losses_have_no_p_below_that_of_all_flips(n: int) -> None:
    sums = stats.cluster_sums(np.full(n, -0.369), np.arange(n))
    assert min(stats.sign_flip(sums)[0], stats.max_t(sums)[0], stats.p_value(stats.estimates(sums)[0]) or 0) >= 2 / 2**n


def test_values_that_tie_with_the_observed_one_count() -> None:
    # 3 x 0.1: flips reach |0.3| in 2 of 8 cases, whatever the rounding of 0.1 + 0.1 + 0.1
    assert stats.sign_flip(stats.cluster_sums(np.full(3, 0.1), np.arange(3)))[0] == 0.25


def test_max_t_equals_the_step_down_by_full_enumeration() -> None:
    cells = parallel(queries=40)  # 8 clusters: 256 flips
    scaled = cells.sums / np.sqrt((cells.sums**2).sum(axis=0))
    flips = np.array(list(itertools.product([1, -1], repeat=8)))
    drawn, observed = np.abs(flips @ scaled), np.abs(scaled.sum(axis=0))
    # Westfall & Young, algorithm 4.1: from the strongest cell on, the maximum over it and all weaker ones
    expected, floor = np.empty(4), 0.0
    order = np.argsort(-observed)
    for place, cell in enumerate(order):
        share = (drawn[:, order[place:]].max(axis=1) >= observed[cell] - 1e-9).mean()
        floor = max(floor, float(share))
        expected[cell] = floor
    assert stats.max_t(cells) == pytest.approx(expected)


def test_max_t_of_one_cell_is_its_sign_flip_test() -> None:
    cells = parallel(cells=1, queries=300)
    assert stats.max_t(cells) == pytest.approx(stats.sign_flip(cells))


def test_max_t_of_copies_costs_nothing_and_of_strangers_about_holm() -> None:
    values = np.random.default_rng(9).normal(0.04, 0.15, 200)
    rows, columns = np.tile(np.arange(200), 5), np.repeat(np.arange(5), 200)
    copies = stats.cluster_sums(np.tile(values, 5), rows, columns)
    assert stats.max_t(copies) == pytest.approx(np.full(5, stats.sign_flip(copies)[0]))
    strangers = stats.cluster_sums(np.random.default_rng(9).normal(0.03, 0.15, 1000), rows, columns)
    single, joint = stats.sign_flip(strangers), stats.max_t(strangers)
    assert (joint <= stats.holm(single) + 0.02).all()  # Holm is an upper bound up to the noise of 10,000 draws
    assert (joint >= single).all()


# --- families


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
@settings(deadline=None)
def test_adjusted_p_values_are_those_of_statsmodels(p: list[float]) -> None:
    from statsmodels.stats.multitest import multipletests

    assert stats.holm(p) == pytest.approx(multipletests(p, method="holm")[1], abs=1e-12)
    assert stats.benjamini_hochberg(p) == pytest.approx(multipletests(p, method="fdr_bh")[1], abs=1e-12)


def test_an_empty_family_stays_empty() -> None:
    assert len(stats.holm([])) == len(stats.benjamini_hochberg([])) == 0


# --- sizes


def test_queries_needed_are_those_of_students_t_and_some_more_for_what_is_unseen() -> None:
    # Student's t alone: ((1.645 + 0.842) sd / margin)^2 = 619, 1,392, 2,474 and 2,504 with a design effect of 1.8
    needed = [stats.queries_needed(0.10, 0.01), stats.queries_needed(0.15, 0.01), stats.queries_needed(0.20, 0.01)]
    for found, student in zip((*needed, stats.queries_needed(0.15, 0.01, 1.8)), (619, 1392, 2474, 2504), strict=True):
        assert student < found < 1.16 * student
    assert stats.queries_needed(0.0, 0.01) == 300  # the rule of three


@pytest.mark.parametrize("sd", [0.0, 0.05, 0.15])
def test_queries_needed_are_the_fewest_that_resolve_the_margin(sd: float) -> None:
    n = stats.queries_needed(sd, 0.02)
    assert (stats.resolvable_margin(sd, n, n) or 1) <= 0.02 < (stats.resolvable_margin(sd, n - 1, n - 1) or 0)
    assert stats.resolvable_margin(0.15, 100, 1) is None


def test_minimum_detectable_difference_has_the_power_promised() -> None:
    estimate = stats.Estimate(0.0, 0.004, 0.1, 600, 500)
    found = stats.minimum_detectable(estimate)
    assert found is not None
    shifted = scipy_stats.nct(df=499, nc=found / 0.004)
    assert shifted.sf(scipy_stats.t.ppf(0.975, 499)) == pytest.approx(0.8, abs=0.002)


def test_design_effect_of_copies_is_their_number() -> None:
    values = np.random.default_rng(10).normal(size=400)
    estimate = one(np.repeat(values, 5), np.repeat(np.arange(400), 5))
    assert stats.design_effect(estimate) == pytest.approx(5, rel=0.01)
    assert stats.intraclass_correlation(np.repeat(values, 5), np.repeat(np.arange(400), 5)) == pytest.approx(1)
    assert stats.planned_design_effect([5] * 400, 1.0) == 5


def test_planned_design_effect_of_xquad_is_its_published_one() -> None:
    # 4.96 questions a paragraph at a correlation of 0.2: standard error x 1.34
    assert np.sqrt(stats.planned_design_effect([5] * 230 + [4] * 10, 0.2)) == pytest.approx(1.34, abs=0.005)


def test_intraclass_correlation_is_that_of_the_one_way_analysis() -> None:
    # Two clusters of two, by hand: between 2 on 1 df, within (0.5 + 0.5) / 2 = 0.5 on 2; (2 - 0.5) / (2 + 0.5)
    shift = np.sqrt(2)  # means 0.5 and 0.5 + sqrt 2: between = 4 (sqrt 2 / 2)^2 = 2
    values, labels = np.array([0, 1, shift, 1 + shift]), np.array([0, 0, 1, 1])
    assert stats.intraclass_correlation(values, labels) == pytest.approx(1.5 / 2.5)


def test_intraclass_correlation_without_repeats_or_spread_is_none() -> None:
    assert stats.intraclass_correlation(np.arange(4.0), np.arange(4)) == 0
    assert stats.intraclass_correlation(np.ones(4), np.array([0, 0, 1, 1])) == 0


def test_a_drawn_correlation_is_found_again() -> None:
    rng = np.random.default_rng(11)
    labels = np.repeat(np.arange(2000), 5)
    values = np.sqrt(0.2) * rng.normal(size=2000)[labels] + np.sqrt(0.8) * rng.normal(size=10_000)
    assert stats.intraclass_correlation(values, labels) == pytest.approx(0.2, abs=0.03)


# --- trend


def test_slope_is_least_squares_and_its_p_the_exact_permutation() -> None:
    x, y = np.array([0.0, 1, 3, 5, 5]), np.array([0.05, 0.03, 0.02, 0.01, 0.0])
    found = stats.slope_test(x, y)
    assert found is not None
    assert found[0] == pytest.approx(scipy_stats.linregress(x, y).slope)
    slopes = [scipy_stats.linregress(np.array(order), y).slope for order in itertools.permutations(x)]
    assert found[1] == pytest.approx(np.mean(np.abs(slopes) >= abs(found[0]) - 1e-12))


def test_slope_of_many_languages_is_tested_by_random_permutations() -> None:
    rng = np.random.default_rng(12)
    x = rng.integers(0, 6, 40).astype(np.float64)
    found = stats.slope_test(x, 0.01 * x + 0.02 * rng.normal(size=40))
    assert found is not None
    assert found[0] == pytest.approx(0.01, abs=0.004)
    assert found[1] < 0.01


def test_no_slope_without_three_languages_or_two_classes() -> None:
    assert stats.slope_test(np.array([1.0, 2]), np.array([1.0, 2])) is None
    assert stats.slope_test(np.ones(5), np.arange(5.0)) is None


def test_equal_gains_have_no_slope() -> None:
    assert stats.slope_test(np.arange(5.0), np.full(5, 0.1)) == (0, 1)
