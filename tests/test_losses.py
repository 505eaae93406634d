from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from toy_losses import CONTRASTS, gradients, labels_for, random_columns, toy_features, toy_model, width_of

from clear_bench.errors import UsageError
from clear_bench.losses import LOSSES, CachedCLEARLoss, CLEARLoss, make_loss
from clear_bench.losses.core import kl_divergence
from clear_bench.losses.role_loss import RoleLoss, count_columns
from clear_bench.losses.roles import resolve_roles

FIXTURE = [
    [[1, 0], [0, 1]],  # q
    [[1, 0.2], [0.2, 1]],  # d
    [[0.8, 0.6], [0.6, 0.8]],  # d^1
    [[0.9, 0.3], [0.4, 0.9]],  # x
    [[0.6, 0.8], [1, 0.5]],  # x^1
]


# The definition of the loss, once more, in plain loops over lists.


def cosine(a: Sequence[float], b: Sequence[float]) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(y * y for y in b))


def softmax(row: Sequence[float]) -> list[float]:
    top = max(row)
    powers = [math.exp(value - top) for value in row]
    return [power / sum(powers) for power in powers]


def cross_entropy(logits: Sequence[Sequence[float]]) -> float:
    return sum(-math.log(softmax(row)[i]) for i, row in enumerate(logits)) / len(logits)


def kl(of: Sequence[Sequence[float]], to: Sequence[Sequence[float]]) -> float:
    total = 0.0
    for v, u in zip(of, to, strict=True):
        total += sum(p * math.log(p / q) for p, q in zip(softmax(v), softmax(u), strict=True))
    return total / len(of)


def scores(anchors: Any, columns: Sequence[Any], scale: float) -> list[list[float]]:
    candidates = [vector for column in columns for vector in column]
    return [[scale * cosine(anchor, candidate) for candidate in candidates] for anchor in anchors]


def oracle(key: str, columns: list[Any], n: int, scale: float) -> float:
    if key == "infonce_q":
        q, *d = columns
        return cross_entropy(scores(q, d, scale))
    if key == "infonce_x":
        *d, x = columns
        return cross_entropy(scores(x, d, scale))
    if key == "infonce_qx":
        q, *d, x = columns
        return 0.6 * cross_entropy(scores(q, d, scale)) + 0.4 * cross_entropy(scores(x, d, scale))
    if key == "symmetric":
        *d, x = columns
        return (cross_entropy(scores(x, d, scale)) + cross_entropy(scores(d[0], [x], scale))) / 2
    q, d, x = columns[0], columns[1 : 2 + n], columns[2 + n : 3 + 2 * n]
    anchor = {"clear_no_bridge": q, "clear_bridge": columns[-1]}.get(key, d[0])
    u, v = scores(q, d, scale), scores(anchor, x, scale)
    a, b = {"clear_no_kl": (0.4, 0.0), "clear_no_kl_even": (0.5, 0.0)}.get(key, (0.4, 0.2))
    return (1 - a - b) * cross_entropy(u) + a * cross_entropy(v) + b * kl(v, u)


@pytest.mark.parametrize(
    ("scale", "settings", "expected"),
    [
        (1, {"alpha": 0, "beta": 0}, 1.090114),
        (1, {"alpha": 1, "beta": 0}, 1.202494),
        (1, {"alpha": 0, "beta": 1}, 0.019662),
        (1, {}, 0.920976),
        (1, {"use_kl": False}, 1.135066),
        (20, {"alpha": 0, "beta": 0}, 0.027132),
        (20, {"alpha": 1, "beta": 0}, 0.333680),
        (20, {"alpha": 0, "beta": 1}, 1.548405),
        (20, {}, 0.454005),
        (20, {"use_kl": False}, 0.149751),
    ],
)
def test_fixture_gives_the_published_codes_values(scale: float, settings: dict[str, Any], expected: float) -> None:
    columns = [torch.tensor(column, dtype=torch.float64) for column in FIXTURE]
    loss = CLEARLoss(nn.Identity(), scale=scale, **settings).compute_loss_from_embeddings(columns)
    # The expected values were printed with six decimals.
    assert loss.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("key", CONTRASTS)
