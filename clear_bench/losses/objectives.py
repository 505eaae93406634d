"""The training objectives as data: which text is compared with which. One row of `LOSSES` is one recipe key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["anchor", "positive", "negative", "cross_anchor", "neg_query", "bridge"]

ROLES: tuple[Role, ...] = ("anchor", "positive", "negative", "cross_anchor", "neg_query", "bridge")
"""The order in which a loss takes its columns: q, d, d^1..d^n, x, x^1..x^m, b."""

QUERY_SIDE: frozenset[Role] = frozenset({"anchor", "cross_anchor", "neg_query"})
"""Short texts, embedded together so that no query is padded to passage width."""

REPEATED: frozenset[Role] = frozenset({"negative", "neg_query"})
"""Roles that a row may have several columns of."""


@dataclass(frozen=True, slots=True)
class Contrast:
    """A cross-entropy: each anchor must find its own first candidate among those of the whole batch."""

    anchor: Role
    candidates: tuple[Role, ...]
    """The role of the true candidate, then the role of its hard negatives, if they take part."""


@dataclass(frozen=True, slots=True)
class Objective:
    """L = (1 - alpha - beta) CE(forward) + alpha CE(reverse) + beta KL(softmax reverse || softmax forward)."""

    forward: Contrast
    reverse: Contrast | None = None
    alpha: float = 0.0
    beta: float = 0.0

    @property
    def roles(self) -> tuple[Role, ...]:
        """Roles whose texts are embedded, in the order of the columns."""
        contrasts = [contrast for contrast in (self.forward, self.reverse) if contrast]
        used = {role for contrast in contrasts for role in (contrast.anchor, *contrast.candidates)}
        return tuple(role for role in ROLES if role in used)


@dataclass(frozen=True, slots=True)
class Distillation:
    """Mean squared error to the frozen base model's vector of the anchor (Reimers & Gurevych 2020)."""

    roles: tuple[Role, ...] = ("anchor", "cross_anchor")
    alpha: float = 0.0
    beta: float = 0.0


_D: tuple[Role, ...] = ("positive", "negative")
_X: tuple[Role, ...] = ("cross_anchor", "neg_query")
_ENGLISH = Contrast("anchor", _D)
_CROSS = Contrast("cross_anchor", _D)

CLEAR = Objective(_ENGLISH, Contrast("positive", _X), alpha=0.4, beta=0.2)

LOSSES: dict[str, tuple[Objective | Distillation, str]] = {
    "clear": (CLEAR, "does reverse training with the passage as the bridge help, as the paper says?"),
    "clear_no_kl": (
        Objective(_ENGLISH, CLEAR.reverse, alpha=0.4),
        "what does the KL term add, with the paper's weights?",
    ),
    "clear_no_kl_even": (
        Objective(_ENGLISH, CLEAR.reverse, alpha=0.5),
        "what does the KL term add, with even weights?",
    ),
    "clear_no_bridge": (Objective(_ENGLISH, Contrast("anchor", _X), 0.4, 0.2), "is the passage the point?"),
    "clear_bridge": (Objective(_ENGLISH, Contrast("bridge", _X), 0.4, 0.2), "is English the point?"),
    "infonce_q": (Objective(_ENGLISH), "does tuning in English alone do it already?"),
    "infonce_x": (Objective(_CROSS), "is it better than the usual cross-lingual baseline?"),
    "infonce_qx": (Objective(_ENGLISH, _CROSS, alpha=0.4), "is it the reversal, or just the same data?"),
    "symmetric": (
        Objective(_CROSS, Contrast("positive", ("cross_anchor",)), alpha=0.5),
        "is it more than symmetric InfoNCE?",
    ),
    "distill": (Distillation(), "is alignment without contrast enough?"),
}
"""Recipe key -> (what is compared and with which weights, the question that its comparison answers)."""