@pytest.mark.parametrize("n", [0, 1, 3])
def test_every_contrast_equals_plain_loops_in_float64(key: str, n: int) -> None:
    columns = random_columns(width_of(key, n), rows=4)
    loss = make_loss(key, nn.Identity(), scale=7.0).compute_loss_from_embeddings(columns)
    # Sums of a few dozen float64 terms.
    assert loss.item() == pytest.approx(oracle(key, [c.tolist() for c in columns], n, 7.0), rel=1e-12)


def test_distillation_is_the_mean_squared_error_of_both_students() -> None:
    q, x, teacher = random_columns(3, rows=5)
    loss = make_loss("distill", nn.Identity()).compute_loss_from_embeddings([q, x], teacher)
    expected = (((q - teacher) ** 2).mean() + ((x - teacher) ** 2).mean()) / 2
    assert loss.item() == pytest.approx(expected.item(), rel=1e-14)


@settings(max_examples=30, deadline=None)
@given(
    rows=st.integers(1, 6),
    n=st.integers(0, 3),
    alpha=st.floats(0, 1),
    share=st.floats(0, 1),
    scale=st.floats(0.5, 50),
    seed=st.integers(0, 999),
)
def test_clear_equals_plain_loops_for_any_weights(
    rows: int, n: int, alpha: float, share: float, scale: float, seed: int
) -> None:
    beta = (1 - alpha) * share
    columns = random_columns(3 + 2 * n, rows, seed=seed)
    loss = CLEARLoss(nn.Identity(), alpha, beta, scale).compute_loss_from_embeddings(columns)
    q, d, x = columns[0].tolist(), [c.tolist() for c in columns[1 : 2 + n]], [c.tolist() for c in columns[2 + n :]]
    u, v = scores(q, d, scale), scores(d[0], x, scale)
    expected = (1 - alpha - beta) * cross_entropy(u) + alpha * cross_entropy(v) + beta * kl(v, u)
    assert loss.item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


# The cached loss against the plain one.


@pytest.mark.parametrize("key", list(LOSSES))
@pytest.mark.parametrize("mini_batch_size", [4, 5, 3, 1, 64])
def test_cached_equals_uncached_whether_or_not_mini_batches_divide_the_batch(key: str, mini_batch_size: int) -> None:
    rows, model = 16, toy_model()
    features, labels = toy_features(width_of(key), rows), labels_for(key, rows)
    plain = make_loss(key, model)(features, labels)
    expected = gradients(model, plain)
    cached = make_loss(key, model, cached=True, mini_batch_size=mini_batch_size)(features, labels)
    assert cached.item() == pytest.approx(plain.item(), abs=1e-10)
    torch.testing.assert_close(gradients(model, cached), expected, rtol=0, atol=1e-10)


def test_cached_equals_uncached_with_batch_16_and_mini_batch_15() -> None:
    # The released code's gradient has a cosine of 0.61 to the true one here.
    model, features = toy_model(), toy_features(width_of("clear", 5), 16)
    expected = gradients(model, CLEARLoss(model)(features))
    found = gradients(model, CachedCLEARLoss(model, mini_batch_size=15)(features))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("key", list(LOSSES))
def test_forwards_of_similar_length_give_the_same_gradient(key: str) -> None:
    model = toy_model()
    features, labels = toy_features(width_of(key), 10), labels_for(key, 10)
    expected = gradients(model, make_loss(key, model)(features, labels))
    found = gradients(model, make_loss(key, model, forward_rows=7)(features, labels))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_token_budget_gives_the_same_gradient_as_a_row_budget() -> None:
    model, features = toy_model(), toy_features(7, 16)
    expected = gradients(model, CLEARLoss(model)(features))
    found = gradients(model, CachedCLEARLoss(model, mini_batch_num_tokens=20)(features))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


def test_dropout_draws_the_same_masks_in_both_passes_of_the_cached_loss() -> None:
    # With a frozen generator the loss is a function of the weights: compare its gradient with finite differences.
    model = toy_model(dropout=0.3)
    loss, features = CachedCLEARLoss(model, mini_batch_size=4), toy_features(5, 8)
    weight = model[0].table.weight

    def value() -> Tensor:
        torch.manual_seed(5)
        return loss(features)

    gradient = gradients(model, value()).reshape(weight.shape)
    row = int(gradient.abs().sum(1).argmax())
    with torch.no_grad():
        weight[row, 0] += 1e-6
        up = value().item()
        weight[row, 0] -= 2e-6
        down = value().item()
    assert (up - down) / 2e-6 == pytest.approx(gradient[row, 0].item(), rel=1e-5)


def test_cached_loss_is_the_same_number_without_gradients() -> None:
    model, features = toy_model(), toy_features(7, 10)
    loss = CachedCLEARLoss(model, mini_batch_size=4)
    with torch.no_grad():
        evaluated = loss(features).item()
    assert evaluated == pytest.approx(loss(features).item(), abs=1e-14)


def test_gradient_accumulation_scales_every_mini_batch() -> None:
    model, features = toy_model(), toy_features(7, 10)
    loss = CachedCLEARLoss(model, mini_batch_size=4, log_components=True)
    whole = gradients(model, torch.stack(list(loss(features).values())).sum())
    eighth = gradients(model, torch.stack(list(loss(features).values())).sum() / 8)
    torch.testing.assert_close(eighth * 8, whole, rtol=0, atol=1e-12)


def test_authors_gradient_scale_multiplies_by_the_number_of_mini_batches() -> None:
    model, features = toy_model(), toy_features(7, 16)
    true = gradients(model, CLEARLoss(model)(features))
    theirs = gradients(model, CachedCLEARLoss(model, mini_batch_size=8, authors_gradient_scale=True)(features))
    torch.testing.assert_close(theirs, 2 * true, rtol=0, atol=1e-12)


def test_authors_gradient_scale_turns_a_ragged_batch_as_the_released_code_does() -> None:
    model, features = toy_model(), toy_features(width_of("clear", 5), 16)
    true = gradients(model, CLEARLoss(model)(features))
    theirs = gradients(model, CachedCLEARLoss(model, mini_batch_size=15, authors_gradient_scale=True)(features))
    assert torch.cosine_similarity(true, theirs, dim=0) < 0.9


# sentence-transformers' own loss at the ends of the scale.


def test_without_reverse_and_kl_it_is_multiple_negatives_ranking_loss() -> None:
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    model, features = toy_model(), toy_features(7, 12)
    peer = MultipleNegativesRankingLoss(model)(features[:4], None)
    expected = gradients(model, peer)
    for loss in (make_loss("infonce_q", model), make_loss("infonce_q", model, cached=True, mini_batch_size=5)):
        found = loss(features[:4])
        assert found.item() == pytest.approx(peer.item(), abs=1e-14)
        torch.testing.assert_close(gradients(model, found), expected, rtol=0, atol=1e-14)
    ours = CLEARLoss(model, alpha=0, beta=0)(features)
    assert ours.item() == pytest.approx(peer.item(), abs=1e-14)
    torch.testing.assert_close(gradients(model, ours), expected, rtol=0, atol=1e-14)


def test_with_the_reverse_term_alone_it_is_the_same_loss_on_swapped_roles() -> None:
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    model, features = toy_model(), toy_features(7, 12)
    _, d, _, _, x, *xs = features
    peer = MultipleNegativesRankingLoss(model)([d, x, *xs], None)
    expected = gradients(model, peer)
    ours = CLEARLoss(model, alpha=1, beta=0)(features)
    assert ours.item() == pytest.approx(peer.item(), abs=1e-14)
    torch.testing.assert_close(gradients(model, ours), expected, rtol=0, atol=1e-14)


# Precision.


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [100.0, 200.0, 1000.0])
def test_gradients_are_finite_at_large_scales(scale: float, dtype: torch.dtype) -> None:
    columns = [column.to(dtype).requires_grad_() for column in random_columns(13, 8)]
    CLEARLoss(nn.Identity(), scale=scale).compute_loss_from_embeddings(columns).backward()
    assert all(torch.isfinite(column.grad).all() for column in columns)


def test_identical_vectors_give_finite_gradients() -> None:
    columns = [torch.ones(4, 6, requires_grad=True) for _ in range(5)]
    CLEARLoss(nn.Identity(), scale=200.0).compute_loss_from_embeddings(columns).backward()
    assert all(torch.isfinite(column.grad).all() for column in columns)


def _autocast_error(loss: Callable[[list[Tensor]], Tensor], backward: bool) -> float:
    """Relative error of the gradient under bf16 autocast against the one in float64."""
    columns = [column.float() for column in random_columns(13, 32, dimensions=128)]
    exact = [column.double().requires_grad_() for column in columns]
    rounded = [column.requires_grad_() for column in columns]
    values = [loss(exact)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        values.append(loss(rounded))
    if backward:  # torch wants the backward pass outside of autocast, and the trainer does it there
        for value in values:
            value.backward()
    true = torch.cat([column.grad.flatten() for column in exact])
    found = torch.cat([column.grad.flatten() for column in rounded])
    return ((found - true).norm() / true.norm()).item()


def test_bf16_autocast_leaves_the_gradient_of_the_loss_alone() -> None:
    assert _autocast_error(CLEARLoss(nn.Identity()).compute_loss_from_embeddings, backward=True) < 1e-3


def test_bf16_autocast_leaves_the_gradient_of_the_cached_loss_alone() -> None:
    # The cached loss runs its own backward pass inside the forward, hence inside of autocast.
    loss = CachedCLEARLoss(toy_model(), mini_batch_size=10)

    def run(columns: list[Tensor]) -> Tensor:
        return loss.calculate_loss([[column] for column in columns], with_backward=True)

    assert _autocast_error(run, backward=False) < 1e-3


def test_bf16_embeddings_are_compared_in_float32() -> None:
    columns = [column.bfloat16() for column in random_columns(5, 4)]
    loss = CLEARLoss(nn.Identity())
    assert loss.compute_loss_from_embeddings(columns).dtype == torch.float32
    assert loss.compute_loss_from_embeddings(random_columns(5, 4)).dtype == torch.float64


# Matryoshka and logging.


def test_matryoshka_wraps_both_losses_to_the_same_gradient() -> None:
    from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss

    model, features = toy_model(), toy_features(5, 8)
    found = []
    for loss in (CLEARLoss(model), CachedCLEARLoss(model, mini_batch_size=3)):
        # Components are asked for and must stay off: MatryoshkaLoss multiplies what it gets.
        loss.log_components = True
        wrapped = MatryoshkaLoss(model, loss, [8, 4, 2], [1, 0.5, 2])(features, None)
        found.append((wrapped.item(), gradients(model, wrapped)))
    with torch.no_grad():
        vectors = [model(dict(f))["sentence_embedding"] for f in features]
    plain = CLEARLoss(nn.Identity())
    expected = sum(
        weight * plain.compute_loss_from_embeddings([v[:, :size] for v in vectors])
        for size, weight in [(8, 1), (4, 0.5), (2, 2)]
    )
    assert found[0][0] == pytest.approx(expected.item(), rel=1e-10)
    assert found[1][0] == pytest.approx(expected.item(), rel=1e-10)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=0, atol=1e-10)


@pytest.mark.parametrize("cached", [False, True])
def test_components_add_up_to_the_loss_and_carry_its_gradient(cached: bool) -> None:
    model, features = toy_model(), toy_features(7, 10)
    settings: dict[str, Any] = {"cached": cached, **({"mini_batch_size": 4} if cached else {})}
    whole = make_loss("clear", model, **settings)(features)
    expected = gradients(model, whole)
    parts = make_loss("clear", model, log_components=True, **settings)(features)
    assert list(parts) == ["loss_forward", "loss_reverse", "loss_kl"]
    total = torch.stack(list(parts.values())).sum()
    assert total.item() == pytest.approx(whole.item(), abs=1e-12)
    torch.testing.assert_close(gradients(model, total), expected, rtol=0, atol=1e-12)
    with torch.no_grad():
        vectors = [model(dict(f))["sentence_embedding"] for f in features]
    forward = make_loss("infonce_q", nn.Identity()).compute_loss_from_embeddings(vectors[:4])
    assert parts["loss_forward"].item() == pytest.approx(0.4 * forward.item(), abs=1e-12)


# False negatives.


def test_a_passage_that_occurs_twice_is_no_negative_of_itself() -> None:
    # Rows 0 and 2 have one passage; masking leaves each of them the candidates of row 1 and its own.
    columns = random_columns(3, 3)
    ids = torch.tensor([[7], [8], [7]])
    loss = CLEARLoss(nn.Identity(), scale=5.0, mask_by_id=True).compute_loss_from_embeddings(columns, ids)
    q, d, x = (column.tolist() for column in columns)
    u, v = scores(q, [d], 5.0), scores(d, [x], 5.0)
    keep = [[0, 1], [0, 1, 2], [1, 2]]
    own = [0, 1, 1]
    fwd = sum(-math.log(softmax([u[i][j] for j in keep[i]])[own[i]]) for i in range(3)) / 3
    rev = sum(-math.log(softmax([v[i][j] for j in keep[i]])[own[i]]) for i in range(3)) / 3
    div = sum(kl([[v[i][j] for j in keep[i]]], [[u[i][j] for j in keep[i]]]) for i in range(3)) / 3
    assert loss.item() == pytest.approx(0.4 * fwd + 0.4 * rev + 0.2 * div, rel=1e-12)


def test_a_positive_among_anothers_hard_negatives_is_masked_and_unknown_ids_are_not() -> None:
    columns = random_columns(5, 2)
    loss = CLEARLoss(nn.Identity(), mask_by_id=True)
    plain = CLEARLoss(nn.Identity()).compute_loss_from_embeddings(columns)
    unknown = loss.compute_loss_from_embeddings(columns, torch.tensor([[-1, -1], [-1, -1]]))
    masked = loss.compute_loss_from_embeddings(columns, torch.tensor([[1, 5], [2, 1]]))
    assert unknown.item() == pytest.approx(plain.item(), abs=1e-14)
    assert abs(masked.item() - plain.item()) > 1e-6


def test_masked_candidates_give_finite_gradients_and_the_cached_loss_agrees() -> None:
    model, features = toy_model(), toy_features(7, 8)
    ids = torch.randint(0, 4, (8, 3), generator=torch.Generator().manual_seed(2))
    expected = gradients(model, CLEARLoss(model, scale=200.0, mask_by_id=True)(features, ids))
    assert torch.isfinite(expected).all()
    cached = CachedCLEARLoss(model, scale=200.0, mask_by_id=True, mini_batch_size=3)
    torch.testing.assert_close(gradients(model, cached(features, ids)), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("labels", [None, torch.zeros(2, 1, dtype=torch.long), torch.zeros(2, 2)])
def test_masking_without_usable_ids_is_refused(labels: Tensor | None) -> None:
    with pytest.raises(UsageError, match="passage ids"):
        CLEARLoss(nn.Identity(), mask_by_id=True).compute_loss_from_embeddings(random_columns(5, 2), labels)


# Counts, weights, roles.


@pytest.mark.parametrize(("alpha", "beta"), [(0.7, 0.4), (-0.1, 0.2), (0.4, -0.2), (1.2, 0.0), (math.nan, 0.2)])
def test_weights_that_are_no_mixture_are_refused(alpha: float, beta: float) -> None:
    with pytest.raises(UsageError, match="alpha"):
        CLEARLoss(nn.Identity(), alpha, beta)


def test_a_reverse_weight_without_a_reverse_term_is_refused() -> None:
    with pytest.raises(UsageError, match="forward term only"):
        make_loss("infonce_q", nn.Identity(), alpha=0.3)


def test_a_scale_of_zero_is_refused() -> None:
    with pytest.raises(UsageError, match="scale"):
        CLEARLoss(nn.Identity(), scale=0)


def test_a_mini_batch_of_zero_is_refused() -> None:
    with pytest.raises(UsageError, match="mini_batch_size"):
        CachedCLEARLoss(toy_model(), mini_batch_size=0)


def test_a_wrong_number_of_columns_is_refused() -> None:
    with pytest.raises(UsageError, match="the loss got 6 columns"):
        CLEARLoss(nn.Identity()).compute_loss_from_embeddings(random_columns(6, 2))
    with pytest.raises(UsageError, match="5 negative"):
        CLEARLoss(nn.Identity(), n_negatives=5, n_query_negatives=5).compute_loss_from_embeddings(random_columns(5, 2))
    with pytest.raises(UsageError, match="the loss got 1 columns"):
        CLEARLoss(nn.Identity()).compute_loss_from_embeddings(random_columns(1, 2))


def test_given_counts_decide_which_columns_are_which() -> None:
    roles = LOSSES["clear"][0].roles
    assert count_columns(roles, 8, {"negative": 4}) == {
        "anchor": 1, "positive": 1, "negative": 4, "cross_anchor": 1, "neg_query": 1,
    }  # fmt: skip


def test_unequal_negatives_under_kl_are_refused_with_the_way_out() -> None:
    columns = random_columns(6, 4)
    with pytest.raises(UsageError, match="kl_over"):
        CLEARLoss(nn.Identity(), n_negatives=2).compute_loss_from_embeddings(columns)
    CLEARLoss(nn.Identity(), n_negatives=2, beta=0).compute_loss_from_embeddings(columns)


@pytest.mark.parametrize(("kl_over", "blocks"), [("common", 2), ("in_batch", 1)])
def test_kl_over_fewer_candidates_compares_just_these(kl_over: Any, blocks: int) -> None:
    columns = random_columns(6, 4)
    loss = CLEARLoss(nn.Identity(), 0, 1, 5.0, n_negatives=2, kl_over=kl_over).compute_loss_from_embeddings(columns)
    lists = [column.tolist() for column in columns]
    u, v = scores(lists[0], lists[1 : 1 + blocks], 5.0), scores(lists[1], lists[4 : 4 + blocks], 5.0)
    assert loss.item() == pytest.approx(kl(v, u), rel=1e-12)


def test_distillation_without_teacher_vectors_is_refused() -> None:
    with pytest.raises(UsageError, match="teacher"):
        make_loss("distill", nn.Identity()).compute_loss_from_embeddings(random_columns(2, 3))


def test_an_unknown_loss_names_the_near_one() -> None:
    with pytest.raises(UsageError, match="'clear_no_kl'"):
        make_loss("clear_nokl", nn.Identity())


@pytest.mark.parametrize("key", list(LOSSES))
def test_every_loss_describes_itself_for_the_model_card(key: str) -> None:
    loss: RoleLoss = make_loss(key, nn.Identity())
    assert loss.get_config_dict()["roles"] == list(LOSSES[key][0].roles)
    assert loss.citation.startswith("@inproceedings")
    assert LOSSES[key][1].endswith("?")


COLUMNS = ["language", "neg_query_2", "neg_10", "cross_anchor", "query", "neg_query_1", "passage", "score"]


def test_columns_are_found_by_name_and_ordered_by_number() -> None:
    names = ["id", *(f"neg_{i}" for i in (10, 2, 1, 3, 4, 5, 6, 7, 8, 9)), "passage", "lang_question", "query"]
    roles = resolve_roles(names, LOSSES["infonce_qx"][0].roles)
    expected = ("query", "passage", *(f"neg_{i}" for i in range(1, 11)), "lang_question")
    assert roles.order(LOSSES["infonce_qx"][0].roles) == expected


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["anchor", "positive"], "no column for cross_anchor"),
        (["anchor", "query", "positive", "cross_anchor"], "several columns could be anchor: anchor, query"),
        (["anchor", "positive", "cross_anchor", "negative_1", "neg_1"], "several columns could be negative"),
        (["anchor", "positive", "cross_anchor", "neg_1", "neg_3"], "numbered 1 to 2"),
        (["anchor", "positive", "cross_anchor", "negative", "negative_1"], "'negative' carries no number"),
    ],
)
def test_columns_that_could_train_the_wrong_roles_are_refused(names: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        resolve_roles(names, LOSSES["clear"][0].roles)


def test_a_recipe_may_name_the_column_of_a_role() -> None:
    roles = resolve_roles(["q", "passage", "german"], ["anchor", "positive", "cross_anchor"],
                          {"anchor": "q", "cross_anchor": "german"})  # fmt: skip
    assert roles.order(["anchor", "positive", "cross_anchor"]) == ("q", "passage", "german")
    with pytest.raises(UsageError, match="did you mean 'german'"):
        resolve_roles(["q", "german"], ["anchor"], {"anchor": "germn"})
    with pytest.raises(UsageError, match="did you mean 'anchor'"):
        resolve_roles(["q", "german"], ["anchor"], {"anchr": "q"})


def test_kl_of_equal_rankings_is_zero() -> None:
    logits = random_columns(1, 4)[0] * 300
    assert kl_divergence(logits, logits).item() == 0


def test_importing_the_table_of_losses_loads_no_torch() -> None:
    code = "import sys, clear_bench.losses, clear_bench.losses.roles; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
